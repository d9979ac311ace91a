"""The map that an inversion fills, tile by tile."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.plan import ScanPlan
from reconstruction.inversion.misfit import mean_by_light
from reconstruction.inversion.refinements import PLACE_SPREAD_UM, TOLD
from reconstruction.inversion.tiles import Tile
from reconstruction.inversion.uncertainty import Spread
from reconstruction.scan_map import frames_around

Float64 = NDArray[np.float64]

LARGEST_CHI_SQUARED: Final = 1.03
"""Above it the model does not explain the photons."""
SURE: Final = 0.95
"""Probability from which a square counts as decided."""
_ONE_DEVIATION: Final = 0.683


@dataclass(frozen=True, slots=True)
class TileMap:
    """What a tile says.

    Attributes
    ----------
    spread
        Of its squares, (rows, columns).
    of_frames, light_e
        (rows, columns), chi-squared per degree of freedom of its frames, and their expected
        photo-electrons per pixel; NaN where there is none.
    moved_um, moved_error_um
        (rows, columns, 2), by how much (x, y) the beam was off the place that the stage says,
        and standard deviations; the latter (rows, columns, 0) if that was believed.
    of_pixels, frames
        (y, x), chi-squared of the pixels, over so many frames.
    converged
        Whether another step would change nothing that matters.
    """

    spread: Spread
    of_frames: Float64
    light_e: Float64
    moved_um: Float64
    moved_error_um: Float64
    of_pixels: Float64
    frames: int
    converged: bool


@dataclass(frozen=True, slots=True)
class FoundPositions:
    """How far the beam was from where the stage says, apart from what all have in common.

    Attributes
    ----------
    moved_nm, error_nm
        Root mean squares along an axis: of that distance, a common shift and drift taken away,
        and of its standard deviation, the sample known.
    is_told
        Whether the frames say more of it than was believed.
    """

    moved_nm: float
    error_nm: float
    is_told: bool


class InversionMap:
    """What the photons say of the squares of a sample; maps are (rows, columns).

    Parameters
    ----------
    plan
        The scan.
    image_px
        Side of its frames.

    Attributes
    ----------
    of_frames
        (rows, columns) of the scan, chi-squared per degree of freedom of every frame; NaN
        where there is none.
    moved_um, moved_error_um
        (rows, columns, 2) of the scan, by how much (x, y) the beam was off the place that the
        stage says, and the standard deviation, the sample known; NaN where there is no frame,
        and the latter if the stage was believed.
    of_pixels
        (y, x), chi-squared per degree of freedom of the camera's pixels.
    converged
        Whether all tiles are.
    device
        Where the last tile was computed: ``cpu`` or ``cuda``.
    """

    def __init__(self, plan: ScanPlan, image_px: int) -> None:
        self._plan = plan
        shape = (plan.rows, plan.columns)
        self._coverage, self._width = np.full(shape, np.nan), np.full(shape, np.nan)
        self._free = np.zeros(shape, np.bool_)
        self.of_frames, self._light_e = np.full(shape, np.nan), np.full(shape, np.nan)
        self.moved_um = np.full((*shape, 2), np.nan)
        self.moved_error_um = np.full((*shape, 2), np.nan)
        self.of_pixels, self._frames = np.zeros((image_px, image_px)), 0
        self.converged, self.device = True, "cpu"

    def put(self, tile: Tile, found: TileMap) -> None:
        """Set what a tile says of its squares and frames, and count in what of the pixels."""
        where = (
            slice(tile.rows.start, tile.rows.stop),
            slice(tile.columns.start, tile.columns.stop),
        )
        spread = found.spread
        self._coverage[where], self._width[where] = spread.coverage, spread.width
        self._free[where] = spread.free
        self.of_frames[where], self._light_e[where] = found.of_frames, found.light_e
        self.moved_um[where] = found.moved_um
        if found.moved_error_um.size:
            self.moved_error_um[where] = found.moved_error_um
        self.converged &= found.converged
        self._frames += found.frames
        self.of_pixels += (found.of_pixels - self.of_pixels) * found.frames / self._frames

    @property
    def chi_squared(self) -> float:
        """Mean over all frames by their light: 1 where the model explains the photons."""
        frames = torch.from_numpy(self.of_frames), torch.from_numpy(self._light_e)
        return float(mean_by_light(*frames))

    @property
    def positions(self) -> FoundPositions | None:
        """Where the beam was, in short; ``None`` if the stage was believed."""
        known = np.isfinite(self.moved_error_um).all(axis=-1)
        if not known.any():
            return None
        # What is the same for all, or grows along the scan, moves the sample as well.
        row, column = np.nonzero(known)
        common = np.stack([np.ones_like(row), row, column], axis=1)
        moved, *_ = np.linalg.lstsq(common, self.moved_um[known], rcond=None)
        left_um = self.moved_um[known] - common @ moved
        moved_nm, error_nm = (
            1000 * float(np.sqrt(np.square(a).mean()))
            for a in (left_um, self.moved_error_um[known])
        )
        return FoundPositions(moved_nm, error_nm, error_nm < TOLD * 1000 * PLACE_SPREAD_UM)

    @property
    def is_explained(self) -> bool:
        """Whether the model explains the photons."""
        return self.chi_squared <= LARGEST_CHI_SQUARED

    @property
    def probability(self) -> Float64:
        """Probability that at least half of each square is milled; NaN where none was seen."""
        return self._spread.probability

    @property
    def coverage(self) -> Float64:
        """Most likely milled fraction of each square."""
        return self._spread.coverage

    def interval(self, share: float) -> tuple[Float64, Float64]:
        """Return bounds of the milled fractions that hold with so much probability."""
        return self._spread.interval(share)

    @property
    def uncertainty(self) -> Float64:
        """Half of the interval that holds a fraction like one standard deviation does."""
        low, high = self.interval(_ONE_DEVIATION)
        half: Float64 = (high - low) / 2
        return half

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Decision: probability at least one half; false where nothing is known."""
        decision: NDArray[np.bool_] = self.probability >= 0.5
        return decision

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Squares that the photons leave open to doubt."""
        probability = self.probability
        sure = (probability >= SURE) | (probability <= 1 - SURE)
        doubt: NDArray[np.bool_] = ~sure
        return doubt

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of frames whose 7 x 7 squares cover each square."""
        there = np.isfinite(self.of_frames).astype(np.int64)
        return self._plan.crop(frames_around(there))

    @property
    def _spread(self) -> Spread:
        known = self.count > 0
        coverage, width = (
            np.where(known, self._cut(a), np.nan) for a in (self._coverage, self._width)
        )
        return Spread(coverage, self._cut(self._free), width)

    def _cut(self, scan: NDArray[Any]) -> NDArray[Any]:
        return self._plan.crop(scan)
