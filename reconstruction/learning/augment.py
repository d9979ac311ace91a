"""Every picture of a batch in a symmetry of its own, its target in the same."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from reconstruction.learning.symmetry import SYMMETRIES, transformed

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


def each_transformed(pictures: torch.Tensor, symmetries: NDArray[np.int64]) -> torch.Tensor:
    """Return pictures, (batch, y, x), each in the symmetry drawn for it."""
    changed = torch.empty_like(pictures)
    for symmetry in np.unique(symmetries):
        chosen = torch.from_numpy(symmetries == symmetry)
        changed[chosen] = transformed(pictures[chosen], int(symmetry))
    return changed
