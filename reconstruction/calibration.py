"""Optics, brightness and stray light of an instrument, from frames of a known sample.

Gauss-Newton on all pixels of some hundred frames, with the sensor's variance. What is also
unknown, the response of every pixel and the power in every frame, is eliminated, so that
error bars count it in. Derivatives are those of the forward model, in double precision.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import torch

from configs.errors import ConfigError, ReconstructionError
from reconstruction.instrument_quantities import APERTURE, Instrument, Quantity
from reconstruction.inversion.misfit import mean_by_light
from reconstruction.inversion.normal_equations import POWER_SPREAD
from reconstruction.inversion.photons import RESPONSE_SPREAD, Photons
from reconstruction.inversion.refinements import TOLD
from simulation.forward import ForwardModel
from simulation.light import Light

_DIFFERENCE: Final = 1e-4
_APERTURES: Final = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
"""Where the aperture may begin, relative: the rings that its edge draws may fit one ring off,
far from the truth in distance and pixel."""
_MOST_STARTS: Final = 2
_MOST_STEPS: Final = 10
_STILL: Final = 0.05
"""Largest last step, in standard deviations."""
_AWAY: Final = 4.0
"""Distance from the start, relative to what was expected, that no instrument has."""

_REMEDY: Final = "is the truth that of this run, and the right way up?"

Amplitudes = Callable[[ForwardModel], torch.Tensor]
"""Of the modes of a model, (n, modes), in what the frames see of the sample."""


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


@dataclass(frozen=True, slots=True)
class KnownFrames:
    """Frames of a sample that is known, or taken for known.

    Attributes
    ----------
    photons
        What was measured, at any points.
    amplitudes
        What each of them sees of the sample, in the modes of a model of its cells.
    cell_nm
        Side of these.
    cells
        Along a side of the window under the beam; ``None``: as many as hold it.
    """

    photons: Photons
    amplitudes: Amplitudes
    cell_nm: float
    cells: int | None = None

    def expansion(
        self, instrument: Instrument, fitted: Sequence[Quantity]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return electrons without stray light, (n, pixels), and how all light changes.

        The latter, (quantities, n, pixels), is by each quantity.
        """
        model = self._model(instrument)
        seen = self.amplitudes(model)

        def light_e(there: Instrument) -> torch.Tensor:
            near = model
            if there.optics != instrument.optics:
                near = ForwardModel(
                    instrument.optics,
                    self.cell_nm,
                    cells=model.cells,
                    light=Light.of(there.optics),
                    dtype=torch.float64,
                )
            return near.light(seen).flatten(1) * there.electrons

        def slope(quantity: Quantity) -> torch.Tensor:
            down = quantity.moved(instrument, -_DIFFERENCE)
            try:
                up, apart = quantity.moved(instrument, _DIFFERENCE), 2 * _DIFFERENCE
            except ConfigError:  # an aperture of all the medium lets through
                up, apart = instrument, _DIFFERENCE
            change = light_e(up) + up.stray_e - light_e(down) - down.stray_e
            return change / apart

        return light_e(instrument), torch.stack([slope(quantity) for quantity in fitted])

    def chi_squared(self, instrument: Instrument) -> float:
        """Return how well an instrument explains the frames."""
        model = self._model(instrument)
        light = model.light(self.amplitudes(model)).flatten(1)
        return self.chi_squared_of(light * instrument.electrons, instrument.stray_e)

    def _model(self, instrument: Instrument) -> ForwardModel:
        return ForwardModel(
            instrument.optics, self.cell_nm, cells=self.cells, dtype=torch.float64
        )

    def chi_squared_of(self, light_e: torch.Tensor, stray_e: float) -> float:
        """Return how well light, (n, pixels), explains the frames, each with its own power."""
        weighted = self.photons.weight(light_e + stray_e) * light_e
        missing = self.photons.electrons - light_e - stray_e
        stiff = (weighted * light_e).sum(1) + POWER_SPREAD**-2
        power = 1 + (weighted * missing).sum(1) / stiff
        expected_e = light_e * power[:, None] + stray_e
        return float(mean_by_light(self.photons.chi_squared(expected_e), expected_e))


