"""Cells that explain the photons are the cells that were there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reconstruction.inversion.bounded import minimise_bounded
from reconstruction.inversion.misfit import misfit
from reconstruction.inversion.normal_equations import NormalEquations
from reconstruction.inversion.priors import PRIORS
from reconstruction.inversion.scene import Scene
from reconstruction.inversion.solver import begin, solve

SIDE = 9


@pytest.fixture
def squares():
    return (np.random.default_rng(1).random((SIDE, SIDE)) < 0.4).astype(np.float32)


def scene_of(model, photons):
    return Scene(model, 1, range(SIDE), range(SIDE), photons)


def solved(model, beam, photons, start=0.4, prior="none", most_steps=15):
    scene = scene_of(model, photons)
    cells = scene.cells_of(torch.full((SIDE, SIDE), start))
    first = begin(photons, scene, PRIORS[prior], cells, beam(len(photons)))
    *_, solution = solve(photons, PRIORS[prior], first, most_steps)
    inner = slice(scene.reach, -scene.reach)
    return solution.cells[inner, inner].numpy(), solution


def test_random_squares_are_found_from_nothing(model, beam, take, squares):
    found, solution = solved(model, beam, take(squares))
    assert solution.converged
    assert np.array_equal(found >= 0.5, squares >= 0.5)
    assert abs(solution.misfit.chi_squared - 1) < 0.03
    assert abs(solution.beam.stray_e - 0.5) < 0.05


def test_milled_fractions_are_found(model, beam, take, squares):
    squares[2, 3], squares[5, 5] = 0.7, 0.25
    found, _ = solved(model, beam, take(squares))
    assert abs(found[2, 3] - 0.7) < 0.1
    assert abs(found[5, 5] - 0.25) < 0.1


def test_positions_that_the_stage_reads_back_are_used(model, beam, take, squares):
    off_um = 0.03 * torch.randn(SIDE**2, 2, generator=torch.Generator().manual_seed(3))
    photons = take(squares, off_um.clamp(-0.08, 0.08))
    _, knowing = solved(model, beam, photons)
    _, blind = solved(model, beam, replace(photons, off_um=torch.zeros_like(off_um)))
    assert abs(knowing.misfit.chi_squared - 1) < 0.03
    assert blind.misfit.chi_squared > knowing.misfit.chi_squared + 0.03


def test_places_that_the_stage_does_not_know_are_found(model, beam, take, squares):
    off_um = 0.02 * torch.randn(SIDE**2, 2, generator=torch.Generator().manual_seed(3))
    believing = replace(take(squares, off_um), off_um=torch.zeros_like(off_um))
    _, there = solved(model, beam, believing)
    photons = replace(believing, place_spread_um=0.03)
    first = begin(photons, there.scene, PRIORS["none"], there.cells, there.beam)
    *_, solution = solve(photons, PRIORS["none"], first, 15)
    assert solution.converged
    assert there.misfit.chi_squared > 1.02 > solution.misfit.chi_squared + 0.01
    inner = slice(solution.scene.reach, -solution.scene.reach)
    assert np.array_equal(solution.cells[inner, inner].numpy() >= 0.5, squares >= 0.5)
    equations = NormalEquations.at(photons, solution.scene, solution.cells, solution.beam)
    wrong = solution.scene.off_um - off_um
    assert wrong.square().mean().sqrt() < 0.006
    assert 0.7 < (wrong / equations.own_spread[:, 1:]).square().mean().sqrt() < 1.3


def test_missing_frames_are_borne(model, beam, take, squares):
    photons = take(squares)
    kept = torch.arange(SIDE**2) % 4 != 0
    fewer = replace(
        photons,
        rows=photons.rows[kept],
        columns=photons.columns[kept],
        off_um=photons.off_um[kept],
        electrons=photons.electrons[kept],
    )
    found, solution = solved(model, beam, fewer)
    assert ((found >= 0.5) == (squares >= 0.5)).mean() > 0.97
    assert abs(solution.misfit.chi_squared - 1) < 0.03


def test_the_expansion_is_that_of_the_misfit(model, beam, take, squares):
    photons = take(squares)
    scene = scene_of(model, photons)
    light = beam(len(photons), stray_e=0.5)
    cells = scene.cells_of(torch.from_numpy(squares))
    equations = NormalEquations.at(photons, scene, cells, light)
    random = torch.Generator().manual_seed(5)
    step = scene.amplitudes(scene.cells_of(0.01 * torch.randn(SIDE, SIDE, generator=random)))
    power = equations.own_change(step)[:, 0]

    def value(share, step, power):
        moved = replace(light, power=light.power + share * power)
        return misfit(photons, model, scene.amplitudes(cells) + share * step, moved).value

    change = (step * (equations.bent(step) / 2 - equations.slope)).sum()
    eliminated = value(1, 0 * step, equations.own_step[:, 0]) - value(0, step, power)
    assert value(1, step, power) - value(0, step, power) == pytest.approx(
        float(change) + eliminated, rel=0.05
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_slopes_of_priors(prior):
    cells = torch.rand(7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cells.requires_grad_(True)
    value, slope = PRIORS[prior](cells)
    (expected,) = torch.autograd.grad(value, cells)
    torch.testing.assert_close(slope, expected)


def test_the_bounds_hold_in_the_minimum():
    wanted = torch.tensor([[-1.0, 0.3], [0.8, 2.0]])
    found = minimise_bounded(
        lambda cells: ((cells - wanted).square().sum(), 2 * (cells - wanted)),
        torch.full((2, 2), 0.5),
        50,
    )
    torch.testing.assert_close(found, wanted.clamp(0, 1))
