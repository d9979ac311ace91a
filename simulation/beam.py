"""The beam on the sample: a Gaussian waist, or the focus of a lens.

Fields are scaled to a beam of power 1. A vectorial field has its tangential
components x and y: with them, and Maxwell's equations, everything behind the sample
is known.
"""

import math
from typing import Final

import torch
from numpy.polynomial import legendre

from configs.optics import FocusedBeam, GaussianBeam
from simulation.light import Light
from simulation.pupil import Disc, PupilTransform, gauss_disc
from simulation.zernike import aberration, steepest

_MARGIN_NODES: Final = 40  # beyond half the radians of the fastest wave: double precision


def components(light: Light) -> int:
    """Return 2 for vectorial light and 1 for scalar."""
    beam = light.optics.beam
    return 2 if isinstance(beam, FocusedBeam) and beam.vectorial else 1


def beam_field(light: Light, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Field of the beam on the sample, (components, y, x), complex.

    Parameters
    ----------
    light
        What makes it.
    x, y
        (n,) and (m,), points along the axes, um from the beam's centre.

    Notes
    -----
    A focused beam is B. Richards and E. Wolf, Proc. R. Soc. A 253, 358 (1959), as a sum of
    plane waves; L. Novotny and B. Hecht, Principles of Nano-Optics, section 3.5.
    """
    if isinstance(light.optics.beam, GaussianBeam):
        spread = _squared_radius(light)
        row, column = (torch.exp(-axis.square() / spread) for axis in (y, x))
        peak = math.sqrt(2 / math.pi) * light.beam_um / spread
        return (peak * row[:, None] * column)[None]
    return focus_field(light, x, y)[: components(light)]


def focus_field(light: Light, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Field in the focus of a lens, (1 or 3, y, x): the scalar one, or x, y and z."""
    reach_um = max(float(x.detach().abs().max()), float(y.detach().abs().max()))
    disc = gauss_disc(light.focusing_na / light.wavelength_um, _nodes(light, reach_um))
    spectrum = focus_spectrum(light, disc) * disc.weight[..., None]
    return PupilTransform(disc, x, y, torch.complex128).from_pupil(spectrum)


def focus_spectrum(light: Light, disc: Disc) -> torch.Tensor:
    """Plane waves of the focus at frequencies within the pupil, (i, j, 1 or 3)."""
    amplitude = _pupil_amplitude(light, disc)[..., None]
    if components(light) == 1:
        return amplitude
    ux, uy, cosine = direction(light, disc)
    px, py = torch.cos(light.polarisation_rad), torch.sin(light.polarisation_rad)
    along = ux * px + uy * py
    bent = along / (1 + cosine)
    vector = torch.stack([px - bent * ux, py - bent * uy, -along], dim=-1)
    return amplitude * vector / cosine.sqrt()[..., None]


def _pupil_amplitude(light: Light, disc: Disc) -> torch.Tensor:
    """Field in the pupil of the focusing lens, (i, j), for a beam of power 1."""
    rim = light.focusing_na / light.wavelength_um
    x, y = disc.fx[:, None] / rim, disc.fy / rim
    squared = (x.square() + y.square()) / light.filling.square()
    power = torch.pi * (rim * light.filling).square() / 2
    power = power * (1 - torch.exp(-2 / light.filling.square()))
    _, _, cosine = direction(light, disc)
    # Back from the waist to the sample.
    path = light.focus_um * (1 - cosine) * light.medium_index / light.wavelength_um
    waves = aberration(light.focusing_waves, x, y) + path
    return torch.polar(torch.exp(-squared) / power.sqrt(), 2 * torch.pi * waves)


def direction(light: Light, disc: Disc) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Direction cosines (x, y, z), each (i, j), of the waves of a pupil."""
    scale = light.wavelength_um / light.medium_index
    ux, uy = disc.fx[:, None] * scale + 0 * disc.fy, disc.fy * scale + 0 * disc.fx[:, None]
    return ux, uy, (1 - ux.square() - uy.square()).clamp(min=1e-12).sqrt()


def focus_profile(light: Light, x: torch.Tensor) -> torch.Tensor:
    """Root mean square of a focused beam across an axis, at points (n,) along it."""
    squared = beam_field(light, x, x).abs().square().sum(dim=0)
    return (squared.sum(dim=0) + squared.sum(dim=1)).sqrt()


def beam_spectrum(light: Light, disc: Disc) -> torch.Tensor:
    """Plane waves of the beam on the sample, (i, j, components), complex."""
    if isinstance(light.optics.beam, GaussianBeam):
        squared = disc.fx[:, None].square() + disc.fy.square()
        spectrum = torch.exp(-(math.pi**2) * _squared_radius(light) * squared)
        return (math.sqrt(2 * math.pi) * light.beam_um * spectrum)[..., None]
    return focus_spectrum(light, disc)[..., : components(light)]


def _squared_radius(light: Light) -> torch.Tensor:
    """Square of a Gaussian beam's 1/e radius on the sample, complex beside the waist.

    A. E. Siegman, Lasers, chapter 17: the complex radius of curvature, paraxial.
    """
    rayleigh = light.wavelength_um / (math.pi * light.medium_index)
    return torch.complex(light.beam_um.square(), -rayleigh * light.focus_um)


def light_outside(light: Light, half_um: float) -> float:
    """Fraction of the beam's light that falls outside a square window on the sample."""
    if isinstance(light.optics.beam, GaussianBeam):
        return 1 - math.erf(math.sqrt(2) * half_um / float(light.beam_um)) ** 2
    inner = _light_within(light, half_um)
    return 1 - inner / _light_within(light, math.inf)


def _light_within(light: Light, half_um: float) -> float:
    """Sum of the squared tangential field over a square window of a focused beam."""
    if math.isinf(half_um):
        disc = gauss_disc(light.focusing_na / light.wavelength_um, _MARGIN_NODES)
        return float(
            (beam_spectrum(light, disc).abs().square().sum(dim=-1) * disc.weight).sum()
        )
    nodes, weights = (
        torch.from_numpy(a).to(light.distance_um) * half_um
        for a in legendre.leggauss(_nodes(light, half_um))
    )
    squared = beam_field(light, nodes, nodes).abs().square().sum(dim=0)
    return float(weights @ squared @ weights)


def _nodes(light: Light, reach_um: float) -> int:
    """Nodes of a quadrature over pupil or sample that holds waves out to a distance."""
    cutoff = float(light.focusing_na.detach() / light.wavelength_um.detach())
    waves = cutoff * reach_um + steepest(light.focusing_waves)
    return int(2 * math.pi * waves) + _MARGIN_NODES
