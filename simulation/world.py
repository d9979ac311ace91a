"""The simulated world: one sample, one beam, one clock, one seed.

Stage and camera do not know each other; both belong to a world, which knows where
the sample really is and what light leaves it.
"""

from collections.abc import Callable

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
        The only time there is; drift begins now.
    seed
        Of all noise, drift and dust.

    Attributes
    ----------
    noise
        Source of the next frame's photon and read noise; whoever wants to take one frame
        again puts a generator in the same state here.
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
        self.noise = torch_stream(seed, Stream.SENSOR_NOISE)
        self._geometry = geometry
        self._focus = FocusSeries(optics, sample.cell_nm)
        model = self._focus.at(0.0)
        self._side = model.cells
        self._cells = CellsUnderBeam(sample, self._side)
        self._detector = Detector(camera, environment, optics.image_px, model.open_peak(), seed)
        self._disturbances = Disturbances(environment, seed)
        self._stage_um = stage_um
        self._clock = clock
        self._began_s = clock.now()

    def expose(self, exposure_ms: float) -> NDArray[np.uint16]:
        """Let exposure time pass and return what the camera then holds, (y, x)."""
        self._clock.sleep(exposure_ms / 2000)
        time_s = self._clock.now() - self._began_s
        stage_um = self._stage_um()
        self._clock.sleep(exposure_ms / 2000)
        now = self._disturbances.at(np.array([time_s]))
        # A sample that drifts right has the beam further left on it.
        place_um = self._geometry.on_sample_um(*stage_um) - now.displacement_nm / 1000
        light = self._light(place_um, float(now.focus_nm[0]))
        image: NDArray[np.uint16] = self._detector.record(
            light, now.power, exposure_ms, self.noise
        )[0]
        return image

    def _light(self, place_um: NDArray[np.float64], focus_nm: float) -> torch.Tensor:
        """Light on the camera, (1, y, x), with the beam at (x, y) on the sample, (1, 2)."""
        (top,), (left,), offset_um = self._cells.windows(place_um)
        window = self._cells.milled[None, top : top + self._side, left : left + self._side]
        model = self._focus.at(focus_nm)
        return model.frames(torch.from_numpy(window), torch.from_numpy(offset_um))
