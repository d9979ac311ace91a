"""How large the parts of a data set become, known before anything is simulated."""

from dataclasses import dataclass

from configs.dataset import DatasetPlan
from configs.errors import ConfigError
from simulation.datasets.scan import draw_sample
from simulation.samples import Sample


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
            sample = draw_sample(plan, number, scan)
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
