"""The plain reference, and the agreement of the fast routes with it."""

import math
from dataclasses import replace

import pytest
import torch

from configs.errors import ConfigError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from simulation.angular_spectrum import AngularSpectrum, propagate
from simulation.beam import beam_field
from simulation.cropped_spectrum import CroppedSpectrum
from simulation.forward import ForwardModel
from simulation.light import Light

# Cheap enough for a test: a smaller pupil rings less, a nearer camera needs less padding.
OPTICS = {"collection_na": 0.7, "roi_px": 128, "defocus_wavelengths": 5.0}


def relative_l2(image, reference):
    return float(torch.linalg.norm(image - reference) / torch.linalg.norm(reference))


def random_squares(squares):
    generator = torch.Generator().manual_seed(3)
    return (torch.rand(1, squares, squares, generator=generator) < 0.35).double()


BEAMS = {
    "gaussian": GaussianBeam(),
    "vectorial": FocusedBeam(
        kind="focused", polarisation_deg=40.0, zernike_waves=(0, 0, 0, 0, 0, 0, 0.05)
    ),
    "narrower than the collecting pupil": FocusedBeam(kind="focused", na=0.6, filling=0.7),
}


@pytest.mark.parametrize("film_amplitude", [0.004, 0.7])
@pytest.mark.parametrize("beam", BEAMS.values(), ids=BEAMS)
def test_three_routes_one_answer(beam, film_amplitude):
    optics = Optics(
        beam=beam,
        collection_zernike_waves=(0, 0, 0, 0, 0.04),
        film_amplitude=film_amplitude,
        film_phase_rad=0.4,
        **OPTICS,
    )
    fast = ForwardModel(optics, dtype=torch.float64)
    mask = random_squares(fast.cells)
    reference = AngularSpectrum(Light.of(optics), fast.cells, 180.0, 6, 50.0).frames(mask)
    cropped = CroppedSpectrum(Light.of(optics), fast.cells, 180.0, dtype=torch.float64)
    assert relative_l2(cropped.frames(mask), reference) < 1e-3
    assert relative_l2(fast.frames(mask), reference) < 1e-3


def test_padding_converges():
    optics = Optics(**OPTICS)
    mask = random_squares(15)
    exact = CroppedSpectrum(Light.of(optics), 15, 180.0, dtype=torch.float64).frames(mask)
    errors = [
        relative_l2(AngularSpectrum(Light.of(optics), 15, 180.0, 6, period).frames(mask), exact)
        for period in (12.0, 24.0, 48.0)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 4 * errors[-1]


def test_forward_then_backward_is_the_band_limited_field():
    optics = Optics(collection_na=0.9, beam=GaussianBeam(fwhm_nm=1500))
    light = Light.of(optics)
    axis = (torch.arange(600, dtype=torch.float64) - 299.5) * 0.05
    field = beam_field(light, axis, axis)[None]
    there = propagate(field, 0.05, light)
    # Time reversal: the conjugate runs back.
    back = propagate(there.conj(), 0.05, light).conj()
    power = field.abs().square().sum()
    assert float(there.abs().square().sum() / power) == pytest.approx(1, abs=1e-9)
    assert float((back - field).abs().square().sum() / power) < 1e-9


def test_a_beam_spreads_as_the_textbook_says():
    light = Light.of(Optics(beam=GaussianBeam(fwhm_nm=3000), collection_na=0.5))
    axis = (torch.arange(400, dtype=torch.float64) - 199.5) * 0.1
    intensity = propagate(beam_field(light, axis, axis)[None], 0.1, light)[0, 0].abs().square()
    waist, z = float(light.beam_um), float(light.distance_um)
    radius = waist * math.sqrt(1 + (z * 0.633 / (math.pi * waist**2)) ** 2)
    line = torch.exp(-2 * (axis / radius) ** 2)
    expected = 2 / (math.pi * radius**2) * line[:, None] * line
    assert relative_l2(intensity, expected) < 2e-3


def test_gradients_are_those_of_finite_differences():
    optics = Optics(roi_px=16, collection_na=0.6, defocus_wavelengths=2.0)
    mask = random_squares(15)

    def image(distance_um, collection_na, film):
        light = replace(
            Light.of(optics), distance_um=distance_um, collection_na=collection_na, film=film
        )
        return 100 * AngularSpectrum(light, 15, 180.0, 1, 8.0).frames(mask)

    values = Light.of(optics)
    at = [values.distance_um, values.collection_na, values.film + 0.01j]
    inputs = tuple(value.clone().requires_grad_() for value in at)
    assert torch.autograd.gradcheck(image, inputs, eps=1e-6, atol=1e-5)


def test_planes_too_small_are_refused():
    far = Light.of(Optics())
    hole = torch.zeros(1, 15, 15)
    hole[0, 7, 7] = 1
    with pytest.raises(ConfigError, match=r"got 3\.\d%; pad more"):
        AngularSpectrum(far, 15, 180.0, 2, 20.0).frames(hole)
    with pytest.raises(ConfigError, match=r"more than the camera's window, 10\.7 um, got 8 um"):
        AngularSpectrum(far, 15, 180.0, 2, 8.0)
    with pytest.raises(ConfigError, match="too small for the beam"):
        AngularSpectrum(far, 5, 180.0, 2, 40.0)
    with pytest.raises(ConfigError, match=r"up to 0\.95 medium_index, got 1; take the cropped"):
        AngularSpectrum(Light.of(Optics(collection_na=1.0)), 15, 180.0, 2, 40.0)
