"""The eight symmetries of a square, for frames, maps and what frames are projected on.

A beam and a camera that are alike in all eight see a flipped sample as the flipped frame. So
one simulated scan stands for eight.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

SYMMETRIES: Final = 8


def transformed(pictures: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Flip and transpose pictures, (..., y, x), in one of eight ways; 0 leaves them."""
    if symmetry & 1:
        pictures = pictures.flip(-1)
    if symmetry & 2:
        pictures = pictures.flip(-2)
    if symmetry & 4:
        pictures = pictures.transpose(-1, -2)
    return pictures


def each_transformed(pictures: torch.Tensor, symmetries: NDArray[np.int64]) -> torch.Tensor:
    """Return pictures, (batch, y, x), each in the symmetry drawn for it."""
    changed = torch.empty_like(pictures)
    for symmetry in np.unique(symmetries):
        chosen = torch.from_numpy(symmetries == symmetry)
        changed[chosen] = transformed(pictures[chosen], int(symmetry))
    return changed


def transformed_vectors(vectors: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Turn vectors, (x, y) along the first axis, as ``transformed`` turns pictures."""
    x, y = vectors.unbind()
    if symmetry & 1:
        x = -x
    if symmetry & 2:
        y = -y
    return torch.stack([y, x] if symmetry & 4 else [x, y])


def component_maps(components: torch.Tensor) -> torch.Tensor:
    """Say how coefficients change when pictures do.

    Parameters
    ----------
    components
        (n, y, x), rows of the projection of pictures; what they span must be as symmetric
        as the pictures.

    Returns
    -------
    torch.Tensor
        (8, n, n), takes the coefficients of a picture to those of the transformed one.
    """
    inverse = torch.linalg.pinv(components.flatten(1))  # (y * x, n)
    pictures = inverse.T.view_as(components)
    return torch.stack(
        [
            components.flatten(1) @ transformed(pictures, symmetry).flatten(1).T
            for symmetry in range(SYMMETRIES)
        ]
    )
