"""How light gets from the sample to the camera: modes, pupil, pixels.

The angular spectrum of what the sample transmits is carried over the defocus
distance, through a hard pupil, to pixels that integrate intensity. Nothing is
sampled on a periodic grid: along one axis, the way from the sample to the pupil is a
compact operator, because a field confined to the beam has a smooth spectrum. Some
fifteen singular functions per axis hold all of it. Products of two of them are the
*modes*; each is propagated once, by quadrature over the pupil disc.

Lengths are micrometres, frequencies cycles per micrometre. Arrays have row (+y)
before column (+x).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from configs.optics import Optics

Float64 = NDArray[np.float64]
Complex128 = NDArray[np.complex128]

# The convergence of each of these is measured by benchmarks/forward_model.py.
PIXEL_NODES: Final = 2
_SMALLEST_MODE: Final = 3e-6
_BEAM_RADII: Final = 2.9


@dataclass(frozen=True, slots=True)
class CameraModes:
    """What the camera would see of each mode.

    Attributes
    ----------
    squares
        Side of the window of squares that holds the beam.
    reach_um
        The modes live in [-reach, reach] on the sample, along both axes.
    integral
        (terms, axis modes), Chebyshev series over that range of the antiderivatives
        of the axis modes.
    mode_y, mode_x
        (modes,), which axis modes each mode is the product of.
    field
        (modes, y, x), complex field at the Gauss nodes of the binned pixels, times the
        root of their weight: its square sums to the fraction of the incident power.
    film
        (y, x), the same for the beam through the closed film.
    """

    squares: int
    reach_um: float
    integral: Float64
    mode_y: NDArray[np.intp]
    mode_x: NDArray[np.intp]
    field: Complex128
    film: Complex128


@lru_cache(maxsize=2)
def camera_modes(optics: Optics, pitch_um: float, period_um: float | None) -> CameraModes:
    """Propagate the modes of some optics; see ``ForwardModel`` for the parameters."""
    squares = squares_under_beam(optics, pitch_um)
    beam_um = beam_radius_um(optics)
    axis = _axis_modes(beam_um, _cutoff(optics), (squares + 1.1) / 2 * pitch_um)
    relative = axis.strength / axis.strength[0]
    pairs = relative[:, None] * relative > _SMALLEST_MODE
    mode_y, mode_x = np.nonzero(pairs)
    if period_um is None:
        pupil = _pupil(optics, axis.reach_um)
    else:
        pupil = _lattice_pupil(optics, period_um)
    position, weight = _camera_nodes(optics)
    incident_power = np.pi * beam_um**2 / 2
    root = np.sqrt(weight[:, None] * weight / incident_power)
    film = optics.film_amplitude * root * _camera_film(beam_um, pupil, position)
    field = (1 - optics.film_amplitude) * root * _camera_field(axis, pupil, position)[pairs]
    return CameraModes(squares, axis.reach_um, axis.integral, mode_y, mode_x, field, film)


def beam_radius_um(optics: Optics) -> float:
    """Radius at which the amplitude of the beam falls to 1/e."""
    return optics.beam_fwhm_nm / 1000 / math.sqrt(2 * math.log(2))


def squares_under_beam(optics: Optics, pitch_um: float) -> int:
    """Side of the smallest odd window of squares that holds the beam.

    The amplitude at its edge is 2e-4 of that at the centre.
    """
    side = int(np.ceil(2 * _BEAM_RADII * beam_radius_um(optics) / pitch_um))
    return side + 1 - side % 2


@dataclass(frozen=True, slots=True)
class _AxisModes:
    """Singular functions of the way from sample to pupil along one axis.

    The operator is ``(A t)(f) = integral of exp(-x^2/w^2) t(x) exp(-2 pi i f x)``
    from [-reach, reach] to the frequencies that pass the pupil.
    """

    reach_um: float
    sample_um: Float64  # (n,) nodes of the quadrature on the sample
    weighted: Float64  # (n, modes) singular function x beam x quadrature weight
    integral: Float64  # (degree + 1, modes) Chebyshev series of the antiderivatives
    strength: Float64  # (modes,) singular values, largest first

    def spectrum(self, frequency: Float64) -> Complex128:
        """Spectrum of each mode, (..., modes), at any frequency, (...)."""
        phase = np.exp(-2j * np.pi * frequency[..., None] * self.sample_um)
        spectrum: Complex128 = phase @ self.weighted
        return spectrum


def _axis_modes(beam_um: float, cutoff: float, reach_um: float) -> _AxisModes:
    count = int(2 * np.pi * cutoff * reach_um) + 50
    nodes, weights = legendre.leggauss(count)
    x, weights = reach_um * nodes, reach_um * weights
    root = np.sqrt(weights)
    beam = np.exp(-((x / beam_um) ** 2))
    # A*A, real and symmetric: band limitation between two beam profiles.
    kernel = 2 * cutoff * np.sinc(2 * cutoff * (x[:, None] - x))
    values, vectors = np.linalg.eigh((root * beam)[:, None] * kernel * (root * beam))
    strength = np.sqrt(np.clip(values[::-1], 0, None))
    kept = strength > _SMALLEST_MODE * strength[0]
    functions = vectors[:, ::-1][:, kept] / root[:, None]
    degrees = np.arange(count)
    basis = legendre.legvander(nodes, count - 1)
    series = ((2 * degrees + 1) / 2 / reach_um)[:, None] * (
        basis.T @ (weights[:, None] * functions)
    )
    antiderivative = legendre.legint(series, scl=reach_um, axis=0)
    at = chebyshev.chebpts1(count + 1)
    chebyshevs = chebyshev.chebvander(at, count)
    integral = np.linalg.solve(chebyshevs, legendre.legval(at, antiderivative).T)
    return _AxisModes(
        reach_um,
        x,
        functions * (beam * weights)[:, None],
        integral.astype(np.float64),
        strength[kept],
    )


@dataclass(frozen=True, slots=True)
class _Pupil:
    """Quadrature over the disc of frequencies that the objective collects.

    ``fx = F sin(theta)`` and ``fy = F cos(theta) sin(phi)`` keep the integrand
    smooth up to the rim, also where the rim is the evanescent limit (NA 1).
    """

    fx: Float64  # (i,)
    fy: Float64  # (i, j), or (1, j) where it is the same for every fx
    transfer: Complex128  # (i, j) quadrature weight x free-space transfer function


def _pupil(optics: Optics, reach_um: float) -> _Pupil:
    cutoff = _cutoff(optics)
    distance_um = optics.defocus_wavelengths * optics.wavelength_nm / 1000
    half_window_um = optics.roi_px * optics.pixel_nm / 2000
    # Half the number of radians that the integrand turns through, and a margin.
    turn = 2 * np.pi * cutoff * (half_window_um + reach_um + distance_um / 2)
    nodes, weights = legendre.leggauss(int(turn) + 40)
    angle, weights = nodes * np.pi / 2, weights * np.pi / 2
    fx = cutoff * np.sin(angle)
    chord = cutoff * np.cos(angle)
    fy = chord[:, None] * np.sin(angle)
    area: Float64 = (chord * weights)[:, None] * chord[:, None] * (np.cos(angle) * weights)
    return _Pupil(fx, fy, area * _transfer(optics, fx, fy))


def _lattice_pupil(optics: Optics, period_um: float) -> _Pupil:
    cutoff = _cutoff(optics)
    steps = int(cutoff * period_um)
    fx = np.arange(-steps, steps + 1) / period_um
    fy = fx[None]
    passed = fx[:, None] ** 2 + fy**2 <= cutoff**2
    transfer: Complex128 = passed / period_um**2 * _transfer(optics, fx, fy)
    return _Pupil(fx, fy, transfer)


def _transfer(optics: Optics, fx: Float64, fy: Float64) -> Complex128:
    """Free-space transfer function, (i, j); evanescent waves are gone after 10 wavelengths."""
    distance_um = optics.defocus_wavelengths * optics.wavelength_nm / 1000
    axial = np.sqrt(
        np.maximum((1000 / optics.wavelength_nm) ** 2 - fx[:, None] ** 2 - fy**2, 0)
    )
    return np.exp(2j * np.pi * distance_um * axial)


def _cutoff(optics: Optics) -> float:
    """Highest frequency that the objective collects."""
    return optics.collection_na / (optics.wavelength_nm / 1000)


def _camera_nodes(optics: Optics) -> tuple[Float64, Float64]:
    """Gauss nodes of all binned pixels along an axis, (pixels * nodes,), and weights."""
    nodes, weights = legendre.leggauss(PIXEL_NODES)
    pixel_um = optics.binned_pixel_nm / 1000
    centres = (np.arange(optics.image_px) - (optics.image_px - 1) / 2) * pixel_um
    positions = centres[:, None] + nodes * pixel_um / 2
    return positions.ravel(), np.tile(weights * pixel_um / 2, optics.image_px)


def _camera_field(axis: _AxisModes, pupil: _Pupil, position: Float64) -> Complex128:
    """Camera field of each product of axis modes, (mode_y, mode_x, y, x)."""
    column = _from_pupil_along_y(pupil, axis.spectrum(pupil.fy), position)
    row = axis.spectrum(pupil.fx).T[:, None, :] * _plane_waves(position, pupil.fx)
    field = row @ column.reshape(len(pupil.fx), -1)  # (mode_x, x, y * mode_y)
    modes = axis.strength.size
    field = field.reshape(modes, position.size, position.size, modes)
    return np.ascontiguousarray(field.transpose(3, 0, 2, 1))


def _camera_film(beam_um: float, pupil: _Pupil, position: Float64) -> Complex128:
    """Camera field, (y, x), of the whole beam."""

    def gaussian(frequency: Float64) -> Float64:
        spectrum: Float64 = np.exp(-((np.pi * beam_um * frequency) ** 2))
        return spectrum * (math.sqrt(math.pi) * beam_um)

    column = _from_pupil_along_y(pupil, gaussian(pupil.fy)[..., None], position)
    field: Complex128 = (gaussian(pupil.fx) * _plane_waves(position, pupil.fx)) @ column[..., 0]
    return field.T


def _from_pupil_along_y(
    pupil: _Pupil, spectrum: NDArray[np.complexfloating | np.floating], position: Float64
) -> Complex128:
    """Propagate spectra, (i or 1, j, modes), and sum over fy: (i, y, modes)."""
    waves = _plane_waves(position, pupil.fy)
    rows = len(pupil.fx)
    waves, spectrum = (np.broadcast_to(a, (rows, *a.shape[1:])) for a in (waves, spectrum))
    return np.stack(
        [w @ (t[:, None] * s) for w, t, s in zip(waves, pupil.transfer, spectrum, strict=True)]
    )


def _plane_waves(position: Float64, frequency: Float64) -> Complex128:
    """Phase factors, (..., position, frequency)."""
    waves: Complex128 = np.exp(2j * np.pi * position[:, None] * frequency[..., None, :])
    return waves
