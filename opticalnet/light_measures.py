"""Figures of merit of a beam and of what the camera makes of it."""

import math

import numpy as np
import torch
from contourpy import contour_generator
from numpy.typing import NDArray

from configs.geometry import SQUARE_UM
from configs.optics import FocusedBeam, Optics
from configs.sample import Block
from simulation.beam import beam_field, focus_field, focus_spectrum
from simulation.camera_plane import pixel_filter
from simulation.forward import ForwardModel
from simulation.light import Light
from simulation.pupil import gauss_disc

Float64 = NDArray[np.float64]

_DENSITY = Block().density
_PUPIL_NODES = 40


def beam_intensity(light: Light, x_um: Float64) -> Float64:
    """Squared field of the beam, all its components, at points (n,) along both axes.

    Returns
    -------
    NDArray
        (n, n), for a beam of power 1.
    """
    x = torch.from_numpy(x_um)
    focused = isinstance(light.optics.beam, FocusedBeam)
    field = focus_field(light, x, x) if focused else beam_field(light, x, x)
    intensity: Float64 = field.abs().square().sum(dim=0).numpy()
    return intensity


def contour_widths(intensity: Float64, x_um: Float64) -> tuple[float, float]:
    """Smallest and largest width of the contour at half the maximum, nm.

    Widths are those between parallel lines, as a calliper measures; for a round beam
    both are its full width at half maximum.
    """
    contours = contour_generator(x_um, x_um, intensity).lines(intensity.max() / 2)
    points = max((np.asarray(line) for line in contours), key=len)  # (n, 2)
    angle = np.linspace(0, math.pi, 180, endpoint=False)
    widths_nm = 1000 * np.ptp(points @ np.stack([np.cos(angle), np.sin(angle)]), axis=0)
    return float(widths_nm.min()), float(widths_nm.max())


def component_shares(light: Light) -> tuple[float, ...]:
    """Shares of x, y and z in the squared field of vectorial light; 1 for scalar."""
    if not isinstance(light.optics.beam, FocusedBeam):
        return (1.0,)
    disc = gauss_disc(light.focusing_na / light.wavelength_um, _PUPIL_NODES)
    squared = focus_spectrum(light, disc).abs().square()  # (i, j, components)
    power = (squared * disc.weight[..., None]).sum(dim=(0, 1))
    return tuple((power / power.sum()).tolist())


def mode_strengths(model: ForwardModel) -> Float64:
    """Singular values of the way from sample to camera, (modes,), largest first.

    Times the overlap of a mode and a mask, in micrometres, they are the root of the light
    that reaches the camera in that mode, as a fraction of the incident power. The few
    pixels around the window that the integration over pixels looks at count as camera.
    """
    steps, _ = pixel_filter(model.optics)
    spacing_um = (steps[1] - steps[0]) * model.optics.binned_pixel_nm / 1000
    strengths: Float64 = model.field.norm(dim=1).double().numpy() * spacing_um
    return strengths


def noise_floor(electrons: float) -> float:
    """Strength of a mode that random squares change by as much as photon noise does.

    Squares of side p and density d vary the overlap with a mode by v = p^2 d (1 - d). Of
    Q incident photo-electrons a mode of strength s then brings Q s^2 v to the camera, half
    of it in phase with the rest of the light and so visible. The root of a Poisson
    number has the variance 1/4, so that equals the noise where s^2 = 1 / (2 Q v).
    """
    variance_um2 = SQUARE_UM**2 * _DENSITY * (1 - _DENSITY)
    return 1 / math.sqrt(2 * electrons * variance_um2)


def caught_light(frame: Float64, optics: Optics) -> tuple[Float64, Float64]:
    """Light within the inner part of the camera window, by the size of that part.

    Parameters
    ----------
    frame
        (image_px, image_px), fraction of the incident power per pixel.
    optics
        Of the frame.

    Returns
    -------
    side_um, caught
        (n,) each: side of the part, and the fraction of the incident power on it.
    """
    side_px = np.arange(2 - len(frame) % 2, len(frame) + 1, 2)
    margin = (len(frame) - side_px) // 2
    caught = [frame[m : m + s, m : m + s].sum() for m, s in zip(margin, side_px, strict=True)]
    return side_px * optics.binned_pixel_nm / 1000, np.array(caught)
