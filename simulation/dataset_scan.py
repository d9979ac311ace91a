"""One scan of a data set: a sample, and where it is under the beam point by point.

Row down is +y and column right is +x, as in ``configs.geometry``. Whatever is random
here follows from the seed of the set, the number of the part and that of the scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from configs.dataset import DatasetPlan
from configs.errors import ConfigError
from configs.geometry import SQUARE_NM
from simulation.environment import Disturbances
from simulation.samples import Sample, make_sample

Float64 = NDArray[np.float64]

GRIDS: Final = (3, 5, 7)
_SCANS: Final = 1000  # a key that no simulation.streams.Stream has


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

    @property
    def cell_nm(self) -> float:
        """Side of a cell of the sample."""
        return SQUARE_NM / self.sample.cells_per_square

    def lines(self, side: int) -> Iterator[ScanLine]:
        """Yield the lines in turn, for windows of ``side`` x ``side`` cells."""
        cell_nm = self.cell_nm
        padded = np.pad(self.sample.cells.astype(np.float32), side)
        # Whole numbers are the middles of cells.
        middle = (np.array(self.sample.cells.shape[::-1]) - 1) / 2
        beam = self.position_um * (1000 / cell_nm) + middle
        nearest = np.rint(beam)
        offset_um = (nearest - beam) * (cell_nm / 1000)
        # Windows far from the sample are all film, wherever they are.
        first = np.clip(nearest + (side - side // 2), 0, np.array(padded.shape[::-1]) - side)
        left, top = first.astype(np.intp).T
        for row in range(self.rows):
            line = slice(row * self.columns, (row + 1) * self.columns)
            band = slice(top[line].min(), top[line].max() + side)
            yield ScanLine(
                part=self.part,
                scan=self.number,
                row=row,
                cell_nm=cell_nm,
                cells=padded[band],
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
        is_open = (self.sample.coverage >= 0.5).astype(np.uint8)
        padded = np.pad(is_open, self.margin + grid // 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (grid, grid))
        return windows.reshape(-1, grid, grid)


def draw_scan(plan: DatasetPlan, part: int, number: int) -> Scan:
    """Draw a scan; it may have a number beyond those that are kept in the set."""
    seed = _scan_seed(plan.seed, part, number)
    sample = make_sample(plan.parts[part].sample, seed)
    rows, columns = (side + 2 * plan.margin for side in sample.coverage.shape)
    row, column = np.divmod(np.arange(rows * columns), columns)
    path = Disturbances(plan.environment, seed).at(_times_s(plan, rows * columns))
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


def _scan_seed(seed: int, part: int, number: int) -> int:
    sequence = np.random.SeedSequence(seed, spawn_key=(_SCANS, part, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _times_s(plan: DatasetPlan, points: int) -> Float64:
    """Middle of every exposure: move, expose, read out, and so on."""
    period_ms = plan.settling_ms + plan.exposure_ms + plan.camera.readout_ms
    first_ms = plan.settling_ms + plan.exposure_ms / 2
    times: Float64 = (first_ms + period_ms * np.arange(points)) / 1000
    return times


@dataclass(frozen=True, slots=True)
class PartSize:
    """How much of a part there is.

    Attributes
    ----------
    rows, columns
        Points of a scan.
    cells_per_square
        Along a side.
    frames
        Kept, of all scans.
    sample_shape
        Rows and columns of squares.
    """

    rows: int
    columns: int
    cells_per_square: int
    frames: int
    sample_shape: tuple[int, int]


def part_sizes(plan: DatasetPlan) -> list[PartSize]:
    """Draw every sample of a plan once, and say how large its parts become.

    Raises
    ------
    ConfigError
        If a part asks for more or fewer frames than its scans have, or if the same
        sample would be trained on and tested with.
    """
    sizes = []
    seen: dict[bytes, tuple[str, str]] = {}
    for number, part in enumerate(plan.parts):
        for scan in range(part.scans):
            sample = make_sample(part.sample, _scan_seed(plan.seed, number, scan))
            pattern = sample.coverage.tobytes()
            split, path = seen.setdefault(pattern, (part.split, part.path))
            if split != part.split:
                raise ConfigError(
                    f"data set {plan.name}: expected no sample in both splits, got the same one"
                    f" in {path} and {part.path}; change one of them"
                )
        sizes.append(_part_size(plan, number, sample))
    return sizes


def _part_size(plan: DatasetPlan, number: int, sample: Sample) -> PartSize:
    part = plan.parts[number]
    rows, columns = (side + 2 * plan.margin for side in sample.coverage.shape)
    most = part.scans * rows * columns
    fewest = most - rows * columns + 1
    frames = most if part.frames is None else part.frames
    if not fewest <= frames <= most:
        raise ConfigError(
            f"data set {plan.name}: part {part.path}: expected {fewest} to {most} frames of"
            f" {part.scans} scans of {rows} x {columns} points, got {frames};"
            " change frames or scans"
        )
    shape = rows - 2 * plan.margin, columns - 2 * plan.margin
    return PartSize(rows, columns, sample.cells_per_square, frames, shape)
