"""The picture of a reconstruction."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from configs.errors import ReconstructionError

if TYPE_CHECKING:
    from opticalnet.api import Reconstruction

_INK = "#16181d"
_PAPER = "#fbfaf7"
_ERRORS = ListedColormap(["#16181d", "#f4efe2", "#d1495b", "#3d8eb9"])


def save_figure(result: "Reconstruction", path: Path) -> None:
    """Draw probability and decision, and truth and errors where the truth is known.

    Raises
    ------
    ReconstructionError
        If the file cannot be written.
    """
    mosaic, info = result.mosaic, result.run.info
    panels = 2 if result.truth is None else 4
    figure = Figure(figsize=(3.6 * panels, 4.9), facecolor=_PAPER)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.84, wspace=0.04)
    shown = axes[0].imshow(mosaic.probability, cmap="inferno", vmin=0, vmax=1)
    axes[0].set_title("probability of open")
    scale = axes[0].inset_axes((0.2, -0.09, 0.6, 0.03))
    figure.colorbar(shown, cax=scale, orientation="horizontal").ax.tick_params(labelsize=8)
    axes[1].imshow(mosaic.is_open, cmap="gray", vmin=0, vmax=1)
    axes[1].set_title("reconstructed")
    if result.truth is not None and result.stitched is not None:
        axes[2].imshow(result.truth, cmap="gray", vmin=0, vmax=1)
        axes[2].set_title("truth (milled area)")
        is_open = result.truth >= 0.5
        kinds = np.where(
            mosaic.is_open == is_open, is_open.astype(int), np.where(is_open, 3, 2)
        )
        axes[3].imshow(kinds, cmap=_ERRORS, vmin=0, vmax=3)
        axes[3].set_title("red: falsely open, blue: missed")
        figure.supxlabel(
            f"{result.stitched.accuracy:.1%} of squares right, F1 {result.stitched.f1:.3f},"
            f" constant prediction {result.stitched.constant_accuracy:.1%}",
            color=_INK,
            y=0.02,
        )
    for panel in axes:
        _dress(panel, mosaic.probability.shape, info.plan.pitch_nm)
    simulated = info.provenance.simulated
    stamp = f"SIMULATED {' and '.join(simulated)}" if simulated else "measured"
    figure.suptitle(
        f"{info.sample}  ·  {mosaic.grid} x {mosaic.grid} squares per frame  ·  {stamp}"
        f"  ·  {result.run.path.name}",
        color=_INK,
        fontsize=11,
        y=0.97,
    )
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise ReconstructionError(
            f"cannot write the picture {path}: {error}; choose a writable .png, .pdf or .svg"
        ) from error


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
