"""The unknown: cells of a part of a sample, and the frames that see them."""

import torch

from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel


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
        self.cells_per_square = n = cells_per_square
        # A cell more than the beam needs: it is not always in the middle of its square.
        self.reach = model.cells // (2 * n) + 1
        self.shape = tuple(n * (len(axis) + 2 * self.reach) for axis in (rows, columns))
        moved = torch.round(photons.off_um / model.cell_um).long().clamp(-n, n)
        self._overlap = model.overlap(moved * model.cell_um - photons.off_um)
        self._first = photons.rows - rows.start + 1, photons.columns - columns.start + 1
        top, left = n * self._first[0] + moved[:, 1], n * self._first[1] + moved[:, 0]
        window = torch.arange(model.cells, device=moved.device)
        row, column = top[:, None] + window, left[:, None] + window
        self._index = row[:, :, None] * self.shape[1] + column[:, None]

    def amplitudes(self, cells: torch.Tensor) -> torch.Tensor:
        """Map cells, of the scene's shape, to amplitudes, (frames, modes)."""
        return self._overlap.amplitudes(cells.flatten()[self._index])

    def spread(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (frames, modes), to cells: the adjoint of ``amplitudes``."""
        windows = self._overlap.spread(amplitudes)
        cells = windows.new_zeros(self.shape).flatten()
        return cells.index_add_(0, self._index.flatten(), windows.flatten()).view(self.shape)

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

    def squares(self, cells: torch.Tensor) -> torch.Tensor:
        """Return the milled fraction of the squares under the rectangle's points."""
        n, reach = self.cells_per_square, self.reach
        means = torch.nn.functional.avg_pool2d(cells[None], n)[0]
        return means[reach:-reach, reach:-reach]

    def cells_of(self, squares: torch.Tensor) -> torch.Tensor:
        """Return cells that are as much milled as their squares, film beyond these."""
        n = self.cells_per_square
        padded = torch.nn.functional.pad(squares, [self.reach] * 4)
        return padded.repeat_interleave(n, 0).repeat_interleave(n, 1)
