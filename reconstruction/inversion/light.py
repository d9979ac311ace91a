"""The light, found together with the sample: what frames of anything say of the instrument.

Gauss-Newton on both. Cells are solved for first; then a step is taken in the quantities of the
light, as far as cells, powers, places and pixels cannot take their part, and the cells
follow it. Cells at a bound stay there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from configs.errors import ReconstructionError
from reconstruction.calibration import (
    Amplitudes,
    Calibration,
    KnownFrames,
    distances,
    fitted_of,
    moved_by,
)
from reconstruction.instrument_quantities import Instrument, Quantity
from reconstruction.inversion.normal_equations import Beam, NormalEquations, Own
from reconstruction.inversion.photons import RESPONSE_SPREAD, Photons
from reconstruction.inversion.priors import Prior
from reconstruction.inversion.scene import FAINTEST, Scene
from reconstruction.inversion.solver import Solution, begin, solve
from reconstruction.inversion.uncertainty import BOUND, VARIANCE
from simulation.forward import ForwardModel

_FIRST_SOLVING_STEPS: Final = 10
_SOLVING_STEPS: Final = 3
"""Of the cells, before the first step of the light, and between two."""
_MOST_STEPS: Final = 15
"""Of the light."""
_STILL: Final = 0.2
"""Largest last step, in standard deviations; or, if that is larger, """
_NOTHING: Final = 0.005
"""as a part of what was expected."""
_PACES: Final = (0.6, 4.0)
"""How far to go, in steps."""
_ROUNDS: Final = 3
"""In which pixels and frames take their parts of a change, one after the other."""
_ITERATIONS: Final = 1000
_RESIDUAL: Final = 1e-3
"""Of conjugate gradients: at most, and relative."""
_REMEDY: Final = (
    "do window, pixel and aperture agree with [optics]? Calibrate with a known sample"
)


@dataclass(frozen=True, slots=True)
class FoundLight:
    """An instrument, and the sample that it saw.

    Attributes
    ----------
    calibration
        The instrument, and every quantity with its standard deviation, the sample unknown.
    solution
        Cells and places.
    steps
        That it took.
    """

    calibration: Calibration
    solution: Solution
    steps: int


@torch.inference_mode()
def find_light(
    photons: Photons,
    scene: Scene,
    prior: Prior,
    cells: torch.Tensor,
    start: Instrument,
    instrument: Instrument,
    fitted: Sequence[Quantity],
    progress: Callable[[int, float], None] = lambda step, chi_squared: None,
) -> FoundLight:
    """Find the instrument that explains frames of an unknown sample.

    Parameters
    ----------
    photons
        The frames.
    scene
        What they show, under the first instrument.
    prior, cells
        Of the scene: what is believed, and where to begin.
    start, instrument
        What an instrument is expected to be like, and the one to begin with.
    fitted
        What may change of it.
    progress
        Called after every step with its number and chi-squared.

    Raises
    ------
    ReconstructionError
        If a quantity runs away, or no rest is found.
    """
    power = torch.ones(len(photons))
    chi_squared, pace = list[float](), _Pace()
    for number in range(_MOST_STEPS):
        beam = Beam(instrument.electrons, power, max(0.0, instrument.stray_e))
        first = begin(photons, scene, prior, cells, beam)
        steps = _SOLVING_STEPS if chi_squared else _FIRST_SOLVING_STEPS
        *_, solution = solve(photons, prior, first, steps)
        chi_squared.append(solution.misfit.chi_squared)
        progress(number, chi_squared[-1])
        instrument, solution = _with_its_brightness(instrument, solution)
        power = solution.beam.power
        far = distances(fitted, start, instrument)
        step = _Step.of(photons, prior, solution, instrument, fitted, far)
        if step.is_small(fitted):
            error = torch.hypot(step.error, step.by)
            quantities = fitted_of(fitted, start, instrument, error)
            ends = chi_squared[0], chi_squared[-1]
            found = Calibration(instrument, quantities, *ends, len(photons))
            return FoundLight(found, solution, number + 1)
        by = pace.longer(step.by)
        instrument = moved_by(fitted, start, instrument, by, _REMEDY)
        cells = (solution.cells - step.follow(by)).clamp(0, 1)
        model = ForwardModel(
            instrument.optics,
            1000 * scene.model.cell_um,
            cells=scene.model.cells,
            faintest=FAINTEST,
        )
        scene = solution.scene.with_model(model)
    raise ReconstructionError(
        f"light: expected rest after {_MOST_STEPS} steps, got none; {_REMEDY}"
    )


def _with_its_brightness(
    instrument: Instrument, solution: Solution
) -> tuple[Instrument, Solution]:
    """Leave to frames only what makes them brighter or dimmer than others.

    Brightness is free meanwhile: it must not pull at the light, whatever was believed of it.
    """
    beam = solution.beam
    mean = float(beam.power.mean())
    instrument = replace(
        instrument, electrons=instrument.electrons * mean, stray_e=beam.stray_e
    )
    beam = replace(beam, electrons=instrument.electrons, power=beam.power / mean)
    return instrument, replace(solution, beam=beam)


class _Pace:
    """Makes steps longer where each is a like part of the one before, as the cells drag."""

    def __init__(self) -> None:
        self._last = self._moved = torch.zeros(0)

    def longer(self, step: torch.Tensor) -> torch.Tensor:
        """Return how far to go: by the secant of the last two steps, within limits."""
        factor = torch.ones_like(step)
        if len(self._last):
            factor = (self._moved / (self._last - step)).nan_to_num(1.0).clamp(*_PACES)
        self._last, self._moved = step, factor * step
        return self._moved


@dataclass(frozen=True, slots=True)
class _Step:
    """Where the light goes, and how cells follow.

    Attributes
    ----------
    by, error
        (quantities,), the step, and standard deviations.
    drag
        (quantities, rows, columns), how cells fall as quantities rise.
    """

    by: torch.Tensor
    error: torch.Tensor
    drag: torch.Tensor

    @classmethod
    def of(
        cls,
        photons: Photons,
        prior: Prior,
        solution: Solution,
        instrument: Instrument,
        fitted: Sequence[Quantity],
        far: torch.Tensor,
    ) -> Self:
        """Find the step from a solution, quantities being so far from where they began."""
        scene, cells = solution.scene, solution.cells
        equations = NormalEquations.at(photons, scene, cells, solution.beam)
        change = _Change.of(photons, solution, instrument, fitted)
        free = ((cells > BOUND) & (cells < 1 - BOUND)).to(cells)

        def bent(cells: torch.Tensor) -> torch.Tensor:
            seen = scene.amplitudes(cells)[:, :, None]
            curved = torch.bmm(equations.curvature, seen)[:, :, 0]
            return free * scene.spread(curved) + cells / VARIANCE

        mixed = [free * scene.spread(pull) for pull in change.pulls]
        drag = torch.stack([_solved(bent, one) for one in mixed]).double()
        slope = free * (scene.spread(equations.slope) - prior(cells)[1])
        expected = torch.tensor([q.expected for q in fitted], dtype=torch.float64)
        held = torch.einsum("ayx,byx->ab", torch.stack(mixed).double(), drag)
        curvature = change.curvature - (held + held.T) / 2 + torch.diag(expected**-2)
        rise = change.slope - torch.einsum("ayx,yx->a", drag, slope.double())
        covariance = torch.linalg.inv(curvature)
        by = covariance @ (rise - far / expected**2)
        return cls(by, covariance.diagonal().sqrt(), drag)

    def is_small(self, fitted: Sequence[Quantity]) -> bool:
        """Return whether going on would change nothing that matters."""
        expected = torch.tensor([quantity.expected for quantity in fitted])
        enough = torch.maximum(_STILL * self.error, _NOTHING * expected)
        return bool((self.by.abs() < enough).all())

    def follow(self, by: torch.Tensor) -> torch.Tensor:
        """Return by how much cells, (rows, columns), fall as the light goes so far."""
        falls: torch.Tensor = torch.einsum("a,ayx->yx", by.to(self.drag), self.drag)
        return falls.float()


@dataclass(frozen=True, slots=True)
class _Change:
    """How the misfit changes with the light, powers, places and pixels adapting themselves.

    Attributes
    ----------
    curvature, slope
        (quantities, quantities) and (quantities,).
    pulls
        (n, modes) of each quantity: how the slope of the modes' amplitudes falls with it.
    """

    curvature: torch.Tensor
    slope: torch.Tensor
    pulls: list[torch.Tensor]

    @classmethod
    def of(
        cls,
        photons: Photons,
        solution: Solution,
        instrument: Instrument,
        fitted: Sequence[Quantity],
    ) -> Self:
        scene, cells, beam = solution.scene, solution.cells, solution.beam
        amplitudes = scene.amplitudes(cells)
        moves = scene.moves(cells) if photons.place_spread_um else None
        own = Own.of(photons, scene, amplitudes, moves, beam, slice(None))
        light_e = own.light_e[:, 0] * beam.power[:, None]
        expected_e = light_e + beam.stray_e
        weight = photons.weight(expected_e)
        missing = photons.electrons - expected_e
        own_weighted = own.light_e * weight[:, None]
        own_covariance = own.covariance(weight)
        told = (weight * light_e.square()).sum(0) + RESPONSE_SPREAD**-2

        def of_own(e: torch.Tensor) -> torch.Tensor:
            part: torch.Tensor = own.light_e * (own_covariance @ (own_weighted @ e[:, :, None]))
            return part.sum(1)

        def adapted(e: torch.Tensor) -> torch.Tensor:
            """Take from a change, (n, pixels), what pixels and frames can take of it."""
            of_pixels = torch.zeros_like(e)
            for _ in range(_ROUNDS):
                left = e - of_own(e - of_pixels)
                of_pixels = light_e * ((weight * light_e * left).sum(0) / told)
            return e - of_own(e - of_pixels) - of_pixels

        seen = KnownFrames(
            photons, _seen(solution), 1000 * scene.model.cell_um, scene.model.cells
        )
        slopes = seen.expansion(instrument, fitted)[1].to(cells)
        left = [adapted(one) for one in slopes]
        side, scale = scene.model.optics.image_px, beam.electrons * beam.power[:, None, None]
        pulls = []
        for one in left:
            image = (weight * one).view(-1, side, side) * scale
            pulls.append(scene.model.light_pull(amplitudes, image))
        weighted = torch.stack(left).double() * weight
        # What frames have of their own goes where it is believed to be, photons apart.
        back = own_covariance @ (own.short * own.held)[:, :, None]
        believed = (own.light_e * back).sum(1)
        slope = torch.einsum("anp,np->a", weighted, missing.double())
        slope -= torch.einsum("anp,np->a", slopes.double() * weight, believed.double())
        return cls(torch.einsum("anp,bnp->ab", weighted, slopes.double()), slope, pulls)


def _solved(bent: Callable[[torch.Tensor], torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
    """Return the cells that are bent into what is wanted, by conjugate gradients."""

    def product(vector: NDArray[np.float32]) -> NDArray[np.float32]:
        cells = torch.from_numpy(vector).view(wanted.shape)
        result: NDArray[np.float32] = bent(cells).flatten().numpy()
        return result

    count = wanted.numel()
    operator = LinearOperator((count, count), matvec=product, dtype=np.float32)
    found, failed = cg(operator, wanted.flatten().numpy(), rtol=_RESIDUAL, maxiter=_ITERATIONS)
    if failed:
        raise ReconstructionError(
            f"light: expected cells to follow it after {_ITERATIONS} iterations, they do not;"
            f" {_REMEDY}"
        )
    return torch.from_numpy(found).view(wanted.shape)


def _seen(solution: Solution) -> Amplitudes:
    """Return what frames see of the cells, for any model of the same ones."""

    def amplitudes(model: ForwardModel) -> torch.Tensor:
        scene = solution.scene.with_model(model)
        return scene.amplitudes(solution.cells.to(model.film))

    return amplitudes
