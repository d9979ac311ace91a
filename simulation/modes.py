"""Few numbers that say all the camera can know of a mask: the modes.

Along one axis, the way from the sample to the pupil is a compact operator, because a
field confined to the beam has a smooth spectrum. Some fifteen of its singular
functions hold all of it; products of two of them, mixed so that their camera fields
are orthogonal, are the *modes*. What a mask looks like is the sum of their fields, each
times the overlap of mode and mask.

Lengths are micrometres, frequencies cycles per micrometre. Arrays have row (+y)
before column (+x).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from configs.optics import FocusedBeam, GaussianBeam, Optics
from simulation.beam import beam_field, focus_profile
from simulation.camera_plane import CameraPlane
from simulation.light import Light, gaussian_radius_um
from simulation.threads import one_thread

Float64 = NDArray[np.float64]

# The convergence of each of these is measured by benchmarks/forward_model.py.
SMALLEST_MODE: Final = 3e-5
SMALLEST_PRODUCT: Final = 3e-6
_FARTHEST_OFFSET: Final = 0.55  # of a cell


@dataclass(frozen=True, slots=True)
class Modes:
    """The basis in which masks are seen.

    Attributes
    ----------
    cells
        Side of the window of cells that holds the beam.
    reach_um
        The modes live in [-reach, reach] on the sample, along both axes.
    x_um, functions
        (n,) nodes along an axis, and (n, axis modes) singular function times
        quadrature weight there.
    overlap
        (terms, cells, axis modes), overlap of a displaced cell with each singular function: a
        Chebyshev series in the displacement over ``farthest_um``.
    kept
        (products,), which products of two axis functions, y before x, carry light.
    mixing
        (products, modes), how much of each of them is in each mode.
    """

    cells: int
    reach_um: float
    x_um: torch.Tensor
    functions: torch.Tensor
    overlap: torch.Tensor
    farthest_um: float
    kept: torch.Tensor
    mixing: torch.Tensor


def camera_fields(
    modes: Modes, light: Light
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Propagate the film's light and every mode to the camera.

    Returns
    -------
    film, fields, taps
        (2 * components * points,) and (modes, 2 * components * points), real before
        imaginary parts; and ``CameraPlane.taps``. Gradients flow from all parameters of
        the light.
    """
    plane = CameraPlane(light, modes.reach_um, None, torch.complex128)
    products = _product_fields(modes.x_um, modes.functions, modes.kept, light, plane)
    film = _as_real((light.film * plane.whole_beam())[None])[0]
    return film, modes.mixing.T.to(products) @ products, plane.taps


