"""Fields cut out of somebody's own shapes, to fine-tune on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError
from reconstruction.learning.symmetry import SYMMETRIES, transformed

_HELD_OUT: Final = 4
"""One shape in so many is held out."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes to learn, and others to see by how much that helped.

    Attributes
    ----------
    shown, held_out
        (rows, columns) each, milled fraction of cells.
    """

    shown: tuple[torch.Tensor, ...]
    held_out: tuple[torch.Tensor, ...]

    @property
    def sha256(self) -> str:
        """Checksum of all cells, in their order."""
        digest = hashlib.sha256()
        for shape in self.shown + self.held_out:
            digest.update(repr(tuple(shape.shape)).encode() + shape.numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def split(cls, shapes: Sequence[NDArray[np.float64]]) -> Self:
        """Hold some out, whole ones, spread over all.

        Raises
        ------
        ConfigError
            If there are fewer than two.
        """
        if len(shapes) < 2:
            raise ConfigError(
                f"shapes: expected two or more, one of them to hold out, got {len(shapes)};"
                " add masks to the folder"
            )
        tensors = [torch.from_numpy(shape.astype(np.float32)) for shape in shapes]
        held_out = set(range(1, len(tensors), _HELD_OUT))
        return cls(
            tuple(t for n, t in enumerate(tensors) if n not in held_out),
            tuple(t for n, t in enumerate(tensors) if n in held_out),
        )


def cut_out(shapes: Sequence[torch.Tensor], side: int, random: torch.Generator) -> torch.Tensor:
    """Draw a field, (side, side), of cells with some of a shape on it, film around."""
    shape = shapes[int(torch.randint(len(shapes), (1,), generator=random))]
    shape = transformed(shape, int(torch.randint(SYMMETRIES, (1,), generator=random)))
    # At least a quarter of a field's side is on the shape, if that is as large.
    padded = torch.nn.functional.pad(shape, 4 * (3 * side // 4,))
    rows, columns = (
        int(torch.randint(length - side + 1, (1,), generator=random)) for length in padded.shape
    )
    return padded[rows : rows + side, columns : columns + side].contiguous()


def on_cells(
    cells: NDArray[np.float64], cells_per_square: int, wanted: int
) -> NDArray[np.float64]:
    """Say the same on another number of cells per square, by areas."""
    fine = cells.repeat(wanted, axis=0).repeat(wanted, axis=1)
    n = cells_per_square
    rows, columns = (length // n for length in fine.shape)
    areas: NDArray[np.float64] = fine.reshape(rows, n, columns, n).mean(axis=(1, 3))
    return areas
