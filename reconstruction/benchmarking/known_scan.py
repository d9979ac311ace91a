"""A scan whose sample is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.store import RunInfo

_PART_BEGINS: Final = 0.55
"""Of a side: there a star is as hard as on the whole; towards its middle it is harder."""


@dataclass(frozen=True, slots=True)
class KnownScan:
    """Frames, and what they should say.

    Attributes
    ----------
    group
        What kind of sample.
    seed
        Of sample and instrument; ``None``: it was measured.
    info
        Scan and instrument.
    lines
        Valid frames.
    truth
        (rows, columns) of the sample: 1 open, 0 closed, -1 unknown.
    targets
        (scan, side, side), the same of the squares around each point.
    """

    group: str
    seed: int | None
    info: RunInfo
    lines: Sequence[FrameLine]
    truth: NDArray[np.int8]
    targets: NDArray[np.int8]

    @property
    def frames(self) -> int:
        """Number of valid frames."""
        return count_frames(self.lines)

    def part(self, side: int) -> list[FrameLine]:
        """Return the frames in a square of points, off the middle of the scan."""
        plan = self.info.plan
        top, left = (_first(points, side) for points in (plan.rows, plan.columns))
        inside = (line for line in self.lines if top <= line.row < top + side)
        return [
            cut(line, (line.columns >= left) & (line.columns < left + side)) for line in inside
        ]


def count_frames(lines: Sequence[FrameLine]) -> int:
    """Return how many frames some lines have."""
    return sum(len(line.columns) for line in lines)


def cut(line: FrameLine, kept: slice | NDArray[np.bool_]) -> FrameLine:
    """Return some of the frames of a line."""
    return FrameLine(line.row, line.columns[kept], line.images[kept], line.off_um[kept])


def _first(points: int, side: int) -> int:
    return max(0, min(round(_PART_BEGINS * points), points - side))
