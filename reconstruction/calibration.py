"""Optics, brightness and stray light of an instrument, from frames of a known sample.

Gauss-Newton on all pixels of some hundred frames, with the sensor's variance. What is also
unknown, the response of every pixel and the power in every frame, is eliminated, so that
error bars count it in. Derivatives are those of the forward model, in double precision.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from configs.errors import ReconstructionError
from configs.optics import GaussianBeam, Optics
from reconstruction.inversion.misfit import mean_by_light
from reconstruction.inversion.normal_equations import POWER_SPREAD
from reconstruction.inversion.photons import RESPONSE_SPREAD, Photons
from simulation.forward import ForwardModel
from simulation.light import Light

_ABERRATIONS: Final = {
    "astigmatism, 0 deg": 6,
    "astigmatism, 45 deg": 5,
    "coma along y": 7,
    "coma along x": 8,
    "spherical": 11,
}
"""Noll's indices; 4, defocus, is in the distance."""
_EXPECTED_WAVES: Final = 0.1
_DIFFERENCE: Final = 1e-4
_MOST_STEPS: Final = 15
_STILL: Final = 0.05
"""Largest last step, in standard deviations."""
_TOLD: Final = 0.5
"""Standard deviation, relative to what was expected, up to which frames tell something."""
_AWAY: Final = 4.0
"""Distance from the start, relative to what was expected, that no instrument has."""

Amplitudes = Callable[[ForwardModel], torch.Tensor]
"""Of the modes of a model, (n, modes), in what the frames see of the sample."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What an instrument is taken for.

    Attributes
    ----------
    optics
        The light.
    electrons
        Photo-electrons of the whole beam in a frame.
    stray_e
        Light that is everywhere, per pixel.
    """

    optics: Optics
    electrons: float
    stray_e: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is fitted, as a number that is zero at the start.

    Attributes
    ----------
    name, unit
        For people; a path within ``[optics]`` where there is one.
    expected
        Standard deviation that it may have between instruments.
    read
        Its value.
    moved
        Another instrument, in which it is larger by a number: relative for positive ones.
    """

    name: str
    unit: str
    expected: float
    is_relative: bool
    read: Callable[[Instrument], float]
    moved: Callable[[Instrument, float], Instrument]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was found of a quantity.

    Attributes
    ----------
    before, after, error
        Values, and the standard deviation of the latter, in its unit.
    is_told
        Whether the frames say more of it than was expected anyway.
    """

    name: str
    unit: str
    before: float
    after: float
    error: float
    is_told: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an instrument was found to be.

    Attributes
    ----------
    instrument
        The best one.
    quantities
        What was fitted.
    chi_squared_before, chi_squared_after
        Reduced, of the frames that were used.
    frames
        How many.
    """

    instrument: Instrument
    quantities: tuple[Fitted, ...]
    chi_squared_before: float
    chi_squared_after: float
    frames: int


def quantities(optics: Optics, *, aberrations: bool) -> list[Quantity]:
    """Return what can be fitted of an instrument with such optics."""
    chosen = [
        _of_optics("defocus_wavelengths", "wavelengths", 0.1),
        _of_optics("collection_na", "", 0.05),
        _of_optics("pixel_nm", "nm", 0.05),
        Quantity(
            "brightness",
            "e of the beam",
            0.3,
            True,
            lambda one: one.electrons,
            lambda one, by: replace(one, electrons=one.electrons * math.exp(by)),
        ),
        Quantity(
            "stray light",
            "e per pixel",
            5.0,
            False,
            lambda one: one.stray_e,
            lambda one, by: replace(one, stray_e=one.stray_e + by),
        ),
    ]
    if isinstance(optics.beam, GaussianBeam):
        chosen.insert(0, _of_beam("fwhm_nm", "nm", 0.2))
    else:
        chosen.insert(0, _of_beam("filling", "", 0.2))
    if aberrations:
        chosen += [_aberration(name, noll) for name, noll in _ABERRATIONS.items()]
    return chosen


def calibrate(
    photons: Photons,
    amplitudes: Amplitudes,
    cell_nm: float,
    start: Instrument,
    fitted: Sequence[Quantity],
    progress: Callable[[int, float], None] = lambda step, chi_squared: None,
) -> Calibration:
    """Find the instrument that explains frames of a known sample.

    Parameters
    ----------
    photons
        The frames, of any points.
    amplitudes
        What each of them sees of the sample, in the modes of a model of its cells.
    cell_nm
        Side of these.
    start
        Where it begins.
    fitted
        What may change.
    progress
        Called after every step with its number and chi-squared.

    Raises
    ------
    ReconstructionError
        If a quantity runs away, or no rest is found: the sample is another one, or lies
        elsewhere.
    """
    instrument, moved = start, torch.zeros(len(fitted), dtype=torch.float64)
    before = chi_squared = math.nan
    for number in range(_MOST_STEPS):
        step, covariance, chi_squared = _step(
            photons, amplitudes, cell_nm, instrument, fitted, moved
        )
        before = chi_squared if number == 0 else before
        progress(number, chi_squared)
        error = covariance.diagonal().sqrt()
        for quantity, by in zip(fitted, step.tolist(), strict=True):
            instrument = quantity.moved(instrument, by)
        moved += step
        _check_near(fitted, start, instrument, moved)
        if (step.abs() < _STILL * error).all():
            break
    else:
        raise ReconstructionError(
            f"calibration: expected rest after {_MOST_STEPS} steps, got none; is the truth that"
            " of this run, and the right way up?"
        )
    found = tuple(
        Fitted(
            quantity.name,
            quantity.unit,
            quantity.read(start),
            value := quantity.read(instrument),
            one_error * (value if quantity.is_relative else 1.0),
            one_error < _TOLD * quantity.expected,
        )
        for quantity, one_error in zip(fitted, error.tolist(), strict=True)
    )
    return Calibration(instrument, found, before, chi_squared, len(photons))


@torch.inference_mode()
def _step(
    photons: Photons,
    amplitudes: Amplitudes,
    cell_nm: float,
    instrument: Instrument,
    fitted: Sequence[Quantity],
    moved: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return a step of Gauss-Newton, its covariance, and chi-squared before it."""
    light_e, slope = _expansion(amplitudes, cell_nm, instrument, fitted)
    expected_e = light_e + instrument.stray_e
    weight = photons.weight(expected_e)
    missing = photons.electrons.double() - expected_e
    weighted, lit = slope * weight, weight * light_e
    expected = torch.tensor([quantity.expected for quantity in fitted], dtype=torch.float64)
    # Quantities first, then responses of pixels; the powers of frames are eliminated at once.
    own = torch.einsum("anp,bnp->ab", weighted, slope) + torch.diag(expected**-2)
    with_pixels = (weighted * light_e).sum(1)
    of_pixels = torch.diag((lit * light_e).sum(0) + RESPONSE_SPREAD**-2)
    system = torch.cat(
        [torch.cat([own, with_pixels], 1), torch.cat([with_pixels.T, of_pixels], 1)]
    )
    pull = torch.cat(
        [(weighted * missing).sum((1, 2)) - moved / expected**2, (lit * missing).sum(0)]
    )
    of_frames = (lit * light_e).sum(1) + POWER_SPREAD**-2
    with_frames = torch.cat([(weighted * light_e).sum(2), (lit * light_e).T])
    pull = pull - with_frames @ ((lit * missing).sum(1) / of_frames)
    system = system - (with_frames / of_frames) @ with_frames.T
    count = len(fitted)
    wanted = torch.eye(len(system), count, dtype=torch.float64)
    columns = torch.cholesky_solve(
        torch.cat([pull[:, None], wanted], 1), torch.linalg.cholesky(system)
    )[:count]
    of_frame = photons.chi_squared(expected_e, slice(None)).mean(1)
    return columns[:, 0], columns[:, 1:], mean_by_light(of_frame, expected_e.mean(1))


