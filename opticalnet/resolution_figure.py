"""The picture of a resolution."""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opticalnet.console import listed
from opticalnet.look import AMBER, BLUE, GREY, INK, PAPER, RED, plot_look, save_picture
from reconstruction.resolution import LEAST_CONTRAST, LEAST_CORRELATION

if TYPE_CHECKING:
    from opticalnet.resolving import Resolution


def save_figure(path: Path, resolution: "Resolution") -> None:
    """Draw contrast and correlation against the period.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    panels = 1 + bool(resolution.contrasts)
    figure = Figure(figsize=(5.2 * panels, 5.2), facecolor=PAPER, layout="constrained")
    *of_star, last = figure.subplots(1, panels, squeeze=False)[0]
    for panel in of_star:
        _draw_contrasts(panel, resolution)
    correlation = resolution.correlation
    last.plot(correlation.period_nm, correlation.values, color=INK, lw=1.5)
    _finish(last, resolution, LEAST_CORRELATION, "correlation of two halves of the frames")
    info = resolution.run.info
    simulated = info.provenance.simulated
    stamp = f"SIMULATED {listed(simulated)}" if simulated else "measured"
    name = resolution.run.path.name
    figure.suptitle(f"{info.sample}  ·  {stamp}  ·  {name}", color=INK, fontsize=11)
    save_picture(figure, path, f"run {info.provenance.run_id}, resolution")


def _draw_contrasts(panel: Axes, resolution: "Resolution") -> None:
    colours = cycle((BLUE, RED, AMBER, INK))
    for name, contrast in resolution.contrasts.items():
        colour = GREY if name == "truth" else next(colours)
        low, high = contrast.values - contrast.errors, contrast.values + contrast.errors
        panel.fill_between(contrast.period_nm, low, high, color=colour, alpha=0.25, lw=0)
        label = f"{name}: {contrast.said}"
        panel.plot(contrast.period_nm, contrast.values, color=colour, lw=1.5, label=label)
    _finish(panel, resolution, LEAST_CONTRAST, "contrast of the star")
    panel.legend(fontsize=8, frameon=False, loc="lower right")


def _finish(panel: Axes, resolution: "Resolution", least: float, label: str) -> None:
    plot_look(panel)
    panel.axhline(least, color=INK, lw=0.8, ls="--")
    panel.axvline(resolution.limit_nm, color=INK, lw=0.8, ls=":")
    panel.text(
        resolution.limit_nm, 1.02, " \u03bb / (2 NA)", fontsize=8, color=INK, va="bottom"
    )
    panel.set_xlabel("period, nm", color=INK)
    panel.set_ylabel(label, color=INK)
    panel.set_xlim(0.85 * resolution.limit_nm, 3.2 * resolution.limit_nm)
    panel.set_ylim(-0.1, 1.1)
