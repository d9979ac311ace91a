"""What is known of a data set before anything is simulated: sizes, and splits that hold."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from configs.dataset import DatasetPlan
from configs.errors import ConfigError
from configs.sample import AnySample, Block, Qr
from simulation.datasets.scan import draw_sample
from simulation.samples import Sample

_BESIDE_THE_SHAPE: Final = {
    "squares",
    "cell_nm",
    "fabrication",
    "centre_um",
    "radius_um",
    "path",
}


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
        If a part asks for more or fewer frames than its scans have, or if what is trained
        on would also be tested with: the same open squares, wherever they lie, or the same
        shape, unless chance draws it.
    """
    sizes = []
    seen: dict[bytes | str, tuple[str, str]] = {}
    for number, part in enumerate(plan.parts):
        for scan in range(part.scans):
            sample = draw_sample(plan, number, scan)
            for mark in _marks(sample):
                split, path = seen.setdefault(mark, (part.split, part.path))
                if split != part.split:
                    raise ConfigError(
                        f"data set {plan.name}: expected no sample in both splits, got the same"
                        f" one in {path} and {part.path}; change one of them in more than"
                        " size, place and fabrication"
                    )
        sizes.append(_part_size(plan, number, sample))
    return sizes


def _marks(sample: Sample) -> list[bytes | str]:
    """Return what no sample of the other split may have."""
    assert sample.config is not None, "samples of a plan have one"
    if isinstance(sample.config, Block | Qr):
        return [_open_squares(sample)]
    return [_open_squares(sample), _shape(sample.config)]


def _open_squares(sample: Sample) -> bytes:
    """Return the squares around all that are open; without any, what is milled."""
    is_open = sample.is_open
    if not is_open.any():
        return sample.coverage.tobytes()
    rows, columns = (np.flatnonzero(is_open.any(axis=axis)) for axis in (1, 0))
    shown = is_open[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return b"%d x %d " % shown.shape + shown.tobytes()


def _shape(sample: AnySample) -> str:
    """Return what is drawn, at whatever size, place and quality; of a file its checksum."""
    return sample.model_dump_json(exclude=_BESIDE_THE_SHAPE)


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
