"""The look of every picture: inks, maps, scales, and how a picture gets onto the disk."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.geometry import SQUARE_NM

INK: Final = "#16181d"
PAPER: Final = "#fbfaf7"
CHALK: Final = "#f4efe2"
RED: Final = "#d1495b"
BLUE: Final = "#3d8eb9"
GREY: Final = "#9aa3ad"
PITCH_UM: Final = SQUARE_NM / 1000


def frame_map(panel: Axes, length: float, label: str) -> None:
    """Take the ticks from a map and give it a bar of some length in its own units."""
    panel.set_xticks([])
    panel.set_yticks([])
    bottom, top = panel.get_ylim()
    bar = AnchoredSizeBar(
        panel.transData,
        length,
        label,
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
    bar_um = 2 if high - low > 6 else 0.5
    frame_map(panel, bar_um, f"{bar_um:g} µm")
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
    first, beyond = (math.ceil(edge / PITCH_UM - 0.5) for edge in edges_um)
    for border in (np.arange(first, beyond) + 0.5) * PITCH_UM:
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


def save_picture(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all.

    Raises
    ------
    ConfigError
        If it cannot be written there, or its kind is not known.
    """
    draft = path.parent / f".draft-{path.name}"
    try:
        # Of a name without an ending, matplotlib would choose another.
        figure.savefig(draft, dpi=120, format=path.suffix.removeprefix(".") or "nothing")
        os.replace(draft, path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot write the picture {path}: {error}; choose a writable .png, .pdf or .svg"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
