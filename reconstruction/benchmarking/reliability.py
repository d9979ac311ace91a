"""Whether probabilities mean what they say: of those around 0.8, four fifths should be open."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
BINS: Final = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """Squares by their probability, in bins of the same width from 0 to 1.

    Attributes
    ----------
    count
        (bins,), squares.
    probability, open_squares
        (bins,), sum of their probabilities, and how many of them are open.
    """

    count: Float64
    probability: Float64
    open_squares: Float64

    @classmethod
    def of(cls, probability: NDArray[np.floating], truth: NDArray[np.integer]) -> Self:
        """Sort squares; those with no probability (NaN) or no truth (-1) are left out."""
        counted = np.isfinite(probability) & (truth >= 0)
        said, is_open = probability[counted].astype(np.float64), truth[counted]
        bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)
        sums = (np.bincount(bins, weights, BINS) for weights in (None, said, is_open))
        return cls(*(np.asarray(values, np.float64) for values in sums))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.count + other.count,
            self.probability + other.probability,
            self.open_squares + other.open_squares,
        )

    @property
    def error(self) -> float:
        """Expected calibration error: mean over all squares of how far their bin is off."""
        return float(np.abs(self.probability - self.open_squares).sum() / self.count.sum())
