"""A lens instead of a Gaussian waist: its focus, and the frames of a sample in it."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from picture_parts import PEAK_E, READ_E, WINDOW_UM, difference, eight_maps, random_squares

from configs.geometry import SQUARE_UM
from configs.optics import FocusedBeam, Optics
from opticalnet.light_view import BeamView
from opticalnet.look import CHALK, RED, draw_map, draw_squares, note, scale_below
from simulation.beam import focus_field
from simulation.forward import ForwardModel
from simulation.light import Light

HALF_UM, POINTS = 1.26, 252
EDGES_UM = -HALF_UM, HALF_UM
X_UM = (np.arange(POINTS) - (POINTS - 1) / 2) * 2 * HALF_UM / POINTS


def draw() -> Figure:
    """Components of a focus, its width, and what a scalar model gets wrong."""
    lens = FocusedBeam(kind="focused")
    figure, panels = eight_maps(
        f"a Gaussian beam that fills {lens.filling:.0%} of a lens of NA {lens.na:g}:"
        " the focus, and the frames of a sample in it  ·  SIMULATED"
    )
    for panel, along in zip(panels[:2], (0.0, 45.0), strict=True):
        whole_focus(panel, lens.changed(polarisation_deg=along))
    for panel, axis in zip(panels[2:4], (1, 2), strict=True):
        one_component(panel, lens, axis)
    frames_of_lens(panels[4:], lens)
    return figure


def whole_focus(panel: Axes, lens: FocusedBeam) -> None:
    """Draw the squared field of a focus, all components together."""
    beam = BeamView.of(Light.of(Optics(beam=lens)), X_UM)
    shown = draw_map(panel, beam.intensity, EDGES_UM, "inferno", Normalize(0, 1))
    draw_squares(panel, EDGES_UM)
    panel.contour(X_UM, X_UM, beam.intensity, [0.5], colors=CHALK, linewidths=1)
    panel.set_title(f"polarised at {lens.polarisation_deg:g}°, FWHM {beam.fwhm}")
    shares = zip("xyz", beam.shares, strict=True)
    note(panel, ", ".join(f"{axis} {share:.1%}" for axis, share in shares))
    scale_below(panel, shown, "squared field, relative to its peak")


def one_component(panel: Axes, lens: FocusedBeam, axis: int) -> None:
    """Draw one component of a focus."""
    x_um = torch.from_numpy(X_UM)
    field = focus_field(Light.of(Optics(beam=lens)), x_um, x_um)
    squared = field.abs().square().numpy()
    part = 100 * squared[axis] / squared.sum(axis=0).max()
    shown = draw_map(panel, part, EDGES_UM, "inferno", Normalize(0, part.max()))
    draw_squares(panel, EDGES_UM)
    panel.set_title(f"polarised at 0°, component {'xyz'[axis]} alone")
    scale_below(panel, shown, "squared field, % of the peak of all")


def frames_of_lens(panels: list[Axes], lens: FocusedBeam) -> None:
    """Draw the sample, a frame of it, and how frames by other models differ."""
    squares = random_squares(15)
    draw_place(panels[0], lens, squares)
    scalar = lens.changed(vectorial=False)
    crossed = lens.changed(polarisation_deg=90.0)
    peak = model(lens).open_peak()
    here_e, crossed_e, scalar_e = (
        PEAK_E / peak * model(beam).frames(torch.from_numpy(squares)[None])[0].numpy()
        for beam in (lens, crossed, scalar)
    )
    norm = PowerNorm(0.5, vmin=0, vmax=here_e.max())
    shown = draw_map(panels[1], here_e, WINDOW_UM, "inferno", norm)
    panels[1].set_title("frame, polarised at 0°")
    scale_below(panels[1], shown, "photo-electrons per pixel, square-root scale")
    for panel, other_e, name in (
        (panels[2], crossed_e, "frame at 90° minus frame at 0°"),
        (panels[3], scalar_e, "scalar model minus frame at 0°"),
    ):
        difference(panel, (other_e - here_e) / np.sqrt(here_e + READ_E**2))
        panel.set_title(name)
        changed = np.linalg.norm(other_e - here_e) / np.linalg.norm(here_e)
        note(panel, f"{changed:.1%} of the frame")


def model(beam: FocusedBeam) -> ForwardModel:
    """Return the way from 15 x 15 squares to the camera."""
    return ForwardModel(Optics(beam=beam), cells=15, dtype=torch.float64)


def draw_place(panel: Axes, lens: FocusedBeam, squares: np.ndarray) -> None:
    """Draw the sample, and how much of it the beam covers."""
    half_um = len(squares) * SQUARE_UM / 2
    shown = draw_map(panel, squares, (-half_um, half_um), "gray", Normalize(0, 1))
    beam = BeamView.of(Light.of(Optics(beam=lens)), X_UM)
    panel.contour(X_UM, X_UM, beam.intensity, [0.5], colors=RED, linewidths=1.6)
    panel.set_title("sample, and the beam at half its peak")
    scale_below(panel, shown, "milled fraction")
