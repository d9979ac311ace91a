"""A scene on the grid of its scan: nearly the same linear map at a fraction of the cost."""

import torch

from reconstruction.inversion.scene import Scene


class GridScene:
    """The linear map of a scene, from cells to amplitudes, and its adjoint, nearly.

    On the grid, the overlaps of all windows of cells with the axis functions of the modes are
    one product of matrices along each axis. The axis functions of a beam that was off the grid
    are taken for combinations of those on it: right to 0.1 % of what differs between frames
    within half a cell, to some 10 % beyond. Enough for a curvature whose slope is exact.

    Parameters
    ----------
    scene
        Which.
    """

    def __init__(self, scene: Scene) -> None:
        n, off_um = scene.cells_per_square, scene.off_um
        self._row, self._column = scene.grid
        on_grid = scene.model.overlap(torch.zeros_like(off_um[:1]))
        moved = torch.round(off_um / scene.model.cell_um).long().clamp(-n, n)
        at_frames = scene.model.overlap(moved * scene.model.cell_um - off_um)
        self._kept, self._mixing = on_grid.kept, on_grid.mixing
        rows, columns = (cells // n - 2 * scene.reach for cells in scene.shape)
        self._y, self._x = _banded(on_grid.y[0], rows, n), _banded(on_grid.x[0], columns, n)
        # (frames, functions of the grid, functions of the frame)
        to_grid_y, to_grid_x = torch.linalg.pinv(on_grid.y), torch.linalg.pinv(on_grid.x)
        self._off_y = to_grid_y @ _rolled(at_frames.y, moved[:, 1])
        self._off_x = to_grid_x @ _rolled(at_frames.x, moved[:, 0])
        each = on_grid.x.shape[-1]
        self._shape = rows, each, columns, each

    def amplitudes(self, cells: torch.Tensor) -> torch.Tensor:
        """Map cells, of the scene's shape, to amplitudes, (frames, modes)."""
        products = (self._y @ cells @ self._x.T).view(self._shape)[self._row, :, self._column]
        products = self._off_y.mT @ products @ self._off_x
        amplitudes: torch.Tensor = products.flatten(1)[:, self._kept] @ self._mixing
        return amplitudes

    def spread(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (frames, modes), to cells: the adjoint of ``amplitudes``."""
        each = self._shape[-1]
        products = amplitudes.new_zeros(len(amplitudes), each**2)
        products[:, self._kept] = amplitudes @ self._mixing.T
        products = self._off_y @ products.view(-1, each, each) @ self._off_x.mT
        on_grid = amplitudes.new_zeros(self._shape)
        on_grid[self._row, :, self._column] = products
        cells: torch.Tensor = self._y.T @ on_grid.view(len(self._y), -1) @ self._x
        return cells


def _banded(functions: torch.Tensor, count: int, n: int) -> torch.Tensor:
    """Repeat axis functions, (cells, functions), so many times, every n cells.

    Returns (count x functions, cells of the scene along the axis).
    """
    side, each = functions.shape
    band = functions.new_zeros(count, each, n * (count + 1) + side)
    for place in range(count):
        first = n * (place + 1)
        band[place, :, first : first + side] = functions.T
    return band.flatten(0, 1)


def _rolled(functions: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Move axis functions, (frames, cells, functions), by so many cells, (frames,)."""
    side = functions.shape[1]
    cell = torch.arange(side, device=by.device) - by[:, None]
    there = (cell >= 0) & (cell < side)
    index = cell.clamp(0, side - 1)[:, :, None].expand_as(functions)
    return functions.gather(1, index) * there[:, :, None]
