"""One scan of a data set: a sample, and where it is under the beam point by point.

Row down is +y and column right is +x, as in ``configs.geometry``. Whatever is random
here follows from the seed of the set, the number of the part and that of the scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.dataset import DatasetPlan
from configs.geometry import SQUARE_NM
from simulation.environment import Disturbances
from simulation.samples import Sample, make_sample
from simulation.streams import Stream, derived_seed
from simulation.under_beam import CellsUnderBeam

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScanLine:
    """All that the light needs to know of one line of a scan.

    Attributes
    ----------
    part, scan, row
        Which line of the set it is.
    cell_nm
        Side of a cell.
    cells
        (rows, columns), milled fraction of the cells that the line comes near, float32.
    top, left
        (points,), first row and column of the cells under the beam.
    offset_um
        (points, 2), by how much (x, y) those are displaced from the beam's axis.
    focus_nm
        By how much the sample is away from the nominal defocus.
    power
        (points,), relative laser power.
    """

    part: int
    scan: int
    row: int
    cell_nm: float
    cells: NDArray[np.float32]
    top: NDArray[np.intp]
    left: NDArray[np.intp]
    offset_um: Float64
    focus_nm: float
    power: Float64


@dataclass(frozen=True, slots=True)
class Scan:
    """A raster over a sample; arrays run over ``row * columns + column``.

    Attributes
    ----------
    part, number
        Which scan of the set it is.
    sample
        What lies under the beam.
    margin, rows, columns
        Points beyond the sample on every side; points along the axes.
    position_um
        (points, 2), where (x, y) on the sample the beam is, from its centre.
    focus_nm
        (points,), whole nanometres; one line has one focus.
    power
        (points,), relative laser power.
    """

    part: int
    number: int
    sample: Sample
    margin: int
    rows: int
    columns: int
    position_um: Float64
    focus_nm: Float64
    power: Float64

    def lines(self, side: int) -> Iterator[ScanLine]:
        """Yield the lines in turn, for windows of ``side`` x ``side`` cells."""
        under_beam = CellsUnderBeam(self.sample, side)
        top, left, offset_um = under_beam.windows(self.position_um)
        for row in range(self.rows):
            line = slice(row * self.columns, (row + 1) * self.columns)
            band = slice(top[line].min(), top[line].max() + side)
            yield ScanLine(
                part=self.part,
                scan=self.number,
                row=row,
                cell_nm=self.sample.cell_nm,
                cells=under_beam.milled[band],
                top=top[line] - band.start,
                left=left[line],
                offset_um=offset_um[line],
                focus_nm=float(self.focus_nm[line.start]),
                power=self.power[line],
            )

    def targets(self, grid: int) -> NDArray[np.uint8]:
        """Return which squares around the beam are open, (points, grid, grid), 0 or 1.

        A square is open where at least half of it is milled; beyond the sample is film.
        """
        padded = np.pad(self.sample.is_open.astype(np.uint8), self.margin + grid // 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (grid, grid))
        return windows.reshape(-1, grid, grid)


def draw_scan(plan: DatasetPlan, part: int, number: int) -> Scan:
    """Draw a scan; it may have a number beyond those that are kept in the set."""
    sample = draw_sample(plan, part, number)
    rows, columns = (side + 2 * plan.margin for side in sample.coverage.shape)
    row, column = np.divmod(np.arange(rows * columns), columns)
    disturbances = Disturbances(plan.environment, _seed(plan, part, number))
    path = disturbances.at(_times_s(plan, rows * columns))
    target_nm = SQUARE_NM * np.stack([column - (columns - 1) / 2, row - (rows - 1) / 2], axis=1)
    line_focus_nm = np.rint(path.focus_nm.reshape(rows, columns).mean(axis=1))
    return Scan(
        part=part,
        number=number,
        sample=sample,
        margin=plan.margin,
        rows=rows,
        columns=columns,
        # A sample that drifts right has the beam further left on it.
        position_um=(target_nm - path.displacement_nm) / 1000,
        focus_nm=np.repeat(line_focus_nm, columns),
        power=path.power,
    )


def draw_sample(plan: DatasetPlan, part: int, number: int) -> Sample:
    """Draw the sample of a scan alone."""
    return make_sample(plan.parts[part].sample, _seed(plan, part, number))


def _seed(plan: DatasetPlan, part: int, number: int) -> int:
    return derived_seed(plan.seed, Stream.SCAN, part, number)


def _times_s(plan: DatasetPlan, points: int) -> Float64:
    """Middle of every exposure: move, expose, read out, and so on."""
    period_ms = plan.settling_ms + plan.exposure_ms + plan.camera.readout_ms
    first_ms = plan.settling_ms + plan.exposure_ms / 2
    times: Float64 = (first_ms + period_ms * np.arange(points)) / 1000
    return times
