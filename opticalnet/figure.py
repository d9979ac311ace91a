"""The picture of a reconstruction."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from acquisition.store import Run
from opticalnet.look import BLUE, CHALK, GREY, INK, PAPER, RED, frame_map, save_picture
from reconstruction.metrics import Scores
from reconstruction.scan_map import SquareMap

_GRAY = colormaps["gray"].with_extremes(bad=GREY)
_ERRORS = ListedColormap([INK, CHALK, RED, BLUE]).with_extremes(bad=GREY)


def save_figure(
    path: Path,
    run: Run,
    method: str,
    squares: SquareMap,
    truth: NDArray[np.float32] | None,
    stitched: Scores | None,
) -> None:
    """Draw probability and decision, and truth and errors where the truth is known.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    panels = 2 if truth is None else 4
    figure = Figure(figsize=(3.6 * panels, 4.9), facecolor=PAPER)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.84, wspace=0.04)
    shown = axes[0].imshow(squares.probability, cmap="inferno", vmin=0, vmax=1)
    axes[0].set_title("probability of open")
    scale = axes[0].inset_axes((0.2, -0.09, 0.6, 0.03))
    figure.colorbar(shown, cax=scale, orientation="horizontal").ax.tick_params(labelsize=8)
    seen = np.isfinite(squares.probability)
    decision = np.where(seen, squares.is_open, np.nan)
    axes[1].imshow(decision, cmap=_GRAY, vmin=0, vmax=1)
    axes[1].set_title("reconstructed")
    if truth is not None:
        _draw_truth(axes[2], axes[3], decision, truth)
    for panel in axes:
        frame_map(panel, 2000 / run.info.plan.pitch_nm, "2 µm")
    if stitched is not None:
        verdict = (
            f"{stitched.accuracy:.1%} of squares right, F1 {stitched.f1:.3f},"
            f" constant prediction {stitched.constant_accuracy:.1%}"
        )
        figure.supxlabel(verdict, color=INK, y=0.02)
    simulated = run.info.provenance.simulated
    stamp = f"SIMULATED {' and '.join(simulated)}" if simulated else "measured"
    title = (run.info.sample, method, stamp)
    figure.suptitle("  ·  ".join((*title, run.path.name)), color=INK, fontsize=11, y=0.97)
    save_picture(figure, path)


def _draw_truth(
    shape: Axes, errors: Axes, decision: NDArray[np.float64], truth: NDArray[np.float32]
) -> None:
    shape.imshow(truth, cmap=_GRAY, vmin=0, vmax=1)
    shape.set_title("truth (milled area)")
    is_open = truth >= 0.5
    wrong = np.where(is_open, 3, 2)
    kinds = np.where(decision == is_open, is_open, wrong)
    errors.imshow(np.where(np.isnan(decision), np.nan, kinds), cmap=_ERRORS, vmin=0, vmax=3)
    errors.set_title("red: falsely open, blue: missed")
