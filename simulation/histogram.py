"""How many frames show how many open squares: Figure 5 of the paper, as we take it."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulation.dataset import DatasetInfo
from simulation.dataset_scan import GRIDS

_COLOURS = ("#16181d", "#d1495b", "#3d8eb9", "#edae49", "#66a182", "#8d6a9f")


def histogram_table(info: DatasetInfo, grid: int) -> str:
    """Return a Markdown table: a row for every number of open squares, a column a part."""
    columns = [part.histogram[str(grid)] for part in info.parts]
    lines = [
        "| open squares | " + " | ".join(part.path for part in info.parts) + " |",
        "|---:" * (len(columns) + 1) + "|",
    ]
    for squares, counts in enumerate(zip(*columns, strict=True)):
        lines.append(f"| {squares} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return "\n".join(lines)


def draw_histograms(path: Path, info: DatasetInfo) -> None:
    """Draw the histograms of all parts into a PNG, one panel a grid."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, grid in zip(figure.subplots(1, len(GRIDS)), GRIDS, strict=True):
        _draw_grid(axes, info, grid)
    figure.suptitle(f"{info.plan.name}  ·  seed {info.plan.seed}  ·  SIMULATED", fontsize=11)
    figure.savefig(path, format="png", dpi=150)


def _draw_grid(axes: Axes, info: DatasetInfo, grid: int) -> None:
    for number, part in enumerate(info.parts):
        counts = part.histogram[str(grid)]
        edges = [squares - 0.5 for squares in range(len(counts) + 1)]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.stairs(counts, edges, label=part.path, color=colour, linewidth=1.4)
    axes.set_title(f"{grid} x {grid} squares")
    axes.set_xlabel("open squares in the target")
    axes.set_ylabel("frames")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
