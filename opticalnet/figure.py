"""The picture of a reconstruction."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from opticalnet.console import listed
from opticalnet.look import AMBER, GREY, INK, PAPER, RED, draw_errors, frame_map, save_picture
from reconstruction.metrics import Scores

if TYPE_CHECKING:
    from opticalnet.reconstructions import Reconstruction

_GRAY = colormaps["gray"].with_extremes(bad=GREY)


def save_figure(path: Path, result: "Reconstruction") -> None:
    """Draw probability and decision, and truth and errors where the truth is known.

    Of an inversion also where it cannot decide, and where it does not explain the frames.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    truth, squares, inversion = result.truth, result.squares, result.inversion
    panels = 2 + (inversion is not None) + 2 * (truth is not None)
    figure = Figure(figsize=(3.6 * panels, 4.9), facecolor=PAPER)
    axes = iter(figure.subplots(1, panels, squeeze=False)[0])
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.16, top=0.84, wspace=0.04)
    _draw_scaled(
        next(axes), squares.probability, "inferno", Normalize(0, 1), "probability of open"
    )
    decision = np.where(np.isfinite(squares.probability), squares.is_open, np.nan)
    panel = next(axes)
    panel.imshow(decision, cmap=_GRAY, vmin=0, vmax=1)
    panel.set_title("reconstructed")
    if inversion is not None:
        _mark(panel, inversion.undecided & np.isfinite(decision))
        panel.set_title("reconstructed, dots: undecided")
        of_frames = result.run.info.plan.crop(inversion.of_frames)
        title = f"chi-squared of frames, mean {inversion.chi_squared:.3f}"
        _draw_scaled(next(axes), of_frames, "RdBu_r", Normalize(0.8, 1.2), title)
    if truth is not None:
        _draw_truth(next(axes), next(axes), decision, truth)
    for panel in figure.axes:
        frame_map(panel, result.run.info.plan.pitch_nm / 1000)
    if result.stitched is not None:
        figure.supxlabel(_verdict(result.stitched), color=INK, y=0.02)
    figure.suptitle(_headline(result), color=_headline_ink(result), fontsize=11, y=0.97)
    save_picture(figure, path, result.title)


def _draw_scaled(
    panel: Axes, image: NDArray[np.float64], cmap: str, norm: Normalize, title: str
) -> None:
    shown = panel.imshow(image, cmap=cmap, norm=norm)
    panel.set_title(title)
    scale = panel.inset_axes((0.2, -0.09, 0.6, 0.03))
    panel.figure.colorbar(shown, cax=scale, orientation="horizontal").ax.tick_params(
        labelsize=8
    )


def _mark(panel: Axes, squares: NDArray[np.bool_]) -> None:
    """Put a dot on squares."""
    rows, columns = np.nonzero(squares)
    across = panel.bbox.width / squares.shape[1]
    panel.scatter(columns, rows, s=(0.35 * across) ** 2, c=AMBER, linewidths=0)


def _verdict(scores: Scores) -> str:
    return (
        f"{scores.accuracy:.1%} of squares right, F1 {scores.f1:.3f},"
        f" constant prediction {scores.constant_accuracy:.1%}"
    )


def _headline(result: "Reconstruction") -> str:
    told = {"network": "whole scan, network", "inversion": "whole scan, inversion"}.get(
        result.method, f"{result.grid} x {result.grid} squares per frame"
    )
    simulated = result.run.info.provenance.simulated
    stamp = f"SIMULATED {listed(simulated)}" if simulated else "measured"
    parts = [result.run.info.sample, told, stamp, result.run.path.name]
    if not _is_explained(result):
        parts.append("NOT EXPLAINED BY THE MODEL")
    return "  ·  ".join(parts)


def _headline_ink(result: "Reconstruction") -> str:
    return INK if _is_explained(result) else RED


def _is_explained(result: "Reconstruction") -> bool:
    return result.inversion is None or result.inversion.is_explained


def _draw_truth(
    shape: Axes, errors: Axes, decision: NDArray[np.float64], truth: NDArray[np.float32]
) -> None:
    shape.imshow(truth, cmap=_GRAY, vmin=0, vmax=1)
    shape.set_title("truth (milled area)")
    draw_errors(errors, decision, (truth >= 0.5).astype(np.float64))
    errors.set_title("red: falsely open, blue: missed")
