"""The look of every picture: inks, maps, scales, and how a picture gets onto the disk."""

import math
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]
from numpy.typing import NDArray

from configs.drafts import in_place
from configs.errors import ConfigError
from configs.geometry import SQUARE_UM

INK: Final = "#16181d"
PAPER: Final = "#fbfaf7"
CHALK: Final = "#f4efe2"
RED: Final = "#d1495b"
BLUE: Final = "#3d8eb9"
AMBER: Final = "#e0a030"
GREY: Final = "#9aa3ad"


ERRORS: Final = ListedColormap([INK, CHALK, RED, BLUE]).with_extremes(bad=GREY)
"""Closed and right, open and right, falsely open, missed."""
_WIDE_UM: Final = 6.0


def frame_map(panel: Axes, unit_um: float) -> None:
    """Take the ticks from a map and give it a bar of a fitting length.

    Parameters
    ----------
    panel
        Of the map.
    unit_um
        What 1 is along its axes.
    """
    panel.set_xticks([])
    panel.set_yticks([])
    left, right = panel.get_xlim()
    bottom, top = panel.get_ylim()
    bar_um = 2 if abs(right - left) * unit_um > _WIDE_UM else 0.5
    bar = AnchoredSizeBar(
        panel.transData,
        bar_um / unit_um,
        f"{bar_um:g} µm",
        "lower left",
        pad=0.3,
        borderpad=0.5,
        sep=3,
        color=CHALK,
        size_vertical=0.008 * abs(top - bottom),
        label_top=True,
        fill_bar=True,
        fontproperties=FontProperties(size=7),
    )
    bar.patch.set(facecolor=INK, edgecolor="none", alpha=0.75)
    panel.add_artist(bar)


def draw_errors(panel: Axes, decision: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
    """Show where a decision, 0 or 1, is not the truth; NaN where either is not known."""
    kinds = np.where(decision == truth, truth, np.where(truth > 0, 3, 2))
    known = np.isfinite(decision) & np.isfinite(truth)
    panel.imshow(np.where(known, kinds, np.nan), cmap=ERRORS, vmin=0, vmax=3)


def draw_map(
    panel: Axes,
    image: NDArray[np.float64],
    edges_um: tuple[float, float],
    cmap: str,
    norm: Normalize,
) -> AxesImage:
    """Show an image whose sides run from edge to edge, with a bar of a fitting length."""
    low, high = edges_um
    shown = panel.imshow(image, extent=(low, high, high, low), cmap=cmap, norm=norm)
    frame_map(panel, 1.0)
    return shown


def scale_below(panel: Axes, shown: AxesImage, label: str) -> Colorbar:
    """Put a colour scale under a map."""
    scale = panel.inset_axes((0.12, -0.075, 0.76, 0.03))
    bar = panel.figure.colorbar(shown, cax=scale, orientation="horizontal")
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.set_label(label, fontsize=9, color=INK)
    return bar


def draw_squares(panel: Axes, edges_um: tuple[float, float]) -> None:
    """Rule the borders of the squares, the middle one on the axis."""
    first, beyond = (math.ceil(edge / SQUARE_UM - 0.5) for edge in edges_um)
    for border in (np.arange(first, beyond) + 0.5) * SQUARE_UM:
        panel.axvline(border, color=CHALK, lw=0.4, alpha=0.35)
        panel.axhline(border, color=CHALK, lw=0.4, alpha=0.35)


def note(panel: Axes, text: str) -> None:
    """Write into the upper left corner of a map."""
    box = {"facecolor": INK, "edgecolor": "none", "pad": 2, "alpha": 0.75}
    panel.text(
        0.03, 0.97, text, transform=panel.transAxes, va="top", color=CHALK, fontsize=8, bbox=box
    )


def plot_look(panel: Axes) -> None:
    """Make a graph fit in among the maps."""
    panel.set_box_aspect(1)
    panel.set_facecolor(PAPER)
    panel.grid(color=GREY, lw=0.4, alpha=0.5)
    panel.tick_params(labelsize=8, colors=INK)
    panel.spines[["top", "right"]].set_visible(False)


def save_picture(figure: Figure, path: Path, title: str = "OpticalNet") -> None:
    """Write a picture whole or not at all, with a title that viewers tell.

    Raises
    ------
    ConfigError
        If its kind is not known.
    RunStoreError
        If it cannot be written there.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(
            f"picture {path}: expected .png, .pdf or .svg, got {path.suffix or 'no ending'};"
            " choose one of them"
        )
    with in_place(path) as draft:
        figure.savefig(draft, dpi=120, format=kind, metadata={"Title": title})