def _expansion(
    amplitudes: Amplitudes, cell_nm: float, instrument: Instrument, fitted: Sequence[Quantity]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what frames should show without stray light, (n, pixels), and how it changes.

    The change of all light, (quantities, n, pixels), is by each quantity.
    """
    model = ForwardModel(instrument.optics, cell_nm, dtype=torch.float64)
    seen = amplitudes(model)

    def light_e(there: Instrument) -> torch.Tensor:
        near = model
        if there.optics != instrument.optics:
            light = Light.of(there.optics)
            near = ForwardModel(
                instrument.optics, cell_nm, cells=model.cells, light=light, dtype=torch.float64
            )
        return near.light(seen).flatten(1) * there.electrons

    def slope(quantity: Quantity) -> torch.Tensor:
        up, down = (quantity.moved(instrument, sign * _DIFFERENCE) for sign in (1, -1))
        change = light_e(up) + up.stray_e - light_e(down) - down.stray_e
        return change / (2 * _DIFFERENCE)

    return light_e(instrument), torch.stack([slope(quantity) for quantity in fitted])


def _check_near(
    fitted: Sequence[Quantity], start: Instrument, found: Instrument, moved: torch.Tensor
) -> None:
    for quantity, by in zip(fitted, moved.tolist(), strict=True):
        if abs(by) > _AWAY * quantity.expected:
            raise ReconstructionError(
                f"calibration: expected {quantity.name} near {quantity.read(start):g}"
                f" {quantity.unit}, it runs to {quantity.read(found):g}; is the truth that of"
                " this run, and the right way up?"
            )


def _of_optics(name: str, unit: str, expected: float) -> Quantity:
    def moved(one: Instrument, by: float) -> Instrument:
        value = getattr(one.optics, name) * math.exp(by)
        return replace(one, optics=one.optics.changed(**{name: value}))

    return Quantity(
        f"optics.{name}",
        unit,
        expected,
        True,
        lambda one: float(getattr(one.optics, name)),
        moved,
    )


def _of_beam(name: str, unit: str, expected: float) -> Quantity:
    def moved(one: Instrument, by: float) -> Instrument:
        beam = one.optics.beam
        changed = beam.changed(**{name: getattr(beam, name) * math.exp(by)})
        return replace(one, optics=one.optics.changed(beam=changed))

    return Quantity(
        f"optics.beam.{name}",
        unit,
        expected,
        True,
        lambda one: float(getattr(one.optics.beam, name)),
        moved,
    )


def _aberration(name: str, noll: int) -> Quantity:
    def read(one: Instrument) -> float:
        waves = one.optics.collection_zernike_waves
        return waves[noll - 1] if len(waves) >= noll else 0.0

    def moved(one: Instrument, by: float) -> Instrument:
        waves = list(one.optics.collection_zernike_waves)
        waves += [0.0] * (noll - len(waves))
        waves[noll - 1] += by
        changed = one.optics.changed(collection_zernike_waves=tuple(waves))
        return replace(one, optics=changed)

    return Quantity(name, "waves rms", _EXPECTED_WAVES, False, read, moved)