@lru_cache(maxsize=4)
@one_thread()
def nominal_fields(
    optics: Optics, cell_um: float, cells: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ``camera_fields`` of some optics as they are."""
    return camera_fields(modes_of(optics, cell_um, cells), Light.of(optics))


@lru_cache(maxsize=4)
@one_thread()
def modes_of(optics: Optics, cell_um: float, cells: int) -> Modes:
    """Find the modes of some optics for a window of cells."""
    reach_um = (cells + 2 * _FARTHEST_OFFSET) / 2 * cell_um
    light = Light.of(optics)
    axis = _axis_functions(light, reach_um)
    farthest_um = _FARTHEST_OFFSET * cell_um
    overlap = _overlaps(axis, cells, cell_um, farthest_um)
    x_um, functions = (torch.from_numpy(a) for a in (axis.x_um, axis.weighted))
    plane = CameraPlane(light, reach_um, None, torch.complex128)
    strength = np.multiply.outer(axis.strength, axis.strength).ravel()
    kept = torch.from_numpy(np.flatnonzero(strength > SMALLEST_PRODUCT * strength[0]))
    products = _product_fields(x_um, functions, kept, light, plane)
    values, vectors = torch.linalg.eigh(products @ products.T)
    mixing = vectors[:, values > SMALLEST_MODE**2 * values[-1]].flip(1)
    return Modes(
        cells=cells,
        reach_um=reach_um,
        x_um=x_um,
        functions=functions,
        overlap=torch.from_numpy(overlap),
        farthest_um=farthest_um,
        kept=kept,
        mixing=mixing,
    )


def _product_fields(
    x_um: torch.Tensor,
    functions: torch.Tensor,
    kept: torch.Tensor,
    light: Light,
    plane: CameraPlane,
) -> torch.Tensor:
    """Camera fields of products of axis functions, (products, values), real."""
    x_um, functions = (a.to(light.distance_um) for a in (x_um, functions))
    y, x = (functions[:, a] for a in (kept // functions.shape[1], kept % functions.shape[1]))
    beam = (1 - light.film) * beam_field(light, x_um, x_um)  # (components, y, x)
    exits = y.T[:, None, :, None] * x.T[:, None, None, :] * beam
    spectrum = plane.transform(x_um, x_um).to_pupil(exits.flatten(0, 1))
    return _as_real(plane.field(spectrum.view(*spectrum.shape[:2], len(kept), len(beam))))


def _as_real(field: torch.Tensor) -> torch.Tensor:
    """(batch, components, y, x) complex to (batch, 2 * components * y * x) real."""
    return torch.cat([field.real.flatten(1), field.imag.flatten(1)], dim=1)


@dataclass(frozen=True, slots=True)
class _AxisFunctions:
    """Singular functions of the way from sample to pupil along one axis.

    Attributes
    ----------
    x_um, weighted
        (n,) Gauss-Legendre nodes, and (n, functions) function times weight.
    strength
        (functions,), singular values, largest first.
    integral
        (degree + 1, functions), Legendre series over [-reach, reach] of antiderivatives.
    """

    reach_um: float
    cutoff: float
    x_um: Float64
    weighted: Float64
    strength: Float64
    integral: Float64


def _axis_functions(light: Light, reach_um: float) -> _AxisFunctions:
    """Diagonalise A*A of ``(A t)(f) = integral of profile(x) t(x) exp(-2 pi i f x)``.

    It is real and symmetric: band limitation between two profiles of the beam.
    """
    cutoff = _bandwidth(light.optics)
    # Half the radians of the fastest wave; the error falls superexponentially beyond.
    count = int(2 * np.pi * cutoff * reach_um) + 50
    nodes, weights = legendre.leggauss(count)
    x, weights = reach_um * nodes, reach_um * weights
    root: Float64 = np.sqrt(weights)
    profile = root * _profile(light, x)
    kernel = 2 * cutoff * np.sinc(2 * cutoff * (x[:, None] - x))
    values, vectors = np.linalg.eigh(profile[:, None] * kernel * profile)
    strength: Float64 = np.sqrt(np.clip(values[::-1], 0, None))
    kept = strength > SMALLEST_PRODUCT * strength[0]
    functions = vectors[:, ::-1][:, kept] / root[:, None]
    weighted = functions * weights[:, None]
    degrees = np.arange(count)
    basis = legendre.legvander(nodes, count - 1)
    series = ((2 * degrees + 1) / 2 / reach_um)[:, None] * (basis.T @ weighted)
    integral = legendre.legint(series, scl=reach_um, axis=0).astype(np.float64)
    return _AxisFunctions(reach_um, cutoff, x, weighted, strength[kept], integral)


def _bandwidth(optics: Optics) -> float:
    """Highest frequency of what one axis of the sample contributes to the pupil."""
    na = optics.collection_na
    if isinstance(optics.beam, FocusedBeam):
        na += optics.beam.na
    return na / optics.wavelength_nm * 1000


def _profile(light: Light, x_um: Float64) -> Float64:
    """How strong the beam is along an axis, up to a factor."""
    if isinstance(light.optics.beam, GaussianBeam):
        profile: Float64 = np.exp(-((x_um / gaussian_radius_um(light.optics.beam)) ** 2))
        return profile
    return focus_profile(light, torch.from_numpy(x_um)).numpy()


def _overlaps(axis: _AxisFunctions, cells: int, cell_um: float, farthest_um: float) -> Float64:
    """Integrals over displaced cells, (terms, cells, functions): see ``Modes``."""
    # As many as the fastest wave turns through, and enough for double precision.
    terms = math.ceil(2 * np.pi * axis.cutoff * farthest_um) + 14
    at = chebyshev.chebpts1(terms)
    edges = (np.arange(cells + 1) - cells / 2) * cell_um
    places = (edges + farthest_um * at[:, None]) / axis.reach_um
    antiderivative = np.moveaxis(legendre.legval(places, axis.integral), 0, -1)
    over_cells = np.diff(antiderivative, axis=1)
    series = np.linalg.solve(chebyshev.chebvander(at, terms - 1), over_cells.reshape(terms, -1))
    return series.reshape(over_cells.shape).astype(np.float64)
