"""The simulated world: one sample, one beam, one clock, one seed.

Stage and camera do not know each other; both belong to a world, which knows where
the sample really is and what light leaves it.
"""

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
        self._cells = _Cells(sample, geometry)
        self._focus = FocusSeries(optics, self._cells.pitch_nm)
        self._detector = Detector(
            camera, environment, optics.image_px, self._focus.at(0.0).open_peak(), seed
        )
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
        model = self._focus.at(float(now.focus_nm[0]))
        displaced_nm = (float(now.displacement_nm[0, 0]), float(now.displacement_nm[0, 1]))
        light = model.frames(*self._cells.under_beam(stage_um, displaced_nm, model.cells))
        image: NDArray[np.uint16] = self._detector.record(
            light, now.power, exposure_ms, self.noise
        )[0]
        return image


class _Cells:
    """The cells of a sample, and which of them lie under the beam.

    Whole numbers are the middles of cells, as they are of squares: square r reaches
    from r - 1/2 to r + 1/2, which are the cells from r n to r n + n - 1.
    """

    def __init__(self, sample: Sample, geometry: SampleGeometry) -> None:
        self._geometry = geometry
        self._per_square = sample.cells_per_square
        self._milled = torch.from_numpy(sample.cells.astype(np.float32))
        self.pitch_nm: Final = geometry.pitch_nm / sample.cells_per_square

    def under_beam(
        self, stage_um: tuple[float, float], displaced_nm: tuple[float, float], side: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cells around the beam, (1, side, side), and their offset, (1, 2), micrometres.

        The stage is at (x, y), and the sample is displaced from it by (x, y).
        """
        row, column = self._geometry.square(*stage_um)
        # A sample that drifts right has the beam on a lower column.
        row = self._cell(row) - displaced_nm[1] / self.pitch_nm
        column = self._cell(column) - displaced_nm[0] / self.pitch_nm
        nearest = round(row), round(column)
        offset = torch.tensor([[nearest[1] - column, nearest[0] - row]])
        return self._window(*nearest, side)[None], offset * (self.pitch_nm / 1000)

    def _cell(self, square: float) -> float:
        return (square + 0.5) * self._per_square - 0.5

    def _window(self, row: int, column: int, side: int) -> torch.Tensor:
        """Cells around a cell, (side, side): film where the sample has none."""
        top, left = row - side // 2, column - side // 2
        source = self._milled[
            max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)
        ]
        window = torch.zeros(side, side)
        down, right = max(-top, 0), max(-left, 0)
        window[down : down + source.shape[0], right : right + source.shape[1]] = source
        return window
