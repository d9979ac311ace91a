"""What a map of squares is, whoever made it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


class SquareMap(Protocol):
    """What is known of the squares of a sample; all maps are (rows, columns)."""

    @property
    def probability(self) -> Float64:
        """Probability that each square is open; NaN where nothing is known."""
        ...

    @property
    def coverage(self) -> Float64:
        """Expected milled fraction of each square; NaN where nothing is known."""
        ...

    @property
    def uncertainty(self) -> Float64:
        """Standard deviation that goes with the probability."""
        ...

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Decision: probability at least one half; false where nothing is known."""
        ...

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of frames that told of each square."""
        ...
