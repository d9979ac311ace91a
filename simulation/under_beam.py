"""Which cells of a sample lie under the beam."""

import numpy as np
from numpy.typing import NDArray

from simulation.samples import Sample

Float64 = NDArray[np.float64]
Index = NDArray[np.intp]


class CellsUnderBeam:
    """A sample, and film around it, for windows of side x side cells.

    Parameters
    ----------
    sample
        Its middle is where positions count from.
    side
        Cells along a window: odd, so that one of them is in the middle.

    Attributes
    ----------
    milled
        (rows, columns), milled fraction of the cells, float32.
    """

    def __init__(self, sample: Sample, side: int) -> None:
        self.milled = np.pad(sample.cells.astype(np.float32), side)
        self._side = side
        self._cell_um = sample.cell_nm / 1000

    def windows(self, position_um: Float64) -> tuple[Index, Index, Float64]:
        """Find the window around the cell nearest to the beam.

        Parameters
        ----------
        position_um
            (n, 2), where (x, y) on the sample the beam is, from its middle.

        Returns
        -------
        tuple
            First row and first column in ``milled``, (n,) each, and by how much (x, y) the
            window is displaced from the beam's axis, (n, 2), micrometres.
        """
        shape = np.array(self.milled.shape[::-1])
        # Whole numbers are the middles of cells.
        beam = position_um / self._cell_um + (shape - 1) / 2
        nearest = np.rint(beam)
        # Windows far from the sample are all film, wherever they are.
        first = np.clip(nearest - self._side // 2, 0, shape - self._side)
        left, top = first.astype(np.intp).T
        return top, left, (nearest - beam) * self._cell_um
