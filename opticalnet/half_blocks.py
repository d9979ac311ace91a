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

# Black-body colours at probability 0, 1/4, ... 1: readable without colour vision.
_COLOURS: Final = np.array(
    [(8, 6, 12), (86, 16, 36), (190, 62, 20), (247, 158, 36), (255, 250, 214)], float
)
_LEVELS: Final = 48
UNDECIDED: Final = Color.from_rgb(64, 112, 152)
_UNSEEN_LEVEL, _UNDECIDED_LEVEL = -1, -2
_NO_PROBABILITY: Final = {
    _UNSEEN_LEVEL: Color.from_rgb(24, 28, 44),
    _UNDECIDED_LEVEL: UNDECIDED,
}


@cache
def _style(upper: int, lower: int) -> Style:
    """Return the style of a character of two levels."""
    return Style(color=_colour(upper), bgcolor=_colour(lower))


@cache
def _colour(level: int) -> Color:
    if level in _NO_PROBABILITY:
        return _NO_PROBABILITY[level]
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
        (rows, columns), squares drawn as such where they are at least half of what is known.
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
        known = _block_means(probability, shrink)
        levels = np.rint(np.nan_to_num(known) * (_LEVELS - 1)).astype(int)
        levels[np.isnan(known)] = _UNSEEN_LEVEL
        if undecided is not None:
            of_known = np.where(np.isfinite(probability), undecided, np.nan)
            levels[_block_means(of_known, shrink) >= 0.5] = _UNDECIDED_LEVEL
        self._levels: list[list[int]] = levels.tolist()

    def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
        for upper, lower in zip(self._levels[::2], self._levels[1::2], strict=True):
            for pair, run in groupby(zip(upper, lower, strict=True)):
                yield Segment("▀" * sum(1 for _ in run), _style(*pair))
            yield Segment.line()

    def __rich_measure__(self, _: Console, __: ConsoleOptions) -> Measurement:
        width = len(self._levels[0])
        return Measurement(width, width)


def _block_means(squares: NDArray[np.float64], shrink: int) -> NDArray[np.float64]:
    """Average what is known of blocks of squares, (rows, columns); NaN where nothing is."""
    rows, columns = squares.shape
    margins = ((0, -rows % (2 * shrink)), (0, -columns % shrink))
    padded = np.pad(squares, margins, constant_values=np.nan)
    blocks = padded.reshape(len(padded) // shrink, shrink, -1, shrink)
    seen = np.isfinite(blocks)
    count = seen.sum(axis=(1, 3))
    total = np.where(seen, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
