"""The simulated world: one sample, one beam, one clock, one seed.

Stage and camera do not know each other; both belong to a world, which knows where
the sample really is and what light leaves it.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from configs.geometry import SampleGeometry
from configs.instrument import Environment, SimulatedCameraConfig
from configs.optics import Optics
from drivers.protocols import Clock
from simulation.forward import ForwardModel
from simulation.samples import Sample
from simulation.sensor import SensorModel


class World:
    """A sample under a beam.

    Parameters
    ----------
    sample
        What lies there.
    geometry
        Where its squares lie in stage coordinates.
    optics, camera, environment
        The light, the sensor, and what disturbs them.
    stage_um
        Says where the stage really is, (x, y).
    clock
        The only time there is.
    seed
        Of all noise and drift.
    """

    def __init__(
        self,
        sample: Sample,
        geometry: SampleGeometry,
        optics: Optics,
        camera: SimulatedCameraConfig,
        environment: Environment,
        stage_um: Callable[[], tuple[float, float]],
        clock: Clock,
        seed: int,
    ) -> None:
        self._geometry = geometry
        self._environment = environment
        self._stage_um = stage_um
        self._clock = clock
        self._random = np.random.default_rng(seed)
        self._drift = _Drift(environment, clock, np.random.default_rng([seed, 1]))
        self._model = ForwardModel(optics, geometry.pitch_nm)
        generator = torch.Generator().manual_seed(seed)
        self._sensor = SensorModel(camera.sensor, camera.maps, optics.image_px, generator)
        self._electrons_per_ms = camera.open_peak_e_per_ms / self._model.open_peak()
        self._margin = self._model.squares // 2
        self._padded = torch.from_numpy(np.pad(sample.coverage, self._margin)).float()

    def expose(self, exposure_ms: float) -> NDArray[np.uint16]:
        """Let exposure time pass and return what the camera then holds, (y, x)."""
        self._clock.sleep(exposure_ms / 2000)
        row, column = self._beam_square()
        self._clock.sleep(exposure_ms / 2000)
        light = self._model.frames(*self._window(row, column))[0]
        power = 1 + self._environment.laser_noise * self._random.standard_normal()
        electrons = light * (self._electrons_per_ms * exposure_ms * max(power, 0.0))
        electrons += self._environment.background_e_per_ms * exposure_ms
        adu: NDArray[np.uint16] = (
            self._sensor.expose(electrons, exposure_ms).numpy().astype(np.uint16)
        )
        return adu

    def _beam_square(self) -> tuple[float, float]:
        """Row and column under the beam, fractions included."""
        row, column = self._geometry.square(*self._stage_um())
        vibration = self._random.standard_normal(2) * self._environment.vibration_nm
        # A sample that drifts right has the beam on a lower column.
        moved_x, moved_y = (self._drift.nm() + vibration) / self._geometry.pitch_nm
        return row - moved_y, column - moved_x

    def _window(self, row: float, column: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Squares around the beam, (1, squares, squares), and their offset, (1, 2)."""
        nearest = round(row), round(column)
        side, pitch_um = self._model.squares, self._geometry.pitch_nm / 1000
        offset_um = torch.tensor(
            [[(nearest[1] - column) * pitch_um, (nearest[0] - row) * pitch_um]]
        )
        window = torch.zeros(1, side, side)
        top, left = nearest
        rows, columns = self._padded.shape
        if -side < top < rows and -side < left < columns:
            source = self._padded[max(top, 0) : top + side, max(left, 0) : left + side]
            down, right = max(-top, 0), max(-left, 0)
            window[0, down : down + source.shape[0], right : right + source.shape[1]] = source
        return window, offset_um


class _Drift:
    """Displacement of the sample: linear in time plus a random walk."""

    def __init__(
        self, environment: Environment, clock: Clock, random: np.random.Generator
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._random = random
        self._began_s = self._last_s = clock.now()
        self._walk_nm = np.zeros(2)

    def nm(self) -> NDArray[np.float64]:
        """Displacement (x, y) at this moment."""
        now_s = self._clock.now()
        step = self._environment.random_walk_nm_per_sqrt_min * math.sqrt(
            (now_s - self._last_s) / 60
        )
        self._walk_nm += step * self._random.standard_normal(2)
        self._last_s = now_s
        linear = np.array(self._environment.drift_nm_per_min) * ((now_s - self._began_s) / 60)
        return linear + self._walk_nm
