"""Scans of random patterns by instruments that are all a little different.

Each has its own optics, exposure, pixels, position errors, drift and missing points, so
that what is learnt from them does not hang on one instrument. Frames are simulated on cells
finer than a square.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from configs.geometry import SQUARE_NM
from configs.grid import LARGEST_GRID
from configs.instrument import SimulatedCameraConfig
from configs.optics import GaussianBeam, Optics
from reconstruction.amplitude import relative_amplitude
from reconstruction.learning.patterns import PatternMaker
from reconstruction.learning.shapes import cut_out
from simulation.forward import ForwardModel
from simulation.sensor import SensorModel
from simulation.streams import Stream, torch_stream

CELLS_PER_SQUARE: Final = 3
EDGE: Final = LARGEST_GRID // 2
TOLERANCE: Final[Mapping[str, float]] = {
    "defocus_wavelengths": 0.05,
    "beam.fwhm_nm": 0.03,
    "collection_na": 0.02,
}
"""By what fraction optics differ from nominal, at most."""
_LARGEST_FILM: Final = 0.02
"""Most amplitude that film lets through, unless nominal film lets more."""
_EXPOSURE_MS: Final = 10.0
_BRIGHTEST: Final = 2.0
"""Longest exposure, in units of the above."""
_DIMMER_DECADES: Final = 1.5
"""Powers of ten between the longest exposure and the shortest."""
_POWER_NOISE: Final = 0.01
"""Standard deviation from frame to frame, as a fraction of the power."""
_POWER_SCALE: Final = 0.05
"""By what fraction a scan's power is off, at most."""
_POSITION_ERROR_UM: Final = 0.025
"""Largest standard deviation of where the beam is on its square."""
_READ_BACK_UM: Final = 0.001
"""Standard deviation of what the stage says at its best."""
_BLIND_SHARE: Final = 0.3
"""Most of the position error that the stage does not see."""
_SHARE_WITH_READ_BACK: Final = 0.7
"""Fraction of the scans whose stage says where it is."""
_DRIFT_UM: Final = 0.01
"""Standard deviation of half the way that the sample drifts in a scan."""
_BACKGROUND_E_PER_MS: Final = 0.1
"""Most photo-electrons of stray light, per pixel."""
_SHARE_WITH_GAPS: Final = 0.3
"""Fraction of the scans that lose points; of these, of those that lose a line too."""
_LARGEST_GAPS: Final = 0.3
"""Fraction of points that are lost, at most."""
_SHARE_OF_SHAPES: Final = 0.5
"""Fraction of the scans that show a shape, where there are some."""
_BATCH: Final = 256
"""Frames that are computed at once."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FreshScan:
    """A scan of side x side points.

    Attributes
    ----------
    amplitude
        (points, y, x), as ``relative_amplitude`` gives it.
    off_um
        (points, 2), what the stage says of the beam's place (x, y) on its square.
    valid
        (points,), bool.
    open_peak_e
        Photo-electrons at the brightest pixel of an all-open sample.
    coverage
        (side + 6, side + 6), milled fraction of the squares under the points, and of three
        more beyond on every side.
    """

    amplitude: torch.Tensor
    off_um: torch.Tensor
    valid: torch.Tensor
    open_peak_e: float
    coverage: torch.Tensor

    @property
    def side(self) -> int:
        """Points along a side."""
        return len(self.coverage) - 2 * EDGE


class ScanMaker:
    """Makes scans without end.

    Parameters
    ----------
    optics, camera
        Nominal.
    seed
        Fixes the instruments; scans take a generator of their own.
    side
        Points along a side of a scan.
    instruments
        How many there are.
    closeness
        How near to nominal they keep: what is off, and how dim the light is, is a uniform
        share of the most that it may be, to this power.
    shapes
        Shapes on cells, (rows, columns) each, that half of the scans show a part of.

    Attributes
    ----------
    nominal, side
        As given.
    optics
        Those of each instrument.
    """

    def __init__(
        self,
        optics: Optics,
        camera: SimulatedCameraConfig,
        seed: int,
        *,
        side: int = 24,
        instruments: int = 24,
        closeness: float = 2.0,
        shapes: Sequence[torch.Tensor] = (),
    ) -> None:
        self.nominal = optics
        self.side = side
        self._closeness = closeness
        self._shapes = shapes
        self._camera = camera
        cell_nm = SQUARE_NM / CELLS_PER_SQUARE
        nominal = ForwardModel(optics, cell_nm)
        self._peak = nominal.open_peak()
        # As many whole squares, an odd number of them, as hold the beam.
        squares = -(-nominal.cells // CELLS_PER_SQUARE) // 2 * 2 + 1
        self._cells = squares * CELLS_PER_SQUARE
        self._squares = side + squares + 1  # one more, for position errors
        random = torch_stream(seed, Stream.INSTRUMENTS)
        self.optics = [_varied(optics, closeness, random) for _ in range(instruments)]
        self._models = [
            ForwardModel(varied, cell_nm, cells=self._cells) for varied in self.optics
        ]

    @torch.inference_mode()
    def draw(self, random: torch.Generator) -> FreshScan:
        """Simulate the next scan; all that is random in it comes from the generator."""
        if self._shapes and _uniform(random) < _SHARE_OF_SHAPES:
            return self.scan_of(self._shapes, random)
        return self._scan(PatternMaker(self._squares, CELLS_PER_SQUARE, random).draw(), random)

    @torch.inference_mode()
    def scan_of(self, shapes: Sequence[torch.Tensor], random: torch.Generator) -> FreshScan:
        """Simulate a scan of a part of one of some shapes."""
        cells = cut_out(shapes, self._squares * CELLS_PER_SQUARE, random)
        return self._scan(cells, random)

    def _scan(self, cells: torch.Tensor, random: torch.Generator) -> FreshScan:
        """Simulate a scan of a field of cells."""
        dimmer = 10 ** (_DIMMER_DECADES * _uniform(random) ** self._closeness)
        exposure_ms = _EXPOSURE_MS * _BRIGHTEST / dimmer
        off_um, said_um = self._positions(random)
        model = self._models[int(torch.randint(len(self._models), (1,), generator=random))]
        light = self._light(model, cells, off_um)
        power = self._power(random) * exposure_ms / self._peak
        background = exposure_ms * _uniform(random, 0, _BACKGROUND_E_PER_MS)
        sensor = SensorModel(self._camera.sensor, self._camera.maps, light.shape[-1], random)
        adu = sensor.expose(light * power + background, exposure_ms, random)
        open_peak_e = self._camera.open_peak_e_per_ms * exposure_ms
        covered = torch.nn.functional.avg_pool2d(cells[None], CELLS_PER_SQUARE)[0]
        first = (self._squares - self.side) // 2 - EDGE
        part = slice(first, first + self.side + 2 * EDGE)
        return FreshScan(
            relative_amplitude(adu, self._camera.sensor, open_peak_e),
            said_um,
            self._valid(random),
            open_peak_e,
            covered[part, part],
        )

    def _positions(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the beam is on its square, and where the stage says it is, (points, 2)."""
        points = self.side**2
        error_um = _POSITION_ERROR_UM * _uniform(random) ** self._closeness
        off_um = error_um * torch.randn(points, 2, generator=random)
        blind_um = _READ_BACK_UM + _BLIND_SHARE * error_um * _uniform(random)
        said_um = off_um + blind_um * torch.randn(points, 2, generator=random)
        if _uniform(random) >= _SHARE_WITH_READ_BACK:
            said_um.fill_(torch.nan)
        drift_um = _DRIFT_UM * torch.randn(2, generator=random)
        return off_um + torch.linspace(-1, 1, points)[:, None] * drift_um, said_um

    def _light(
        self, model: ForwardModel, cells: torch.Tensor, off_um: torch.Tensor
    ) -> torch.Tensor:
        """Light on the camera, (points, y, x), with the beam off its squares."""
        n, side = CELLS_PER_SQUARE, self.side
        moved = torch.round(off_um / model.cell_um).long().clamp(-n, n)
        first = torch.cartesian_prod(torch.arange(side), torch.arange(side)) * n + n
        first = first.flip(1) + moved  # (x, y)
        window = torch.arange(self._cells)
        columns, rows = (first[:, axis, None] + window for axis in (0, 1))
        rest_um = (moved * model.cell_um - off_um).clamp(-model.cell_um / 2, model.cell_um / 2)
        windows = cells[rows[:, :, None], columns[:, None]]
        batches = range(0, len(windows), _BATCH)
        return torch.cat(
            [model.frames(windows[n : n + _BATCH], rest_um[n : n + _BATCH]) for n in batches]
        )

    def _power(self, random: torch.Generator) -> torch.Tensor:
        """Photo-electrons per millisecond at the open peak, (points, 1, 1)."""
        noise = _POWER_NOISE * torch.randn(self.side**2, 1, 1, generator=random)
        scale = 1 + _uniform(random, -_POWER_SCALE, _POWER_SCALE)
        return self._camera.open_peak_e_per_ms * scale * (1 + noise).clamp(min=0)

    def _valid(self, random: torch.Generator) -> torch.Tensor:
        """Lose points, and now and then a whole line."""
        valid = torch.ones(self.side, self.side, dtype=torch.bool)
        if _uniform(random) < _SHARE_WITH_GAPS:
            lost = _LARGEST_GAPS * _uniform(random)
            valid = torch.rand(self.side, self.side, generator=random) >= lost
            if _uniform(random) < _SHARE_WITH_GAPS:
                valid[int(torch.randint(self.side, (1,), generator=random))] = False
        return valid.flatten()


def _varied(optics: Optics, closeness: float, random: torch.Generator) -> Optics:
    """Draw the optics of an instrument that was meant to have the given ones."""
    off = {name: _uniform(random, -1, 1) for name in TOLERANCE}
    shares = {
        name: 1 + TOLERANCE[name] * math.copysign(abs(share) ** closeness, share)
        for name, share in off.items()
    }
    values: dict[str, Any] = optics.model_dump()
    values["defocus_wavelengths"] *= shares["defocus_wavelengths"]
    values["collection_na"] = min(
        values["collection_na"] * shares["collection_na"], optics.medium_index
    )
    if isinstance(optics.beam, GaussianBeam):
        values["beam"]["fwhm_nm"] *= shares["beam.fwhm_nm"]
    values["film_amplitude"] = _uniform(random, 0, max(_LARGEST_FILM, optics.film_amplitude))
    return Optics.checked("optics", values)


def _uniform(random: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand(1, generator=random))
