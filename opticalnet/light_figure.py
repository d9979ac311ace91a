"""The picture of the light: beam, sample, camera, and what one frame can tell."""

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from configs.defaults import DEFAULT_EXPOSURE_MS
from configs.geometry import SQUARE_UM
from configs.optics import Optics
from opticalnet.light_view import FAR_SQUARES, LightView
from opticalnet.look import (
    BLUE,
    CHALK,
    GREY,
    INK,
    PAPER,
    RED,
    draw_map,
    draw_squares,
    note,
    plot_look,
    save_picture,
    scale_below,
)

_LIGHT: Final = "inferno"
_CHANGE: Final = "berlin"


def save_figure(path: Path, view: LightView) -> None:
    """Draw the light from the beam to the camera into a file.

    Raises
    ------
    ConfigError, RunStoreError
        If the file cannot be written.
    """
    save_picture(draw_light(view), path)


def draw_light(view: LightView) -> Figure:
    """Return the picture."""
    figure = Figure(figsize=(14.4, 9.3), facecolor=PAPER)
    maps = {"bottom": 0.57, "top": 0.88, "wspace": 0.03, "left": 0.01, "right": 0.99}
    upper = figure.subplots(1, 4, squeeze=False, gridspec_kw=maps)[0]
    maps |= {"bottom": 0.1, "top": 0.41, "left": 0.5025}
    changes = figure.subplots(1, 2, squeeze=False, gridspec_kw=maps)[0]
    maps |= {"wspace": 0.19, "left": 0.047, "right": 0.487}
    graphs = figure.subplots(1, 2, squeeze=False, gridspec_kw=maps)[0]
    _draw_beam(upper[0], view)
    _draw_exit(upper[1], view)
    _draw_frames(upper[2], upper[3], view)
    _draw_modes(graphs[0], view)
    _draw_caught(graphs[1], view)
    _draw_changes(changes[0], changes[1], view)
    title = f"light of the instrument {view.instrument.name}  ·  SIMULATED"
    figure.suptitle(title, color=INK, fontsize=14, y=0.985)
    figure.text(0.5, 0.935, describe(view.instrument.optics), ha="center", color=INK)
    return figure


def describe(optics: Optics) -> str:
    """Say in a line what the light is."""
    beam = optics.beam
    if beam.kind == "gaussian":
        made = f"Gaussian beam, FWHM {beam.fwhm_nm:g} nm"
    else:
        made = f"beam focused at NA {beam.na:g}, filling {beam.filling:g}"
        if beam.vectorial:
            made += f", polarised at {beam.polarisation_deg:g}°"
    return "  ·  ".join(
        (
            made,
            f"wavelength {optics.wavelength_nm:g} nm",
            f"collected at NA {optics.collection_na:g}",
            f"seen {optics.defocus_wavelengths:g} wavelengths behind the sample",
            f"{optics.image_px} x {optics.image_px} pixels of {optics.binned_pixel_nm:g} nm",
        )
    )


def _draw_beam(panel: Axes, view: LightView) -> None:
    beam = view.beam
    shown = draw_map(panel, beam.intensity, view.edges_um, _LIGHT, Normalize(0, 1))
    draw_squares(panel, view.edges_um)
    points = np.linspace(*view.edges_um, len(beam.intensity))
    panel.contour(points, points, beam.intensity, [0.5], colors=CHALK, linewidths=1)
    panel.set_title(f"beam, FWHM {beam.fwhm}")
    lines = [f"{beam.inner_share:.0%} of the light on 3 x 3 squares"]
    if len(beam.shares) == 3:
        shares = zip("xyz", beam.shares, strict=True)
        lines.append(", ".join(f"{axis} {share:.1%}" for axis, share in shares))
    note(panel, "\n".join(lines))
    scale_below(panel, shown, "intensity, relative to its peak")


def _draw_exit(panel: Axes, view: LightView) -> None:
    shown = draw_map(panel, view.exit_amplitude, view.edges_um, _LIGHT, Normalize(0, 1))
    panel.set_title("field that leaves the sample")
    row, column = view.square
    note(panel, f"{view.sample.name}, square ({row}, {column}) on the axis")
    _draw_place(panel.inset_axes((0.7, 0.02, 0.28, 0.28)), view)
    scale_below(panel, shown, "amplitude, relative to the beam's peak")


