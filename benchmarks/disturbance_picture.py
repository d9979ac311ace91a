"""What is wrong with a camera, and what happens in the course of a scan."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from picture_parts import PEAK_E, READ_E, WINDOW_UM, difference, eight_maps, random_squares

from configs.defaults import DEFAULT_EXPOSURE_MS
from configs.geometry import SQUARE_NM
from configs.instrument import (
    Environment,
    Sensor,
    SensorMaps,
    SimulatedCameraConfig,
    SimulatedStageConfig,
)
from configs.optics import Optics
from opticalnet.look import BLUE, GREY, RED, draw_map, note, plot_look, scale_below
from simulation.defocus import FocusSeries
from simulation.environment import Disturbances, dust_transmission
from simulation.sensor import SensorModel
from simulation.streams import Stream, torch_stream


def draw() -> Figure:
    """Draw what is wrong with a camera, and what happens in the course of a scan."""
    figure, panels = eight_maps(
        "pixels, dust, and one scan of 66 x 66 points under the default environment"
        "  ·  SIMULATED"
    )
    pixel_maps(panels[:4])
    camera, stage = SimulatedCameraConfig(), SimulatedStageConfig()
    point_ms = stage.settling_ms + DEFAULT_EXPOSURE_MS + camera.readout_ms
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
    maps = (
        ("read noise", sensor.read_noise_e.numpy(), LogNorm(), "electrons rms, log scale"),
        ("response", sensor.response.numpy(), Normalize(), "relative to the mean"),
        ("dark current", sensor.dark_e_per_s.numpy(), LogNorm(), "electrons/s, log scale"),
        ("12 specks of dust, none by default", dust, Normalize(), "transmitted fraction"),
    )
    for panel, (title, image, norm, unit) in zip(panels, maps, strict=True):
        shown = draw_map(panel, image, WINDOW_UM, "cividis", norm)
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
    difference(panel, (after - before) / np.sqrt(before + READ_E**2))
    panel.set_title("frame at the end minus at the start")
    note(panel, f"{np.linalg.norm(after - before) / np.linalg.norm(before):.1%} of the frame")
