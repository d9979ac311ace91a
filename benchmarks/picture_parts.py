"""What pictures of the virtual microscope share."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from configs.optics import Optics
from configs.sample import Block
from opticalnet.look import INK, PAPER, draw_map, scale_below

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PEAK_E, READ_E = 2000.0, 1.6
_HALF_UM = Optics().window_um / 2
WINDOW_UM = -_HALF_UM, _HALF_UM
"""Where the camera's window begins and ends on the sample, along both axes."""


def eight_maps(title: str, height: float = 8.6) -> tuple[Figure, list[Axes]]:
    """Return a figure with two rows of four panels."""
    figure = Figure(figsize=(14.4, height), facecolor=PAPER)
    grid = {"left": 0.01, "right": 0.99, "bottom": 0.11, "top": 0.88, "wspace": 0.03}
    panels = figure.subplots(2, 4, gridspec_kw=grid | {"hspace": 0.42})
    figure.suptitle(title, color=INK, fontsize=14, y=0.975)
    return figure, list(panels.flat)


def random_squares(side: int) -> np.ndarray:
    """Return open and closed squares at random, (side, side)."""
    return (np.random.default_rng(7).random((side, side)) < Block().density).astype(float)


def difference(panel: Axes, sigmas: np.ndarray) -> None:
    """Draw how frames differ."""
    most = float(np.abs(sigmas).max())
    norm = Normalize(-most, most)
    shown = draw_map(panel, sigmas, WINDOW_UM, "berlin", norm)
    scale_below(panel, shown, "standard deviations of the pixel's noise")
