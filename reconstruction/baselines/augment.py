"""In which symmetry every picture of a batch is shown, and its target alike."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from reconstruction.learning.symmetry import SYMMETRIES

_FLIPS: Final = (0, 1, 2, 3)
_TURNS: Final = (0, 3, 5, 6)


def draw_symmetries(
    batch: int, random: np.random.Generator, *, flips: bool, quarter_turns: bool
) -> NDArray[np.int64]:
    """Draw one for each picture; both flips at random and any turn make all eight alike."""
    if flips and quarter_turns:
        return random.integers(SYMMETRIES, size=batch)
    if flips or quarter_turns:
        return random.choice(_FLIPS if flips else _TURNS, size=batch)
    return np.zeros(batch, np.int64)
