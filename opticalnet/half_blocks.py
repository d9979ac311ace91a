"""A map of squares as coloured characters, two squares each."""

from functools import cache
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

_UNSEEN: Final = (24, 28, 44)
# Black-body colours at probability 0, 1/4, ... 1: readable without colour vision.
_COLOURS: Final = np.array(
    [(8, 6, 12), (86, 16, 36), (190, 62, 20), (247, 158, 36), (255, 250, 214)], float
)
_LEVELS: Final = 48
UNDECIDED: Final = Color.from_rgb(64, 112, 152)
_UNDECIDED_LEVEL: Final = -2


@cache
def _style(upper: int, lower: int) -> Style:
    """Return the style of a character of two levels; -1: not seen yet, -2: undecided."""
    return Style(color=_colour(upper), bgcolor=_colour(lower))


@cache
def _colour(level: int) -> Color:
    if level == _UNDECIDED_LEVEL:
        return UNDECIDED
    if level < 0:
        return Color.from_rgb(*_UNSEEN)
    places = np.linspace(0, _LEVELS - 1, len(_COLOURS))
    return Color.from_rgb(*(np.interp(level, places, channel) for channel in _COLOURS.T))


class HalfBlocks:
    """A map in the terminal, two squares a character, averaged down until it fits.

    Parameters
    ----------
    probability
        (rows, columns); NaN is drawn as not seen yet.
    columns, lines
        Room in the terminal, in characters.
    undecided
        (rows, columns), squares drawn as such, where they are most.
    """

    def __init__(
        self,
        probability: NDArray[np.float64],
        columns: int,
        lines: int,
        undecided: NDArray[np.bool_] | None = None,
    ) -> None:
        rows, width = probability.shape
        shrink = max(1, -(-width // columns), -(-rows // (2 * lines)))
        margins = ((0, -rows % (2 * shrink)), (0, -width % shrink))

        def mean(squares: NDArray[np.float64]) -> NDArray[np.float64]:
            """Average what is known of each block; NaN if nothing is."""
            padded = np.pad(squares, margins, constant_values=np.nan)
            blocks = padded.reshape(len(padded) // shrink, shrink, -1, shrink)
            seen = np.isfinite(blocks)
            total = np.where(seen, blocks, 0).sum(axis=(1, 3))
            count = seen.sum(axis=(1, 3))
            return np.where(count > 0, total / np.maximum(count, 1), np.nan)

        known = mean(probability)
        levels = np.rint(np.nan_to_num(known) * (_LEVELS - 1)).astype(int)
        levels[np.isnan(known)] = -1
        if undecided is not None:
            levels[mean(undecided.astype(float)) > 0.5] = _UNDECIDED_LEVEL
        self._levels: list[list[int]] = levels.tolist()

    def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
        for upper, lower in zip(self._levels[::2], self._levels[1::2], strict=True):
            for pair, run in groupby(zip(upper, lower, strict=True)):
                yield Segment("▀" * sum(1 for _ in run), _style(*pair))
            yield Segment.line()

    def __rich_measure__(self, _: Console, __: ConsoleOptions) -> Measurement:
        width = len(self._levels[0])
        return Measurement(width, width)
