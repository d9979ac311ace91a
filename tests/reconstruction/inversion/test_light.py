"""Steps of the light go down the misfit, whose powers follow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.optics import GaussianBeam, Optics
from reconstruction.instrument_quantities import Instrument, light_quantities
from reconstruction.inversion import light
from reconstruction.inversion.light import find_light
from reconstruction.inversion.misfit import misfit
from reconstruction.inversion.normal_equations import NormalEquations
from reconstruction.inversion.priors import PRIORS
from reconstruction.inversion.scene import Scene
from reconstruction.inversion.solver import begin
from simulation.forward import ForwardModel

SIDE = 9
QUANTITIES = light_quantities(Optics(), aberrations=True)


@pytest.fixture
def squares():
    return (np.random.default_rng(1).random((SIDE, SIDE)) < 0.4).astype(np.float32)


def scene_of(optics, photons, side, cells):
    return Scene(ForwardModel(optics, cells=cells), 1, range(side), range(side), photons)


def settled(photons, scene, cells, beam):
    """Let powers, and places if they are free, follow the light."""
    for _ in range(6):
        equations = NormalEquations.at(photons, scene, cells, beam)
        power, *place_um = equations.own_step.T
        beam = replace(beam, power=beam.power + power)
        if place_um:
            scene = scene.with_beam_at(scene.off_um + torch.stack(place_um, dim=1))
    return scene, beam


@pytest.mark.parametrize("place_spread_um", [0.0, 0.03])
def test_slope_and_curvature_are_those_of_the_misfit(
    model, beam, take, squares, monkeypatch, place_spread_um
):
    monkeypatch.setattr(light, "RESPONSE_SPREAD", 1e-9)
    squares, side = squares[:7, :7], 7
    photons = replace(take(squares), place_spread_um=place_spread_um)
    base = beam(len(photons), stray_e=0.5)
    start = Instrument(Optics(defocus_wavelengths=10.02), base.electrons * 1.01, 0.5)

    def at(instrument):
        scene = scene_of(instrument.optics, photons, side, model.cells)
        cells = scene.cells_of(torch.from_numpy(squares))
        lit = replace(base, electrons=instrument.electrons, stray_e=instrument.stray_e)
        scene, lit = settled(photons, scene, cells, lit)
        return begin(photons, scene, PRIORS["none"], cells, lit)

    change = light._Change.of(photons, at(start), start, QUANTITIES)
    middle = at(start).objective
    for number, quantity in enumerate(QUANTITIES):
        step = float(change.curvature[number, number]) ** -0.5
        up, down = (at(quantity.moved(start, sign * step)).objective for sign in (1, -1))
        slope, curvature = (down - up) / 2, up + down - 2 * middle
        assert step * float(change.slope[number]) == pytest.approx(slope, rel=0.03, abs=0.3)
        assert curvature == pytest.approx(1, abs=0.15), quantity.name


def test_misfit_falls_to_where_the_light_was(model, beam, take, squares):
    photons = take(squares)
    wrong = Optics(defocus_wavelengths=10.2, beam=GaussianBeam(fwhm_nm=560.0))
    first = Instrument(wrong, beam(1).electrons, 0.0)
    scene = scene_of(wrong, photons, SIDE, model.cells)
    cells = scene.cells_of(torch.full((SIDE, SIDE), 0.4))
    fitted = light_quantities(wrong, aberrations=False)
    found = find_light(photons, scene, PRIORS["none"], cells, first, first, fitted)
    for one, value in zip(found.calibration.quantities, (540.0, 10.0, 0.5), strict=True):
        assert abs(one.after - value) < 3.5 * one.error, one.name
        assert one.is_told
    seen = found.solution.scene.amplitudes(found.solution.cells)
    end = misfit(photons, found.solution.scene.model, seen, found.solution.beam)
    assert end.chi_squared == pytest.approx(1, abs=0.02)
