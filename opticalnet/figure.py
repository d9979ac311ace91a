"""The picture of a reconstruction."""

import os
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from acquisition.store import Run
from configs.errors import ReconstructionError
from reconstruction.metrics import Scores
from reconstruction.mosaic import Mosaic

_INK = "#16181d"
_PAPER = "#fbfaf7"
_UNSEEN = "#9aa3ad"
_GRAY = colormaps["gray"].with_extremes(bad=_UNSEEN)
_ERRORS = ListedColormap(["#16181d", "#f4efe2", "#d1495b", "#3d8eb9"]).with_extremes(
    bad=_UNSEEN
)


def save_figure(
    path: Path,
    run: Run,
    mosaic: Mosaic,
    truth: NDArray[np.float32] | None,
    stitched: Scores | None,
) -> None:
    """Draw probability and decision, and truth and errors where the truth is known.

    Raises
    ------
    ReconstructionError
        If the file cannot be written.
    """
    panels = 2 if truth is None else 4
    figure = Figure(figsize=(3.6 * panels, 4.9), facecolor=_PAPER)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.84, wspace=0.04)
    shown = axes[0].imshow(mosaic.probability, cmap="inferno", vmin=0, vmax=1)
    axes[0].set_title("probability of open")
    scale = axes[0].inset_axes((0.2, -0.09, 0.6, 0.03))
    figure.colorbar(shown, cax=scale, orientation="horizontal").ax.tick_params(labelsize=8)
    seen = np.isfinite(mosaic.probability)
    decision = np.where(seen, mosaic.is_open, np.nan)
    axes[1].imshow(decision, cmap=_GRAY, vmin=0, vmax=1)
    axes[1].set_title("reconstructed")
    if truth is not None:
        _draw_truth(axes[2], axes[3], decision, truth)
    for panel in axes:
        _dress(panel, mosaic.probability.shape, run.info.plan.pitch_nm)
    if stitched is not None:
        verdict = (
            f"{stitched.accuracy:.1%} of squares right, F1 {stitched.f1:.3f},"
            f" constant prediction {stitched.constant_accuracy:.1%}"
        )
        figure.supxlabel(verdict, color=_INK, y=0.02)
    simulated = run.info.provenance.simulated
    stamp = f"SIMULATED {' and '.join(simulated)}" if simulated else "measured"
    title = (run.info.sample, f"{mosaic.grid} x {mosaic.grid} squares per frame", stamp)
    figure.suptitle("  ·  ".join((*title, run.path.name)), color=_INK, fontsize=11, y=0.97)
    draft = path.with_name(f".draft-{path.name}")
    try:
        figure.savefig(draft, dpi=150)
        os.replace(draft, path)
    except (OSError, ValueError) as error:
        draft.unlink(missing_ok=True)
        raise ReconstructionError(
            f"cannot write the picture {path}: {error}; choose a writable .png, .pdf or .svg"
        ) from error


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


def _dress(panel: Axes, shape: tuple[int, ...], pitch_nm: float) -> None:
    """Frame without ticks, and a bar of two micrometres."""
    panel.set_xticks([])
    panel.set_yticks([])
    length = 2000 / pitch_nm
    rows, columns = shape
    corner = (columns * 0.04, rows * 0.955)
    panel.add_patch(Rectangle(corner, length, rows * 0.012, color="#f4efe2", ec=_INK, lw=0.4))
    panel.text(
        corner[0] + length / 2,
        rows * 0.945,
        "2 µm",
        ha="center",
        va="bottom",
        fontsize=7,
        color="#f4efe2",
        bbox={"facecolor": _INK, "edgecolor": "none", "pad": 1, "alpha": 0.6},
    )
