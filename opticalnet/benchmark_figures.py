"""Pictures of a benchmark: maps with their errors, and how reliable probabilities are."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from configs.geometry import SQUARE_UM
from opticalnet.look import (
    BLUE,
    CHALK,
    GREY,
    INK,
    PAPER,
    RED,
    draw_errors,
    frame_map,
    plot_look,
    save_picture,
)
from reconstruction.benchmarking.evaluation import Result, candidates_of, groups_of

_COLUMNS: Final = 5
_SIDE_IN: Final = 2.5
_EDGE_IN: Final = 0.15
_TOP_IN: Final = 0.6
_FEWEST: Final = 10
"""Squares in a bin: the share of fewer says nothing."""
_PROBABILITY: Final = colormaps["inferno"].with_extremes(bad=GREY)
_SHAPE: Final = ListedColormap([INK, CHALK]).with_extremes(bad=GREY)
_GROUPS: Final = (BLUE, RED, "#6a994e", "#e09f3e")


def save_maps(path: Path, title: str, results: Sequence[Result]) -> None:
    """Draw the truth, and every network's map above its errors, of one scan.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    maps, errors = _map_panels(len(results) + 1, title)
    figure = maps[0].figure
    assert isinstance(figure, Figure)
    truth = np.where(results[0].truth < 0, np.nan, results[0].truth)
    shown = None
    for at, result in enumerate(results, 1):
        shown = maps[at].imshow(result.probability, cmap=_PROBABILITY, vmin=0, vmax=1)
        maps[at].set_title(_caption(result), fontsize=9, color=INK, linespacing=1.35)
        decision = np.where(result.known, result.probability >= 0.5, np.nan)
        draw_errors(errors[at], decision, truth)
    maps[0].imshow(truth, cmap=_SHAPE, vmin=0, vmax=1)
    maps[0].set_title("truth", fontsize=9, color=INK)
    for panel in (*maps, *errors[1:]):
        frame_map(panel, SQUARE_UM)
    assert shown is not None, "somebody took part"
    _draw_legend(errors[0], shown)
    save_picture(figure, path)


def save_reliability(path: Path, results: Sequence[Result]) -> None:
    """Draw, for every network, how often squares of some probability are open.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    candidates, groups = candidates_of(results), groups_of(results)
    title = f"Of squares of some probability, how many are open; bins of {_FEWEST} or more"
    panels = _plot_panels(len(candidates), title)
    for panel, candidate in zip(panels, candidates, strict=True):
        panel.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=(0, (4, 3)))
        own = [result for result in results if result.candidate.label == candidate.label]
        for colour, group in zip(_GROUPS * len(groups), groups, strict=False):
            _draw_curve(panel, [r for r in own if r.group == group], group, colour)
        plot_look(panel)
        panel.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panel.set_title(candidate.label, fontsize=9, color=INK)
        panel.legend(
            fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08)
        )
    panels[0].set_ylabel("share that is open", color=INK, fontsize=9)
    figure = panels[0].figure
    assert isinstance(figure, Figure)
    save_picture(figure, path)


def _map_panels(count: int, title: str) -> tuple[list[Axes], list[Axes]]:
    """Return so many panels for maps, and one for errors under each."""
    caption, between = 0.65, 0.08
    band = caption + 2 * _SIDE_IN + between
    figure, places = _figure(count, title, _SIDE_IN + 0.1, band)
    maps = [_axes(figure, x, y + caption) for x, y in places]
    return maps, [_axes(figure, x, y + caption + _SIDE_IN + between) for x, y in places]


def _plot_panels(count: int, title: str) -> list[Axes]:
    """Return so many panels for graphs, with their labels."""
    figure, places = _figure(count, title, _SIDE_IN + 0.5, _SIDE_IN + 0.95)
    return [_axes(figure, x + 0.4, y + 0.3) for x, y in places]


def _figure(
    count: int, title: str, width_in: float, height_in: float
) -> tuple[Figure, list[tuple[float, float]]]:
    """Return a figure, and where in it, inches from the upper left, so many parts begin."""
    rows = -(-count // _COLUMNS)
    columns = -(-count // rows)
    size = columns * width_in + 2 * _EDGE_IN, _TOP_IN + rows * height_in + _EDGE_IN
    figure = Figure(figsize=size, facecolor=PAPER)
    figure.suptitle(title, color=INK, fontsize=13, y=1 - 0.25 / size[1])
    places = [divmod(at, columns) for at in range(count)]
    return figure, [
        (_EDGE_IN + column * width_in, _TOP_IN + row * height_in) for row, column in places
    ]


def _axes(figure: Figure, x_in: float, y_in: float) -> Axes:
    width, height = figure.get_size_inches()
    bottom = height - y_in - _SIDE_IN
    return figure.add_axes((x_in / width, bottom / height, _SIDE_IN / width, _SIDE_IN / height))


def _caption(result: Result) -> str:
    scores = result.stitched.scores
    candidate, part = result.candidate, ", part" if result.is_part else ""
    length = f"\n{candidate.length}" if candidate.is_short else ""
    return (
        f"{candidate.label}{length}\n{scores.accuracy:.1%} right{part}, constant"
        f" {scores.constant_accuracy:.1%}"
    )


def _draw_legend(panel: Axes, shown: AxesImage) -> None:
    """Say what colours mean, where there are no errors to be shown."""
    panel.set_axis_off()
    scale = panel.inset_axes((0.1, 0.88, 0.8, 0.05))
    bar = panel.figure.colorbar(shown, cax=scale, orientation="horizontal")
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.set_label("probability of open", fontsize=8, color=INK)
    kinds = ((INK, "closed, right"), (CHALK, "open, right"), (RED, "falsely open"))
    for at, (colour, text) in enumerate((*kinds, (BLUE, "missed"), (GREY, "not read"))):
        y = 0.56 - 0.12 * at
        panel.add_patch(
            Rectangle(
                (0.11, y - 0.03),
                0.06,
                0.06,
                fc=colour,
                ec=INK,
                lw=0.5,
                transform=panel.transAxes,
            )
        )
        panel.text(0.22, y, text, fontsize=9, color=INK, va="center", transform=panel.transAxes)


def _draw_curve(panel: Axes, results: Sequence[Result], group: str, colour: str) -> None:
    if not results:
        return
    pooled = reduce(add, (result.stitched.reliability for result in results))
    count = np.where(pooled.count < _FEWEST, np.nan, pooled.count)
    said, is_open = pooled.probability / count, pooled.open_squares / count
    label = f"{group}, {pooled.error:.1%} off"
    panel.plot(said, is_open, "o-", color=colour, lw=1, ms=3.5, label=label, clip_on=False)
