"""The simulated world: one sample, one beam, one clock, one seed.

Stage and camera do not know each other; both belong to a world, which knows where
the sample really is and what light leaves it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from configs.geometry import SampleGeometry
from configs.instrument import Environment, SimulatedCameraConfig
from configs.optics import Optics
from drivers.protocols import Clock
from simulation.defocus import FocusSeries
from simulation.detector import Detector
from simulation.environment import Disturbances
from simulation.samples import Sample
from simulation.streams import Stream, torch_stream
from simulation.under_beam import CellsUnderBeam

_RESOLUTION_UM: Final = 1e-4
"""Positions that differ by less are one: no stage holds still to a tenth of a nanometre."""
_WORD: Final = (1 << 32) - 1


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
    is_lit
        Says whether light gets to the sample.
    clock
        The only time there is; drift begins now.
    seed
        Of all noise, drift and dust.
    defocus_um
        Says by how much a focus drive has the sample farther from the camera's plane.

    Photon and read noise of a frame follow from the seed, the place on the sample, and how
    often that was looked at before: whatever was taken in between, a scan that goes on
    after a crash sees what it would have seen.
    """

    def __init__(
        self,
        sample: Sample,
        geometry: SampleGeometry,
        optics: Optics,
        camera: SimulatedCameraConfig,
        environment: Environment,
        stage_um: Callable[[], tuple[float, float]],
        is_lit: Callable[[], bool],
        clock: Clock,
        seed: int,
        defocus_um: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._seed = seed
        self._looks: Counter[tuple[int, int]] = Counter()
        self._geometry = geometry
        self._focus = FocusSeries(optics, sample.cell_nm)
        model = self._focus.at(0.0)
        self._side = model.cells
        self._cells = CellsUnderBeam(sample, self._side)
        self._detector = Detector(camera, environment, optics.image_px, model.open_peak(), seed)
        self._disturbances = Disturbances(environment, seed)
        self._stage_um, self._is_lit, self._defocus_um = stage_um, is_lit, defocus_um
        self._clock = clock
        self._began_s = clock.now()

    def expose(self, exposure_ms: float) -> NDArray[np.uint16]:
        """Let exposure time pass and return what the camera then holds, (y, x)."""
        self._clock.sleep(exposure_ms / 2000)
        time_s = self._clock.now() - self._began_s
        stage_um, defocus_nm = self._stage_um(), 1000 * self._defocus_um()
        self._clock.sleep(exposure_ms / 2000)
        now = self._disturbances.at(np.array([time_s]))
        # A sample that drifts right has the beam further left on it.
        place_um = self._geometry.on_sample_um(*stage_um) - now.displacement_nm / 1000
        steps = np.rint(place_um[0] / _RESOLUTION_UM).astype(np.int64)
        light = self._light(steps[None] * _RESOLUTION_UM, float(now.focus_nm[0]) + defocus_nm)
        image: NDArray[np.uint16] = self._detector.record(
            light * self._is_lit(), now.power, exposure_ms, self._noise(*steps.tolist())
        )[0]
        return image

    def _noise(self, x: int, y: int) -> torch.Generator:
        """Return the noise of the next look at a place."""
        look = self._looks[x, y]
        self._looks[x, y] += 1
        key = (x & _WORD, y & _WORD, look)  # of either sign, but keys have none
        return torch_stream(self._seed, Stream.SENSOR_NOISE, *key)

    def _light(self, place_um: NDArray[np.float64], focus_nm: float) -> torch.Tensor:
        """Light on the camera, (1, y, x), with the beam at (x, y) on the sample, (1, 2)."""
        (top,), (left,), offset_um = self._cells.windows(place_um)
        window = self._cells.milled[None, top : top + self._side, left : left + self._side]
        model = self._focus.at(focus_nm)
        return model.frames(torch.from_numpy(window), torch.from_numpy(offset_um))