def _draw_place(panel: Axes, view: LightView) -> None:
    """Show the whole sample, and where on it the other images are."""
    panel.imshow(view.sample.coverage, cmap="gray", vmin=0, vmax=1)
    low, high = (edge / SQUARE_UM for edge in view.edges_um)
    row, column = view.square
    corner = column + low, row + low
    panel.add_patch(Rectangle(corner, high - low, high - low, fill=False, ec=RED, lw=1.5))
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_color(CHALK)


def _draw_frames(expected: Axes, recorded: Axes, view: LightView) -> None:
    camera = view.camera
    brightest = float(max(camera.expected_e.max(), camera.recorded_e.max()))
    norm = PowerNorm(0.5, vmin=0, vmax=brightest, clip=True)
    for panel, image in ((expected, camera.expected_e), (recorded, camera.recorded_e)):
        shown = draw_map(panel, image, _window_um(view), _LIGHT, norm)
        bar = scale_below(panel, shown, "photo-electrons per pixel, square-root scale")
        bar.set_ticks(_root_ticks(brightest))
    expected.set_title("expected frame, without noise")
    recorded.set_title(f"recorded frame, {DEFAULT_EXPOSURE_MS:g} ms")


def _root_ticks(largest: float) -> list[float]:
    """Round numbers at about even distances on a square-root scale."""
    return [float(f"{largest * place**2:.1g}") for place in (0, 0.25, 0.5, 0.75, 0.97)]


def _draw_changes(middle: Axes, far: Axes, view: LightView) -> None:
    camera = view.camera
    where = ("square on the axis", f"square {FAR_SQUARES} to the right")
    for panel, name, change, sigma in zip(
        (middle, far), where, camera.change_e, camera.change_sigma, strict=True
    ):
        relative = change / camera.noise_e
        most = float(np.abs(relative).max())
        norm = Normalize(-most, most)
        shown = draw_map(panel, relative, _window_um(view), _CHANGE, norm)
        panel.set_title(f"{name}: open - closed")
        note(panel, f"all pixels together: {sigma:.3g} standard deviations")
        bar = scale_below(panel, shown, "standard deviations of the pixel's noise")
        bar.locator = MaxNLocator(5)


def _draw_modes(panel: Axes, view: LightView) -> None:
    plot_look(panel)
    number = np.arange(1, len(view.strength) + 1)
    above = view.modes_above_noise
    panel.semilogy(number[:above], view.strength[:above], "o", color=RED, ms=3.5)
    panel.semilogy(number[above:], view.strength[above:], "o", color=GREY, ms=3.5)
    panel.axhline(view.noise_floor, color=BLUE, lw=1)
    peak_e = view.instrument.camera.open_peak_e_per_ms * DEFAULT_EXPOSURE_MS
    panel.text(
        number[-1],
        view.noise_floor * 1.25,
        f"photon noise of\n{peak_e:,.4g} photo-electrons",
        color=BLUE,
        ha="right",
        va="bottom",
        fontsize=8,
    )
    panel.set_title(f"{above} of {len(number)} modes above the noise")
    panel.set_xlabel("mode")
    panel.set_ylabel("strength, relative to the first")


def _draw_caught(panel: Axes, view: LightView) -> None:
    plot_look(panel)
    camera = view.camera
    for light, name, colour in (
        (camera.caught_open, "everything open", RED),
        (camera.caught, "this place", BLUE),
    ):
        name = f"{name}: {light[-1]:.1%}"
        panel.plot(camera.caught_side_um, light, color=colour, lw=1.6, label=name)
    panel.legend(fontsize=8, frameon=False, labelcolor="linecolor")
    panel.set_ylim(0, 1.3)
    panel.set_yticks(np.arange(0, 1.1, 0.2))
    panel.set_xlim(0, camera.caught_side_um[-1] * 1.02)
    panel.set_title("light that the camera catches")
    panel.set_xlabel("side of the camera window, µm on the sample")
    panel.set_ylabel("fraction of the beam's light")


def _window_um(view: LightView) -> tuple[float, float]:
    half_um = view.instrument.optics.window_um / 2
    return -half_um, half_um
