"""The pictures of docs/simulation.md: light, lens, samples, disturbances.

    python benchmarks/light_pictures.py

Writes light.png, what `opticalnet simulate --show` draws of the built-in instrument;
vectorial.png, samples.png and disturbances.png into docs/pictures/.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from PIL import Image

import opticalnet
from configs.geometry import SQUARE_NM
from configs.instrument import (
    Environment,
    Sensor,
    SensorMaps,
    SimulatedCameraConfig,
    SimulatedStageConfig,
)
from configs.optics import FocusedBeam, Optics
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
from opticalnet.light_figure import (
    draw_map,
    draw_squares,
    note,
    plot_look,
    scale_below,
    widths_text,
)
from opticalnet.light_measures import component_shares, contour_widths
from opticalnet.light_view import EXPOSURE_MS
from opticalnet.look import BLUE, CHALK, GREY, INK, PAPER, RED, frame_map
from simulation.beam import focus_field
from simulation.defocus import FocusSeries
from simulation.environment import Disturbances, dust_transmission
from simulation.forward import ForwardModel
from simulation.light import Light as Rays
from simulation.samples import make_sample
from simulation.sensor import SensorModel
from simulation.streams import Stream, torch_stream

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PEAK_E, READ_E = 2000.0, 1.6
SENSOR_E = "photo-electrons per pixel, square-root scale"
SIGMAS = "standard deviations of the pixel's noise"


def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    opticalnet.view_light().save_figure(PICTURES / "light.png")
    vectorial().savefig(PICTURES / "vectorial.png", dpi=120)
    samples().savefig(PICTURES / "samples.png", dpi=120)
    disturbances().savefig(PICTURES / "disturbances.png", dpi=120)
    for name in ("light", "vectorial", "samples", "disturbances"):
        compress(PICTURES / f"{name}.png")


def compress(path: Path) -> None:
    """Drop what a page does not show: transparency."""
    with Image.open(path) as picture:
        opaque = picture.convert("RGB")
    opaque.save(path, optimize=True)


def eight_maps(title: str, height: float = 8.6) -> tuple[Figure, list[Axes]]:
    """Return a figure with two rows of four panels."""
    figure = Figure(figsize=(14.4, height), facecolor=PAPER)
    grid = {"left": 0.01, "right": 0.99, "bottom": 0.11, "top": 0.88, "wspace": 0.03}
    panels = figure.subplots(2, 4, gridspec_kw=grid | {"hspace": 0.42})
    figure.suptitle(title, color=INK, fontsize=14, y=0.975)
    return figure, list(panels.flat)


# A lens instead of a Gaussian waist.


def vectorial() -> Figure:
    """Components of a focus, its width, and what a scalar model gets wrong."""
    lens = FocusedBeam(kind="focused")
    figure, panels = eight_maps(
        f"a Gaussian beam that fills {lens.filling:.0%} of a lens of NA {lens.na:g}:"
        " the focus, and the frames of a sample in it  ·  SIMULATED"
    )
    for panel, along in zip(panels[:2], (0.0, 45.0), strict=True):
        whole_focus(panel, lens.model_copy(update={"polarisation_deg": along}))
    for panel, axis in zip(panels[2:4], (1, 2), strict=True):
        one_component(panel, lens, axis)
    frames_of_lens(panels[4:], lens)
    return figure


def focus_points() -> tuple[torch.Tensor, tuple[float, float]]:
    """Points along an axis on the sample, um, and where their window ends."""
    half_um, count = 1.26, 252
    points = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) * 2 * half_um / count
    return points, (-half_um, half_um)


def whole_focus(panel: Axes, beam: FocusedBeam) -> None:
    """Draw the squared field of a focus, all components together."""
    x, edges_um = focus_points()
    light = Rays.of(Optics(beam=beam))
    intensity = focus_field(light, x, x).abs().square().sum(dim=0).numpy()
    shown = draw_map(panel, intensity / intensity.max(), edges_um, "inferno", Normalize(0, 1))
    draw_squares(panel, edges_um)
    panel.contour(x, x, intensity, [intensity.max() / 2], colors=CHALK, linewidths=1)
    widths = widths_text(contour_widths(intensity, x.numpy()))
    panel.set_title(f"polarised at {beam.polarisation_deg:g}°, FWHM {widths}")
    shares = zip("xyz", component_shares(light), strict=True)
    note(panel, ", ".join(f"{axis} {share:.1%}" for axis, share in shares))
    scale_below(panel, shown, "squared field, relative to its peak")


def one_component(panel: Axes, beam: FocusedBeam, axis: int) -> None:
    """Draw one component of a focus."""
    x, edges_um = focus_points()
    squared = focus_field(Rays.of(Optics(beam=beam)), x, x).abs().square().numpy()
    part = 100 * squared[axis] / squared.sum(axis=0).max()
    shown = draw_map(panel, part, edges_um, "inferno", Normalize(0, part.max()))
    draw_squares(panel, edges_um)
    panel.set_title(f"polarised at 0°, component {'xyz'[axis]} alone")
    scale_below(panel, shown, "squared field, % of the peak of all")


def frames_of_lens(panels: list[Axes], lens: FocusedBeam) -> None:
    """Draw the sample, a frame of it, and how frames by other models differ."""
    models = [
        ForwardModel(Optics(beam=beam), squares=15, dtype=torch.float64)
        for beam in (
            lens,
            lens.model_copy(update={"polarisation_deg": 90.0}),
            lens.model_copy(update={"vectorial": False}),
        )
    ]
    squares = random_squares(15)
    half_um = 15 * SQUARE_NM / 2000
    shown = draw_map(panels[0], squares, (-half_um, half_um), "gray", Normalize(0, 1))
    x, _ = focus_points()
    focus = focus_field(Rays.of(Optics(beam=lens)), x, x).abs().square().sum(dim=0)
    panels[0].contour(x, x, focus, [focus.max() / 2], colors=RED, linewidths=1.6)
    panels[0].set_title("sample, and the beam at half its peak")
    scale_below(panels[0], shown, "milled fraction")
    scale = PEAK_E / models[0].open_peak()
    here, crossed, scalar = (
        scale * model.frames(torch.from_numpy(squares)[None])[0].numpy() for model in models
    )
    half_um = Optics().image_px * Optics().binned_pixel_nm / 2000
    norm = PowerNorm(0.5, vmin=0, vmax=here.max())
    shown = draw_map(panels[1], here, (-half_um, half_um), "inferno", norm)
    panels[1].set_title("frame, polarised at 0°")
    scale_below(panels[1], shown, SENSOR_E)
    noise_e = np.sqrt(here + READ_E**2)
    for panel, other, name in (
        (panels[2], crossed, "frame at 90° minus frame at 0°"),
        (panels[3], scalar, "scalar model minus frame at 0°"),
    ):
        difference(panel, (other - here) / noise_e, half_um)
        panel.set_title(name)
        note(panel, f"{np.linalg.norm(other - here) / np.linalg.norm(here):.1%} of the frame")


def random_squares(side: int) -> np.ndarray:
    """Return open and closed squares at random, (side, side)."""
    return (np.random.default_rng(7).random((side, side)) < Block().density).astype(float)


def difference(panel: Axes, sigmas: np.ndarray, half_um: float) -> None:
    """Draw how frames differ."""
    most = float(np.abs(sigmas).max())
    norm = Normalize(-most, most)
    shown = draw_map(panel, sigmas, (-half_um, half_um), "berlin", norm)
    scale_below(panel, shown, SIGMAS)


# Samples.


def samples() -> Figure:
    """Draw every kind of sample, and a code with every error of fabrication."""
    figure = Figure(figsize=(14.4, 5.0), facecolor=PAPER)
    grid = {"left": 0.01, "right": 0.99, "bottom": 0.02, "top": 0.85, "wspace": 0.06}
    rows = figure.subplots(2, 8, gridspec_kw=grid | {"hspace": 0.2})
    with tempfile.TemporaryDirectory() as folder:
        for panel, (title, config) in zip(rows[0], kinds(Path(folder)), strict=True):
            draw_sample(panel, title, config, 2.0)
    for panel, (title, errors) in zip(rows[1], fabrications(), strict=True):
        code = Qr(squares=18, modules=17, module_nm=180.0, cell_nm=10.0, fabrication=errors)
        draw_sample(panel, title, code, 0.5)
    figure.suptitle(
        "every kind of sample, and a code as a focused ion beam mills it  ·  SIMULATED",
        color=INK,
        fontsize=14,
        y=0.975,
    )
    return figure


def draw_sample(panel: Axes, title: str, config: SampleConfig, bar_um: float) -> None:
    """Draw the milled fraction of the cells of a sample."""
    sample = make_sample(config, seed=2)
    panel.imshow(sample.cells, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    cell_um = SQUARE_NM / 1000 / sample.cells_per_square
    frame_map(panel, bar_um / cell_um, f"{bar_um:g} µm")
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


# Sensor and environment.


def disturbances() -> Figure:
    """Draw what is wrong with a camera, and what happens in the course of a scan."""
    figure, panels = eight_maps(
        "pixels, dust, and one scan of 66 x 66 points under the default environment"
        "  ·  SIMULATED"
    )
    pixel_maps(panels[:4])
    camera, stage = SimulatedCameraConfig(), SimulatedStageConfig()
    point_ms = stage.settling_ms + EXPOSURE_MS + camera.readout_ms
    seconds = np.arange(66 * 66) * point_ms / 1000
    state = Disturbances(Environment(), seed=0).at(seconds)
    for panel in panels[4:7]:
        plot_look(panel)
        panel.set_xlabel("seconds since the start")
    for axis, colour in zip((0, 1), (RED, BLUE), strict=True):
        panels[4].plot(
            seconds, state.displacement_nm[:, axis], color=colour, lw=0.4, label="xy"[axis]
        )
    panels[4].legend(fontsize=9, frameon=False, labelcolor="linecolor", handlelength=0)
    panels[4].set_title("drift and vibration, nm")
    panels[5].plot(seconds, state.focus_nm, color=BLUE, lw=1)
    panels[5].set_title("focus, nm")
    panels[6].plot(seconds, 100 * (state.power - 1), ",", color=GREY)
    panels[6].set_title("laser power, % from its mean")
    drifted(panels[7], state.displacement_nm[-1], float(state.focus_nm[-1]))
    return figure


def pixel_maps(panels: list[Axes]) -> None:
    """Draw read noise, response, dark current and dust of a camera."""
    sensor = SensorModel(Sensor(), SensorMaps(), 64, torch_stream(0, Stream.SENSOR_MAPS))
    dust = dust_transmission(Environment(dust_specks=12), 64, seed=3)
    half_um = Optics().image_px * Optics().binned_pixel_nm / 2000
    maps = (
        ("read noise", sensor.read_noise_e.numpy(), LogNorm(), "electrons rms, log scale"),
        ("response", sensor.response.numpy(), Normalize(), "relative to the mean"),
        ("dark current", sensor.dark_e_per_s.numpy(), LogNorm(), "electrons/s, log scale"),
        ("12 specks of dust, none by default", dust, Normalize(), "transmitted fraction"),
    )
    for panel, (title, image, norm, unit) in zip(panels, maps, strict=True):
        shown = draw_map(panel, image, (-half_um, half_um), "cividis", norm)
        panel.set_title(title)
        scale_below(panel, shown, unit)


def drifted(panel: Axes, displacement_nm: np.ndarray, focus_nm: float) -> None:
    """Draw how a frame at the end of a scan differs from the same at its start."""
    series = FocusSeries(Optics(), SQUARE_NM)
    nominal, moved = series.at(0.0), series.at(focus_nm)
    squares = torch.from_numpy(random_squares(nominal.cells)).float()[None]
    scale = PEAK_E / nominal.open_peak()
    before = scale * nominal.frames(squares)[0].numpy()
    offset_um = torch.from_numpy(displacement_nm[None] / 1000).float()
    after = scale * moved.frames(squares, offset_um)[0].numpy()
    difference(
        panel,
        (after - before) / np.sqrt(before + READ_E**2),
        Optics().image_px * Optics().binned_pixel_nm / 2000,
    )
    panel.set_title("frame at the end minus at the start")
    note(panel, f"{np.linalg.norm(after - before) / np.linalg.norm(before):.1%} of the frame")


if __name__ == "__main__":
    main()
