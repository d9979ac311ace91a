"""The unknown: cells of a part of a sample, and the frames that see them."""

from dataclasses import replace
from typing import Final, Self

import torch

from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

FAINTEST: Final = 5e-4
"""Relative amplitude of the light of a mode, below which it drowns in the noise."""
_STEP_UM: Final = 0.002
"""Of the beam, between which amplitudes are compared."""


class Scene:
    """Cells under the frames of a rectangle of scan points, and beyond as the beam reaches.

    Parameters
    ----------
    model
        Of cells; its window holds an odd number of whole squares.
    cells_per_square
        Along an axis.
    rows, columns
        Scan points of the rectangle.
    photons
        The frames there.

    Attributes
    ----------
    shape
        Of the cells, (rows, columns).
    off_um
        (frames, 2), by how much (x, y) the beam was off the middle of its square.
    reach
        Squares beyond the rectangle on every side.
    """

    def __init__(
        self,
        model: ForwardModel,
        cells_per_square: int,
        rows: range,
        columns: range,
        photons: Photons,
    ) -> None:
        self.model = model
        self.off_um = photons.off_um
        self._rows, self._columns, self._photons = rows, columns, photons
        self.cells_per_square = n = cells_per_square
        # A cell more than the beam needs: it is not always in the middle of its square.
        self.reach = model.cells // (2 * n) + 1
        self.shape = n * (len(rows) + 2 * self.reach), n * (len(columns) + 2 * self.reach)
        moved = torch.round(photons.off_um / model.cell_um).long().clamp(-n, n)
        self._overlap = model.overlap(moved * model.cell_um - photons.off_um)
        self._first = photons.rows - rows.start + 1, photons.columns - columns.start + 1
        self._top, self._left = (
            n * self._first[0] + moved[:, 1],
            n * self._first[1] + moved[:, 0],
        )
        # Windows are summed up in two stages: rows of those above one another, then columns.
        lefts, slot = torch.unique(self._left, return_inverse=True)
        window = torch.arange(model.cells, device=moved.device)
        self._slots = len(lefts)
        self._row = (slot * self.shape[0] + self._top)[:, None] + window
        self._column = lefts[:, None] + window

    @property
    def grid(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(frames,) each, their rows and columns in the rectangle."""
        return self._first[0] - 1, self._first[1] - 1

    def with_beam_at(self, off_um: torch.Tensor) -> Self:
        """Return the same cells under a beam that was (frames, 2) off its squares."""
        moved = replace(self._photons, off_um=off_um)
        n = self.cells_per_square
        return type(self)(self.model, n, self._rows, self._columns, moved)

    def with_model(self, model: ForwardModel) -> Self:
        """Return the same cells in other light."""
        return type(self)(
            model, self.cells_per_square, self._rows, self._columns, self._photons
        )

    def moves(self, cells: torch.Tensor) -> torch.Tensor:
        """Return how amplitudes change as the beam moves, (frames, 2, modes), per um."""
        changes = []
        for axis in (0, 1):
            step = torch.zeros(2, device=cells.device)
            step[axis] = _STEP_UM
            there, back = (
                self.with_beam_at(self.off_um + by).amplitudes(cells) for by in (step, -step)
            )
            changes.append((there - back) / (2 * _STEP_UM))
        return torch.stack(changes, dim=1)

    def amplitudes(self, cells: torch.Tensor) -> torch.Tensor:
        """Map cells, of the scene's shape, to amplitudes, (frames, modes)."""
        side = self.model.cells
        windows = cells.unfold(0, side, 1).unfold(1, side, 1)
        return self._overlap.amplitudes(windows[self._top, self._left])

    def spread(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (frames, modes), to cells: the adjoint of ``amplitudes``."""
        windows, side = self._overlap.spread(amplitudes), self.model.cells
        rows, columns = self.shape
        stacks = windows.new_zeros(self._slots * rows, side)
        stacks.index_add_(0, self._row.flatten(), windows.view(-1, side))
        strips = stacks.view(self._slots, rows, side).mT.reshape(-1, rows)
        turned = windows.new_zeros(columns, rows)
        return turned.index_add_(0, self._column.flatten(), strips).mT

    def responses(
        self, frames: slice, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how frames respond to the squares under the beam, at its nominal place.

        Parameters
        ----------
        frames
            Which, n of them.
        weights
            Of the scene's cells: how each changes when its square does.

        Returns
        -------
        tuple
            (n, squares), which squares of the scene, counted row by row; and
            (n, squares, modes), the amplitudes that each adds.
        """
        n = self.cells_per_square
        side = self.model.cells // n
        nominal = self.model.overlap(torch.zeros(1, 2, device=weights.device))
        y, x = (axis[0].view(side, n, -1) for axis in (nominal.y, nominal.x))
        top, left = (
            first[frames, None] + torch.arange(side, device=weights.device)
            for first in self._first
        )
        index = top[:, :, None] * (self.shape[1] // n) + left[:, None]
        cells = weights.unfold(0, n, n).unfold(1, n, n).flatten(0, 1)[index]
        along = torch.einsum("fabnm,bmx->fabnx", cells, x)
        products = torch.einsum("any,fabnx->fabyx", y, along).flatten(3)
        return index.flatten(1), (products[..., nominal.kept] @ nominal.mixing).flatten(1, 2)

    def cells_of(self, squares: torch.Tensor) -> torch.Tensor:
        """Return cells that are as much milled as their squares, film beyond these."""
        n = self.cells_per_square
        padded = torch.nn.functional.pad(squares, [self.reach] * 4)
        return padded.repeat_interleave(n, 0).repeat_interleave(n, 1)
