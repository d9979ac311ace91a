"""The light against independent calculations, textbook solutions and invariants."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from configs.optics import Optics
from simulation.forward import ForwardModel
from simulation.modes import beam_radius_um

ORACLE = np.load(Path(__file__).parents[1] / "data" / "oracle_frames.npz")
MASKS = ["film", "centre", "off_centre", "l_shape", "random", "open", "half"]
# Dim frames, whose light is spread widest: the lattice that made the reference frames
# shows in them. docs/physics.md has the convergence study.
DIM = {"centre", "off_centre", "half"}


@pytest.fixture(scope="module")
def model():
    return ForwardModel(Optics(), dtype=torch.float64)


@pytest.fixture(scope="module")
def lattice_model():
    """As the reference frames were made: a Fourier sum of period 320 um."""
    return ForwardModel(Optics(), dtype=torch.float64, period_um=320.0)


def window(mask, squares):
    edge = (squares - len(mask)) // 2
    return torch.from_numpy(np.pad(np.asarray(mask, float), edge))[None]


def relative_l2(image, reference):
    return float(np.linalg.norm(image - reference) / np.linalg.norm(reference))


def random_window(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (1, model.squares, model.squares)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", MASKS)
def test_reference_frames_on_their_own_lattice(lattice_model, name):
    coverage = window(ORACLE[f"mask_{name}"], lattice_model.squares)
    image = lattice_model.frames(coverage)[0].numpy()
    assert relative_l2(image, ORACLE[f"frame_{name}"]) < 3e-4


@pytest.mark.parametrize("name", MASKS)
def test_reference_frames(model, name):
    coverage = window(ORACLE[f"mask_{name}"], model.squares)
    image = model.frames(coverage)[0].numpy()
    limit = 1.5e-3 if name in DIM else 1e-3
    assert relative_l2(image, ORACLE[f"frame_{name}"]) < limit


def test_integral_is_the_limit_of_finer_lattices(model):
    # On the frame with the largest error against the reference.
    coverage = window(ORACLE["mask_centre"], model.squares)
    exact = model.frames(coverage)[0].numpy()
    errors = [
        relative_l2(
            ForwardModel(Optics(), dtype=torch.float64, period_um=period)
            .frames(coverage)[0]
            .numpy(),
            exact,
        )
        for period in (20.0, 40.0, 80.0, 160.0)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("name", MASKS)
def test_unbinned_reference_frames(name):
    model = ForwardModel(Optics(roi_px=64, binning=1), dtype=torch.float64)
    image = model.frames(window(ORACLE[f"mask_{name}"], model.squares))[0].numpy()
    limit = 1.6e-3 if name in DIM else 1e-3
    assert relative_l2(image, ORACLE[f"crop_{name}"]) < limit


def test_displaced_reference_frame(model):
    coverage = window(ORACLE["mask_random"], model.squares)
    image = model.frames(coverage, torch.tensor([[0.03, -0.05]]))[0].numpy()
    assert relative_l2(image, ORACLE["frame_random_shifted"]) < 1e-3
    assert relative_l2(model.frames(coverage)[0].numpy(), image) > 0.01


def test_single_precision_agrees_with_double(model):
    single = ForwardModel(Optics())
    coverage = random_window(model)
    image = single.frames(coverage.float())[0].double().numpy()
    assert relative_l2(image, model.frames(coverage)[0].numpy()) < 1e-5


def test_wide_beam_is_the_textbook_gaussian_beam():
    # Without a film and with a beam that hardly diverges, propagation is paraxial:
    # Saleh & Teich, Fundamentals of Photonics, chapter 3.
    optics = Optics(
        beam_fwhm_nm=3000, collection_na=0.3, film_amplitude=1, pixel_nm=100, roi_px=160
    )
    model = ForwardModel(optics, pitch_nm=1000, dtype=torch.float64)
    image = model.frames(torch.zeros(1, model.squares, model.squares).double())[0].numpy()
    waist, z = beam_radius_um(optics), 10 * 0.633
    rayleigh_range = math.pi * waist**2 / 0.633
    radius = waist * math.sqrt(1 + (z / rayleigh_range) ** 2)
    edges = (np.arange(optics.image_px + 1) - optics.image_px / 2) * 0.4
    line = np.diff([math.erf(math.sqrt(2) * x / radius) / 2 for x in edges])
    assert relative_l2(image, np.outer(line, line)) < 2e-3
    assert image.sum() == pytest.approx(1, abs=1e-6)


def test_square_hole_is_the_rayleigh_sommerfeld_integral():
    # The evanescent waves, which the model drops, fade as the square of the distance:
    # 1.6e-3 of this frame at 10 wavelengths, 1e-4 at 40.
    optics = Optics(collection_na=1, film_amplitude=0, roi_px=32, defocus_wavelengths=40)
    model = ForwardModel(optics, dtype=torch.float64)
    image = model.frames(window([[1.0]], model.squares))[0].numpy()
    nodes, weights = legendre.leggauss(24)
    x, weights = nodes * 0.09, weights * 0.09
    waist, wavelength, z = beam_radius_um(optics), 0.633, 0.633 * 40
    field_in = np.exp(-(x[:, None] ** 2 + x**2) / waist**2) * weights[:, None] * weights
    pixel_nodes, pixel_weights = legendre.leggauss(4)
    half = optics.binned_pixel_nm / 2000
    centres = (np.arange(optics.image_px) - (optics.image_px - 1) / 2) * 2 * half
    position = (centres[:, None] + pixel_nodes * half).ravel()
    area = np.tile(pixel_weights * half, optics.image_px)
    intensity = np.empty((position.size, position.size))
    k = 2 * np.pi / wavelength
    for (row, py), (column, px) in product(enumerate(position), repeat=2):
        r = np.sqrt((px - x) ** 2 + (py - x[:, None]) ** 2 + z**2)
        kernel = z / (2 * np.pi * r**2) * (1 / r - 1j * k) * np.exp(1j * k * r)
        intensity[row, column] = abs((field_in * kernel).sum()) ** 2
    power = intensity * area[:, None] * area / (np.pi * waist**2 / 2)
    expected = power.reshape(optics.image_px, 4, optics.image_px, 4).sum(axis=(1, 3))
    assert relative_l2(image, expected) < 2e-4


def test_the_light_through_an_open_sample_stays(model):
    everything = torch.ones(1, model.squares, model.squares).double()
    wide = ForwardModel(Optics(roi_px=640, binning=4), dtype=torch.float64)
    near, far = (float(m.frames(everything).sum()) for m in (model, wide))
    assert near < far <= 1
    assert far > 0.994  # what the pupil of NA 0.9 passes of this beam


def test_one_pitch_of_displacement_is_one_square(model):
    mask = window(ORACLE["mask_random"], model.squares)
    right = torch.tensor([[model.pitch_um / 2, 0.0]], dtype=torch.float64)
    moved = model.frames(torch.roll(mask, 1, dims=2), -right)
    torch.testing.assert_close(model.frames(mask, right), moved, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize(
    "turn",
    [
        lambda image: torch.flip(image, (1,)),
        lambda image: torch.flip(image, (2,)),
        lambda image: torch.rot90(image, 1, (1, 2)),
        lambda image: torch.rot90(image, 2, (1, 2)),
    ],
)
def test_object_and_image_turn_together(model, turn):
    coverage = random_window(model)
    torch.testing.assert_close(
        model.frames(turn(coverage)), turn(model.frames(coverage)), rtol=1e-9, atol=1e-13
    )


def test_field_is_linear_in_the_squares(model):
    a, b = random_window(model, 1), random_window(model, 2)
    mixed = model.amplitudes(0.3 * a + 0.7 * b)
    torch.testing.assert_close(mixed, 0.3 * model.amplitudes(a) + 0.7 * model.amplitudes(b))


def test_pixels_integrate_what_finer_pixels_see():
    # Ten times finer along each axis than the binned pixel.
    coarse = ForwardModel(Optics(roi_px=64), dtype=torch.float64)
    fine = ForwardModel(Optics(pixel_nm=16.68, roi_px=160, binning=1), dtype=torch.float64)
    coverage = random_window(coarse)
    summed = fine.frames(coverage).view(1, 16, 10, 16, 10).sum(dim=(2, 4))
    assert relative_l2(coarse.frames(coverage).numpy(), summed.numpy()) < 1e-4


def test_gradients_are_those_of_finite_differences():
    model = ForwardModel(Optics(roi_px=16, beam_fwhm_nm=200), dtype=torch.float64)
    coverage = random_window(model).requires_grad_()
    offset = torch.tensor([[0.02, -0.03]], dtype=torch.float64, requires_grad=True)

    def light(coverage, offset):
        # Of order one, so that gradcheck's tolerances mean something.
        return 100 * model.frames(coverage, offset)

    assert torch.autograd.gradcheck(light, (coverage, offset), eps=1e-6, atol=1e-6)
