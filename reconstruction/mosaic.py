"""Stitching: overlapping predictions of single frames become one map (equation 4).

Each square's probability is the mean over every frame whose target covers it, or a mean
in which a frame counts by what it knows of the square: by the bits that its probability is
worth, one less its entropy. Sums are kept as integers, so the map does not depend on the
order in which frames arrive: live and offline give the same bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.plan import ScanPlan

Float64 = NDArray[np.float64]
_ONE: Final = 1 << 24
"""Fixed-point value of probability 1; the sums of a scan stay below 2**63."""
_LEAST_WEIGHT: Final = 1e-3


class Mosaic:
    """The map of a scan, growing frame by frame.

    Parameters
    ----------
    plan
        Scan whose frames are stitched.
    grid
        Squares along a side that each frame's prediction covers.
    pooled
        Whether frames count by what they know; else all alike.

    Notes
    -----
    All maps are (rows, columns) of the sample's squares; squares that no frame has
    told of yet are NaN.
    """

    def __init__(self, plan: ScanPlan, grid: int, *, pooled: bool = False) -> None:
        self.grid = grid
        self._pooled = pooled
        self._plan = plan
        # Predictions reach beyond the scan by half a grid on every side.
        shape = (plan.rows + grid - 1, plan.columns + grid - 1)
        self._weight = np.zeros(shape, np.int64)
        self._sum = np.zeros(shape, np.int64)
        self._square_sum = np.zeros(shape, np.int64)
        self._count = np.zeros(shape, np.int64)

    def add(self, indices: NDArray[np.int64], probabilities: NDArray[np.float32]) -> None:
        """Add predictions, (batch, grid, grid), of the frames with these scan indices."""
        row, column = np.divmod(indices, self._plan.columns)
        reach = np.arange(self.grid)
        rows = row[:, None, None] + reach[:, None]
        columns = column[:, None, None] + reach
        probability = probabilities.astype(np.float64)
        weight = _known(probability) if self._pooled else np.ones_like(probability)
        for total, term in (
            (self._weight, weight),
            (self._sum, weight * probability),
            (self._square_sum, weight * probability**2),
        ):
            np.add.at(total, (rows, columns), np.rint(term * _ONE).astype(np.int64))
        np.add.at(self._count, (rows, columns), 1)

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of frames that told of each square."""
        return self._crop(self._count)

    @property
    def probability(self) -> Float64:
        """Mean probability that each square is open."""
        return self._crop(self._sum) / self._weighed()

    @property
    def coverage(self) -> Float64:
        """The same: what a frame says of a square is its probability alone."""
        return self.probability

    @property
    def uncertainty(self) -> Float64:
        """Standard deviation of the frames' probabilities for each square."""
        mean_square = self._crop(self._square_sum) / self._weighed()
        spread: Float64 = np.sqrt(np.clip(mean_square - self.probability**2, 0, None))
        return spread

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Decision: probability at least one half; false where nothing is known."""
        decision: NDArray[np.bool_] = self.probability >= 0.5
        return decision

    def _weighed(self) -> Float64:
        return np.where(self.count > 0, self._crop(self._weight), np.nan)

    def _crop(self, padded: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cut the sample's squares out of the padded scan."""
        reach = self.grid // 2
        return self._plan.crop(padded[reach:, reach:])


def _known(probability: Float64) -> Float64:
    """Bits that a probability is worth, and a little, so that something is always said."""
    unsure = np.clip(np.stack([probability, 1 - probability]), 1e-12, 1)
    known: Float64 = 1 + (unsure * np.log2(unsure)).sum(axis=0)
    return known + _LEAST_WEIGHT


def frame_targets(truth: NDArray[np.bool_], plan: ScanPlan, grid: int) -> NDArray[np.int8]:
    """Return what each frame should say, (scan, grid, grid): 0, 1, or -1 off the sample."""
    pad = plan.margin + grid // 2
    padded = np.pad(truth.astype(np.int8), pad, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (grid, grid))
    return windows.reshape(len(plan), grid, grid)
