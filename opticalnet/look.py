"""The look of every picture: inks, scale bars, and how a picture gets onto the disk."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

from configs.errors import ConfigError

INK: Final = "#16181d"
PAPER: Final = "#fbfaf7"
CHALK: Final = "#f4efe2"
RED: Final = "#d1495b"
BLUE: Final = "#3d8eb9"
GREY: Final = "#9aa3ad"


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


def save_picture(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all.

    Raises
    ------
    ConfigError
        If it cannot be written there, or its kind is not known.
    """
    draft = path.with_name(f".draft-{path.name}")
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
