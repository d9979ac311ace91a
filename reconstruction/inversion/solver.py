"""The cells that explain the photons of a scene best.

Gauss-Newton: the misfit is expanded to second order in the light of the modes, which is linear
in the cells; the expansion, with the prior, is minimised within the bounds; a search
along the way there makes sure that the misfit itself falls; and again from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch

from reconstruction.inversion.bounded import minimise_bounded
from reconstruction.inversion.grid_scene import GridScene
from reconstruction.inversion.misfit import Misfit, misfit
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import Prior
from reconstruction.inversion.scene import Scene

_LARGEST_GAIN: Final = 0.1
"""Fall of the objective per cell of a converged solution, at most, in the next step."""
_STANDSTILL: Final = 0.01
"""Change of every cell below which a step that gains nothing is the end."""
_SHORTEST: Final = 1 / 32
_FEW_ITERATIONS: Final = 75
"""Within a step, far from the end: expansions are rough there."""
_MANY_ITERATIONS: Final = 300
"""The same, close to it; of finer cells, which the prior holds together, a third."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Where the solver stands.

    Attributes
    ----------
    scene
        Where its frames lie.
    cells
        (rows, columns) of the scene, milled fractions.
    beam
        Its power in every frame, and stray light.
    misfit
        Of these.
    objective
        Misfit and priors.
    steps
        Taken so far.
    converged
        Whether another step would change nothing that matters.
    """

    scene: Scene
    cells: torch.Tensor
    beam: Beam
    misfit: Misfit
    objective: float
    steps: int
    converged: bool


def solve(
    photons: Photons,
    prior: Prior,
    start: Solution,
    most_steps: int,
    is_close: Callable[[Misfit], bool] = lambda misfit: True,
) -> Iterator[Solution]:
    """Go on from a solution until it has converged, for so many steps at most.

    Far from the end expansions are rough, and a step takes few iterations. ``is_close`` says
    from the misfit whether the end is near; by default it always is.
    """
    solution = start
    many = _MANY_ITERATIONS // start.scene.cells_per_square
    for _ in range(most_steps):
        iterations = many if is_close(solution.misfit) else _FEW_ITERATIONS
        solution = step(photons, prior, solution, iterations)
        yield solution
        if solution.converged:
            break


def begin(
    photons: Photons, scene: Scene, prior: Prior, cells: torch.Tensor, beam: Beam
) -> Solution:
    """Return the solution that some cells are."""
    found = misfit(photons, scene.model, scene.amplitudes(cells), beam)
    objective = found.value + float(prior(cells)[0])
    if photons.place_spread_um:
        off = (scene.off_um - photons.off_um) / photons.place_spread_um
        objective += float(off.square().sum()) / 2
    return Solution(scene, cells, beam, found, objective, 0, False)


def step(photons: Photons, prior: Prior, solution: Solution, iterations: int) -> Solution:
    """Take one step of Gauss-Newton.

    The expansion is minimised by so many iterations; a search goes along the way there.
    """
    scene, cells, beam = solution.scene, solution.cells, solution.beam
    equations = NormalEquations.at(photons, scene, cells, beam)

    slope, on_grid = scene.spread(equations.slope), GridScene(scene)

    def expansion(there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        change = there - cells
        bent = on_grid.spread(equations.bent(on_grid.amplitudes(change)))
        penalty, pull = prior(there)
        return (change * (bent / 2 - slope)).sum() + penalty, bent - slope + pull

    change = minimise_bounded(expansion, cells, iterations) - cells
    power, *place_um = equations.own_change(scene.amplitudes(change)).T
    share = 1.0
    while share >= _SHORTEST:
        moved = replace(beam, power=beam.power + share * power)
        under = scene
        if place_um:
            under = scene.with_beam_at(scene.off_um + share * torch.stack(place_um, dim=1))
        there = begin(photons, under, prior, cells + share * change, moved)
        gain = solution.objective - there.objective
        if gain > 0:
            more_e = max(-moved.stray_e, there.misfit.stray_step_e)
            found = there.misfit.with_more_stray(more_e)
            return Solution(
                scene=under,
                cells=there.cells,
                beam=replace(moved, stray_e=moved.stray_e + more_e),
                misfit=found,
                objective=there.objective + found.value - there.misfit.value,
                steps=solution.steps + 1,
                converged=gain < _LARGEST_GAIN * cells.numel(),
            )
        share /= 2
    stands_still = bool((change.abs() < _STANDSTILL).all())
    return replace(solution, steps=solution.steps + 1, converged=stands_still)
