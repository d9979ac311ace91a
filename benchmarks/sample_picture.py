"""Every kind of sample, and what an ion beam does to a drawing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from configs.geometry import SQUARE_UM
from configs.sample import (
    Block,
    Fabrication,
    Grating,
    Light,
    Mask,
    Picture,
    Qr,
    SampleConfig,
    Star,
    Text,
)
from opticalnet.look import INK, PAPER, frame_map
from simulation.samples import make_sample


def draw() -> Figure:
    """Draw every kind of sample, and a code with every error of fabrication."""
    figure = Figure(figsize=(14.4, 5.0), facecolor=PAPER)
    grid = {"left": 0.01, "right": 0.99, "bottom": 0.02, "top": 0.85, "wspace": 0.06}
    rows = figure.subplots(2, 8, gridspec_kw=grid | {"hspace": 0.2})
    with tempfile.TemporaryDirectory() as folder:
        for panel, (title, config) in zip(rows[0], kinds(Path(folder)), strict=True):
            draw_sample(panel, title, config)
    for panel, (title, errors) in zip(rows[1], fabrications(), strict=True):
        code = Qr(squares=18, modules=17, module_nm=180.0, cell_nm=10.0, fabrication=errors)
        draw_sample(panel, title, code)
    figure.suptitle(
        "every kind of sample, and a code as a focused ion beam mills it  ·  SIMULATED",
        color=INK,
        fontsize=14,
        y=0.975,
    )
    return figure


def draw_sample(panel: Axes, title: str, config: SampleConfig) -> None:
    """Draw the milled fraction of the cells of a sample."""
    sample = make_sample(config, seed=2)
    panel.imshow(sample.cells, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    cell_um = SQUARE_UM / sample.cells_per_square
    frame_map(panel, cell_um)
    panel.set_title(title, fontsize=10)


def kinds(folder: Path) -> Iterator[tuple[str, SampleConfig]]:
    """Yield one sample of each kind; files of those that need one go into the folder."""
    yield "star", Star()
    yield "light", Light()
    yield "block", Block()
    yield "grating", Grating(angle_deg=25.0)
    yield "qr", Qr()
    yield "text", Text(text="180 nm")
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    zones = np.uint8(127.5 * (1 + np.cos(25 * (x**2 + y**2))))
    Image.fromarray(zones).save(folder / "zones.png")
    yield "image", Picture(path=str(folder / "zones.png"))
    i, j = np.mgrid[:64, :64]
    np.save(folder / "steps.npy", ((i // (1 + j // 8)) % 2 * (i < 62)).astype(float))
    yield "mask", Mask(path=str(folder / "steps.npy"))


def fabrications() -> Iterator[tuple[str, Fabrication | None]]:
    """Yield each error alone, and all of them."""
    yield "as drawn", None
    yield "corners of 60 nm", Fabrication(corner_radius_nm=60.0)
    yield "overetched by 20 nm", Fabrication(overetch_nm=20.0)
    yield "underetched by 20 nm", Fabrication(overetch_nm=-20.0)
    yield "size, 15 nm rms", Fabrication(size_jitter_nm=15.0)
    yield "position, 20 nm rms", Fabrication(position_jitter_nm=20.0)
    yield "one in ten missing", Fabrication(missing=0.1)
    yield (
        "a little of all",
        Fabrication(
            corner_radius_nm=40.0,
            overetch_nm=10.0,
            size_jitter_nm=8.0,
            position_jitter_nm=10.0,
            missing=0.02,
        ),
    )
