"""A scan in parts that fit into memory, whatever its size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from acquisition.plan import ScanPlan

LARGEST_SIDE: Final = 72
"""Points along a side that a tile decides; with its surroundings it takes some 2 GB."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of scan points.

    Attributes
    ----------
    rows, columns
        Whose squares it decides.
    seen_rows, seen_columns
        Of the frames that it looks at: those and the ones around.
    """

    rows: range
    columns: range
    seen_rows: range
    seen_columns: range


def tiles(plan: ScanPlan, around: int, most_rows: int | None = None) -> Iterator[Tile]:
    """Cut a scan into tiles that see so many points more on every side, row after row."""
    for rows in _pieces(plan.rows, most_rows or LARGEST_SIDE):
        for columns in _pieces(plan.columns, LARGEST_SIDE):
            yield Tile(
                rows,
                columns,
                _wider(rows, around, plan.rows),
                _wider(columns, around, plan.columns),
            )


def _pieces(length: int, most: int) -> Iterator[range]:
    """Cut into as few pieces as possible, nearly equal ones."""
    count = -(-length // most)
    for piece in range(count):
        yield range(length * piece // count, length * (piece + 1) // count)


def _wider(axis: range, around: int, length: int) -> range:
    return range(max(0, axis.start - around), min(length, axis.stop + around))
