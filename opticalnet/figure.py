"""The picture of a reconstruction."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from opticalnet.look import GREY, INK, PAPER, draw_errors, frame_map, save_picture
from reconstruction.metrics import Scores

if TYPE_CHECKING:
    from opticalnet.reconstructing import Reconstruction

_GRAY = colormaps["gray"].with_extremes(bad=GREY)


def save_figure(path: Path, result: "Reconstruction") -> None:
    """Draw probability and decision, and truth and errors where the truth is known.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    truth, squares, info = result.truth, result.squares, result.run.info
    panels = 2 if truth is None else 4
    figure = Figure(figsize=(3.6 * panels, 4.9), facecolor=PAPER)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.84, wspace=0.04)
    _draw_probability(axes[0], squares.probability)
    decision = np.where(np.isfinite(squares.probability), squares.is_open, np.nan)
    axes[1].imshow(decision, cmap=_GRAY, vmin=0, vmax=1)
    axes[1].set_title("reconstructed")
    if truth is not None:
        _draw_truth(axes[2], axes[3], decision, truth)
    for panel in axes:
        frame_map(panel, info.plan.pitch_nm / 1000)
    if result.stitched is not None:
        figure.supxlabel(_verdict(result.stitched), color=INK, y=0.02)
    figure.suptitle(_headline(result), color=INK, fontsize=11, y=0.97)
    save_picture(figure, path, result.title)


def _draw_probability(panel: Axes, probability: NDArray[np.float64]) -> None:
    shown = panel.imshow(probability, cmap="inferno", vmin=0, vmax=1)
    panel.set_title("probability of open")
    scale = panel.inset_axes((0.2, -0.09, 0.6, 0.03))
    panel.figure.colorbar(shown, cax=scale, orientation="horizontal").ax.tick_params(
        labelsize=8
    )


def _verdict(scores: Scores) -> str:
    return (
        f"{scores.accuracy:.1%} of squares right, F1 {scores.f1:.3f},"
        f" constant prediction {scores.constant_accuracy:.1%}"
    )


def _headline(result: "Reconstruction") -> str:
    told = f"{result.grid} x {result.grid} squares per frame"
    if result.method == "network":
        told = "whole scan"
    simulated = result.run.info.provenance.simulated
    stamp = f"SIMULATED {' and '.join(simulated)}" if simulated else "measured"
    return "  ·  ".join((result.run.info.sample, told, stamp, result.run.path.name))


def _draw_truth(
    shape: Axes, errors: Axes, decision: NDArray[np.float64], truth: NDArray[np.float32]
) -> None:
    shape.imshow(truth, cmap=_GRAY, vmin=0, vmax=1)
    shape.set_title("truth (milled area)")
    draw_errors(errors, decision, (truth >= 0.5).astype(np.float64))
    errors.set_title("red: falsely open, blue: missed")