def calibrate(
    frames: KnownFrames,
    start: Instrument,
    fitted: Sequence[Quantity],
    progress: Callable[[int, float], None] = lambda step, chi_squared: None,
) -> Calibration:
    """Find the instrument that explains frames of a known sample.

    Parameters
    ----------
    frames
        Of any points.
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
    failure: ReconstructionError | None = None
    found: list[tuple[float, Instrument, torch.Tensor]] = []
    for first in _first_steps(frames, start, fitted):
        try:
            found.append(_descend(frames, start, fitted, first, progress))
        except ReconstructionError as no_rest:
            failure = failure or no_rest
    if not found:
        assert failure is not None
        raise failure
    chi_squared, instrument, error = min(found, key=itemgetter(0))
    return Calibration(
        instrument,
        fitted_of(fitted, start, instrument, error),
        frames.chi_squared(start),
        chi_squared,
        len(frames.photons),
    )


def fitted_of(
    fitted: Sequence[Quantity], start: Instrument, instrument: Instrument, error: torch.Tensor
) -> tuple[Fitted, ...]:
    """Say of an instrument what was found, with standard deviations, (quantities,)."""
    return tuple(
        Fitted(
            quantity.name,
            quantity.unit,
            quantity.read(start),
            value := quantity.read(instrument),
            one_error * (value if quantity.is_relative else 1.0),
            one_error < TOLD * quantity.expected,
        )
        for quantity, one_error in zip(fitted, error.tolist(), strict=True)
    )


def _first_steps(
    frames: KnownFrames, start: Instrument, fitted: Sequence[Quantity]
) -> list[torch.Tensor]:
    """Return steps to some apertures, from the one that explains the frames best."""
    of_aperture = torch.tensor([quantity.name == APERTURE for quantity in fitted]).double()
    steps = []
    for by in _APERTURES:
        with suppress(ReconstructionError):  # no such aperture
            step = by * of_aperture
            there = moved_by(fitted, start, start, step, _REMEDY)
            steps.append((frames.chi_squared(there), step))
    steps.sort(key=itemgetter(0))
    return [step for _, step in steps[:_MOST_STARTS]]


def _descend(
    frames: KnownFrames,
    start: Instrument,
    fitted: Sequence[Quantity],
    step: torch.Tensor,
    progress: Callable[[int, float], None],
) -> tuple[float, Instrument, torch.Tensor]:
    """Take steps from a first one until there is rest.

    Returns
    -------
    tuple
        Chi-squared, the instrument, and standard deviations of its quantities.
    """
    instrument = moved_by(fitted, start, start, step, _REMEDY)
    for number in range(_MOST_STEPS):
        moved = distances(fitted, start, instrument)
        step, covariance, chi_squared = _step(frames, instrument, fitted, moved)
        progress(number, chi_squared)
        instrument = moved_by(fitted, start, instrument, step, _REMEDY)
        error = covariance.diagonal().sqrt()
        if (step.abs() < _STILL * error).all():
            return chi_squared, instrument, error
    raise ReconstructionError(
        f"calibration: expected rest after {_MOST_STEPS} steps, got none; {_REMEDY}"
    )


def moved_by(
    fitted: Sequence[Quantity],
    start: Instrument,
    instrument: Instrument,
    step: torch.Tensor,
    remedy: str,
) -> Instrument:
    """Take a step, from an instrument, in quantities that must stay near those of the start.

    ``remedy`` is what to do if one does not.

    Raises
    ------
    ReconstructionError
        If one does not.
    """
    for quantity, by in zip(fitted, step.tolist(), strict=True):
        try:
            instrument = quantity.moved(instrument, by)
            far = quantity.distance(start, instrument)
            is_near = abs(far) <= _AWAY * quantity.expected
        except ConfigError:  # no instrument is like that
            is_near = False
        if not is_near:
            raise ReconstructionError(
                f"{quantity.name}: expected near {quantity.read(start):g} {quantity.unit}, it"
                f" runs away; {remedy}"
            )
    return instrument


def distances(
    fitted: Sequence[Quantity], start: Instrument, instrument: Instrument
) -> torch.Tensor:
    """Return how far quantities, (quantities,), are from the start."""
    far = [quantity.distance(start, instrument) for quantity in fitted]
    return torch.tensor(far, dtype=torch.float64)


@torch.inference_mode()
def _step(
    frames: KnownFrames,
    instrument: Instrument,
    fitted: Sequence[Quantity],
    moved: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return a step of Gauss-Newton, its covariance, and chi-squared before it."""
    photons = frames.photons
    light_e, slope = frames.expansion(instrument, fitted)
    expected_e = light_e + instrument.stray_e
    if not bool((expected_e > -photons.added_e2).all()):
        raise ReconstructionError(
            f"calibration: expected light everywhere, got {instrument.stray_e:.3g} electrons of"
            " stray light; check offset_adu of the sensor on a dark frame"
        )
    weight = photons.weight(expected_e)
    missing = photons.electrons.double() - expected_e
    weighted, lit = slope * weight, weight * light_e
    expected = torch.tensor([quantity.expected for quantity in fitted], dtype=torch.float64)
    # Quantities first, then powers of frames; the responses of pixels are eliminated at once.
    own = torch.einsum("anp,bnp->ab", weighted, slope) + torch.diag(expected**-2)
    with_frames = (weighted * light_e).sum(2)
    of_frames = torch.diag((lit * light_e).sum(1) + POWER_SPREAD**-2)
    system = torch.cat(
        [torch.cat([own, with_frames], 1), torch.cat([with_frames.T, of_frames], 1)]
    )
    pull = torch.cat(
        [(weighted * missing).sum((1, 2)) - moved / expected**2, (lit * missing).sum(1)]
    )
    of_pixels = (lit * light_e).sum(0) + RESPONSE_SPREAD**-2
    with_pixels = torch.cat([(weighted * light_e).sum(1), lit * light_e])
    pull = pull - with_pixels @ ((lit * missing).sum(0) / of_pixels)
    system = system - (with_pixels / of_pixels) @ with_pixels.T
    count = len(fitted)
    wanted = torch.eye(len(system), count, dtype=torch.float64)
    columns = torch.cholesky_solve(
        torch.cat([pull[:, None], wanted], 1), torch.linalg.cholesky(system)
    )[:count]
    return columns[:, 0], columns[:, 1:], frames.chi_squared_of(light_e, instrument.stray_e)
