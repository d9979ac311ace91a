"""The datasheet of a data set: ``datasheet.md``, filled in, and the histograms in it."""

from datetime import datetime
from importlib import resources
from typing import Any, Final

import tomli_w
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from configs.dataset import DatasetPlan, Split
from configs.grid import GRIDS, LARGEST_GRID
from configs.instrument import Environment
from configs.optics import Optics
from simulation.datasets.reader import DatasetInfo, PartInfo

_COLOURS: Final = ("#16181d", "#d1495b", "#3d8eb9", "#edae49", "#66a182", "#8d6a9f")


def datasheet(
    info: DatasetInfo, name: str, picture: str, stored_bytes: int, written: datetime
) -> str:
    """Return the datasheet as Markdown.

    Parameters
    ----------
    info
        The set.
    name, picture
        What its folder and the picture of its histograms are called.
    stored_bytes
        Size on disk.
    written
        When.
    """
    template = resources.files("simulation.datasets").joinpath("datasheet.md")
    return template.read_text(encoding="utf-8").format(
        name=name,
        picture=picture,
        stored_mb=stored_bytes / 1e6,
        written=written,
        **_of_the_plan(info.plan),
        **_of_the_parts(info),
        format=info.format,
        version=info.software["opticalnet"],
        software=", ".join(f"{package} {value}" for package, value in info.software.items()),
    )


def histograms(info: DatasetInfo) -> Figure:
    """Draw how many frames have how many open squares, as in Fig. 5 of the paper."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, grid in zip(figure.subplots(1, len(GRIDS)), GRIDS, strict=True):
        _draw_grid(axes, info, grid)
    figure.suptitle(f"{info.plan.name}  ·  seed {info.plan.seed}  ·  SIMULATED", fontsize=11)
    return figure


def _of_the_plan(plan: DatasetPlan) -> dict[str, Any]:
    optics = plan.instrument.optics
    return {
        "plan": plan.name,
        "seed": plan.seed,
        "instrument": plan.instrument.name,
        "image_px": optics.image_px,
        "optics": _optics(optics),
        "noise": _noise(plan),
        "margin": plan.margin,
        "exposure_ms": plan.exposure_ms,
        "toml": tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True)).strip(),
    }


def _of_the_parts(info: DatasetInfo) -> dict[str, Any]:
    frames = sum(part.frames for part in info.parts)
    black = {grid: sum(part.histogram[str(grid)][0] for part in info.parts) for grid in GRIDS}
    open_share = sum(_open_share(part) * part.frames for part in info.parts) / frames
    return {
        "frames": frames,
        "parts": _part_table(info),
        "black": ", ".join(f"{count:,} of {grid} x {grid}" for grid, count in black.items()),
        "film": 1 - open_share,
        "trained": _paths(info, "train"),
        "tested": _paths(info, "test"),
        "histograms": "\n\n".join(_histogram_table(info, grid) for grid in GRIDS),
    }


def _paths(info: DatasetInfo, split: Split) -> str:
    return ", ".join(f"`{p.path}`" for p in info.parts if p.split == split) or "another set"


def _part_table(info: DatasetInfo) -> str:
    lines = [
        "| part | frames | samples | points of a scan | kind | open |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for part, plan in zip(info.parts, info.plan.parts, strict=True):
        lines.append(
            f"| `{part.path}` | {part.frames:,} | {part.scans} | {part.rows} x {part.columns}"
            f" | {plan.sample.kind} | {_open_share(part):.1%} |"
        )
    return "\n".join(lines)


def _open_share(part: PartInfo) -> float:
    """Share of open squares in the largest targets."""
    counts = part.histogram[str(LARGEST_GRID)]
    total = sum(squares * frames for squares, frames in enumerate(counts))
    return total / ((len(counts) - 1) * part.frames)


def _histogram_table(info: DatasetInfo, grid: int) -> str:
    """Make a row for every number of open squares, a column a part."""
    lines = [
        f"Frames by the number of open squares in their {grid} x {grid} target:",
        "",
        "| open squares | " + " | ".join(part.path for part in info.parts) + " |",
        "|---:" * (len(info.parts) + 1) + "|",
    ]
    columns = [part.histogram[str(grid)] for part in info.parts]
    for squares, counts in enumerate(zip(*columns, strict=True)):
        lines.append(f"| {squares} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return "\n".join(lines)


def _optics(optics: Optics) -> str:
    return (
        f"{optics.wavelength_nm:g} nm, {optics.beam.kind} beam, collected with NA"
        f" {optics.collection_na:g} and seen {optics.defocus_wavelengths:g} wavelengths behind"
        f" the sample, {optics.roi_px} x {optics.roi_px} pixels of {optics.pixel_nm:g} nm,"
        f" binned {optics.binning} x {optics.binning}"
    )


def _noise(plan: DatasetPlan) -> str:
    sensor = plan.camera.sensor
    return (
        f"Photon noise at {plan.open_peak_e:,.0f} photo-electrons at the brightest pixel of an"
        f" open sample; read noise of {sensor.read_noise_e:g} e rms and pixels that differ"
        f" (gain {sensor.gain_e_per_adu:g} e/ADU, offset {sensor.offset_adu:g} ADU);"
        f" {_disturbances(plan.environment)}"
    )


def _disturbances(environment: Environment) -> str:
    x, y = environment.drift_nm_per_min
    return (
        f"drift of ({x:g}, {y:g}) nm/min and {environment.random_walk_nm_per_sqrt_min:g}"
        f" nm/sqrt(min), focus drift of {environment.focus_drift_nm_per_min:g} nm/min and"
        f" {environment.focus_walk_nm_per_sqrt_min:g} nm/sqrt(min), vibration of"
        f" {environment.vibration_nm:g} nm rms, laser noise of {environment.laser_noise:.2%},"
        f" stray light of {environment.background_e_per_ms:g} e/ms a pixel, specks of dust:"
        f" {environment.dust_specks}"
    )


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
