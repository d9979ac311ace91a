"""The light against independent calculations, textbook solutions and invariants."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from configs.errors import ConfigError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from simulation.beam import beam_field
from simulation.cropped_spectrum import CroppedSpectrum
from simulation.light import Light, gaussian_radius_um

ORACLE = np.load(Path(__file__).parents[1] / "data" / "oracle_frames.npz")
MASKS = ["film", "centre", "off_centre", "l_shape", "random", "open", "half"]
# Dim frames, whose light is spread widest: the lattice that made the reference frames
# shows in them. docs/simulation.md has the convergence study.
DIM = {"centre", "off_centre", "half"}
SMALL = {"roi_px": 16, "collection_na": 0.8, "defocus_wavelengths": 3.0}
LENS = {"na": 0.7, "filling": 0.6, "zernike_waves": (0, 0, 0, 0.02, 0.04, 0, 0.03)}


def route(optics, cells=15, cell_nm=180.0, **settings):
    return CroppedSpectrum(Light.of(optics), cells, cell_nm, dtype=torch.float64, **settings)


@pytest.fixture(scope="module")
def default():
    return route(Optics())


def window(mask, cells=15):
    edge = (cells - len(mask)) // 2
    return torch.from_numpy(np.pad(np.asarray(mask, float), edge))[None]


def random_window(cells=15, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, cells, cells, generator=generator, dtype=torch.float64)


def relative_l2(image, reference):
    return float(np.linalg.norm(image - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize("name", MASKS)
def test_reference_frames(default, name):
    image = default.frames(window(ORACLE[f"mask_{name}"]))[0].numpy()
    assert relative_l2(image, ORACLE[f"frame_{name}"]) < (1.4e-3 if name in DIM else 1e-3)


def test_reference_frames_on_their_own_lattice():
    lattice = route(Optics(), period_um=320.0)
    for name in MASKS:
        image = lattice.frames(window(ORACLE[f"mask_{name}"]))[0].numpy()
        assert relative_l2(image, ORACLE[f"frame_{name}"]) < 1e-4, name


def test_integral_is_the_limit_of_finer_lattices(default):
    mask = window(ORACLE["mask_centre"])  # the largest error against the reference
    exact = default.frames(mask)[0].numpy()
    errors = [
        relative_l2(route(Optics(), period_um=period).frames(mask)[0].numpy(), exact)
        for period in (20.0, 40.0, 80.0, 160.0)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("name", MASKS)
def test_unbinned_reference_frames(name):
    image = route(Optics(roi_px=64, binning=1)).frames(window(ORACLE[f"mask_{name}"]))[0]
    limit = 1.6e-3 if name in DIM else 1e-3
    assert relative_l2(image.numpy(), ORACLE[f"crop_{name}"]) < limit


def test_displaced_reference_frame(default):
    mask = window(ORACLE["mask_random"])
    image = default.frames(mask, torch.tensor([[0.03, -0.05]]))[0].numpy()
    assert relative_l2(image, ORACLE["frame_random_shifted"]) < 1e-3
    assert relative_l2(default.frames(mask)[0].numpy(), image) > 0.01


def test_wide_beam_is_the_textbook_gaussian_beam():
    # Without a film and with a beam that hardly diverges, propagation is paraxial:
    # Saleh & Teich, Fundamentals of Photonics, chapter 3.
    beam = GaussianBeam(fwhm_nm=3000)
    optics = Optics(beam=beam, collection_na=0.3, film_amplitude=1, pixel_nm=100, roi_px=160)
    image = route(optics, 15, 1000).frames(torch.zeros(1, 15, 15))[0].numpy()
    waist, z = gaussian_radius_um(beam), 10 * 0.633
    radius = waist * math.sqrt(1 + (z * 0.633 / (math.pi * waist**2)) ** 2)
    edges = (np.arange(optics.image_px + 1) - optics.image_px / 2) * 0.4
    line = np.diff([math.erf(math.sqrt(2) * x / radius) / 2 for x in edges])
    assert relative_l2(image, np.outer(line, line)) < 2e-3
    assert image.sum() == pytest.approx(1, abs=1e-6)


def test_square_hole_is_the_rayleigh_sommerfeld_integral():
    # The evanescent waves, which the model drops, fade as the square of the distance:
    # 1.6e-3 of this frame at 10 wavelengths, 1e-4 at 40.
    optics = Optics(collection_na=1, film_amplitude=0, roi_px=32, defocus_wavelengths=40)
    image = route(optics).frames(window([[1.0]]))[0].numpy()
    nodes, weights = legendre.leggauss(24)
    x, weights = nodes * 0.09, weights * 0.09
    waist, wavelength, z = gaussian_radius_um(optics.beam), 0.633, 0.633 * 40
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


@pytest.mark.parametrize("beam", [GaussianBeam(), FocusedBeam(kind="focused", filling=0.4)])
def test_the_light_through_an_open_sample_stays(beam):
    everything = torch.ones(1, 15, 15)
    near, far = (
        float(route(Optics(beam=beam, roi_px=px)).frames(everything).sum()) for px in (256, 640)
    )
    assert near < far <= 1
    assert far > 0.994  # what the pupil of NA 0.9 passes of this beam


def test_with_nothing_in_the_way_a_vectorial_beam_leaves_the_objective_as_it_came():
    # The collecting objective undoes the focusing one: the polarisation is linear
    # again, and nothing distinguishes the image from that of scalar light.
    def empty(vectorial):
        beam = FocusedBeam(kind="focused", vectorial=vectorial)
        optics = Optics(beam=beam, film_amplitude=1)
        return route(optics).frames(torch.zeros(1, 15, 15))[0].numpy()

    assert relative_l2(empty(True), empty(False)) < 1e-12


def test_a_small_hole_in_vectorial_light_radiates_as_maxwell_says():
    # Of a hole with an x-polarised tangential field, waves at (theta, phi) have the
    # s amplitude sin(phi) and the p amplitude cos(phi) / cos(theta); the flux through
    # the pupil is their square times cos(theta).
    optics = Optics(
        beam=FocusedBeam(kind="focused"), film_amplitude=0, roi_px=640, defocus_wavelengths=2
    )
    cell_um = 0.02
    hole = torch.zeros(1, 135, 135)
    hole[0, 67, 67] = 1
    light = route(optics, 135, 20.0).frames(hole).sum()
    centre = torch.zeros(1, dtype=torch.float64)
    field = abs(complex(beam_field(Light.of(optics), centre, centre)[0, 0, 0]))
    sine = np.linspace(0, optics.collection_na, 4001)
    cosine = np.sqrt(1 - sine**2)
    ring = np.pi * (1 / cosine + cosine) * sine / 0.633**2
    expected = (field * cell_um**2) ** 2 * np.trapezoid(ring, sine)
    assert float(light) == pytest.approx(expected, rel=0.01)


def test_one_cell_of_displacement_is_one_cell(default):
    mask = window(ORACLE["mask_random"])
    step = torch.tensor([[0.18, 0.0]])
    moved = default.frames(mask, step)
    torch.testing.assert_close(default.frames(torch.roll(mask, 1, dims=2)), moved)


@pytest.mark.parametrize("cells", [45, 135])
def test_cells_of_any_size_give_the_same_image(default, cells):
    fine = random_window().repeat_interleave(cells // 15, 1).repeat_interleave(cells // 15, 2)
    image = route(Optics(), cells, 2700 / cells).frames(fine)[0].numpy()
    assert relative_l2(image, default.frames(random_window())[0].numpy()) < 1e-4


TURNS = {
    "mirrored": lambda image: torch.flip(image, (1,)),
    "upside down": lambda image: torch.flip(image, (2,)),
    "turned by half": lambda image: torch.rot90(image, 2, (1, 2)),
    "turned by a quarter": lambda image: torch.rot90(image, 1, (1, 2)),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("kind", ["gaussian", "focused"])
def test_object_and_image_turn_together(kind, turn):
    beam = GaussianBeam() if kind == "gaussian" else FocusedBeam(kind="focused", filling=0.4)
    model, mask, turned = route(Optics(beam=beam)), random_window(), TURNS[turn]
    # A quarter turn turns the polarisation as well.
    same = kind == "gaussian" or turn != "turned by a quarter"
    error = relative_l2(
        model.frames(turned(mask))[0].numpy(), turned(model.frames(mask))[0].numpy()
    )
    assert (error < 1e-9) == same


def test_polarisation_turns_with_object_and_image():
    def images(degrees):
        beam = FocusedBeam(kind="focused", filling=0.4, polarisation_deg=degrees)
        return route(Optics(beam=beam))

    mask = random_window()
    turned = torch.rot90(images(0.0).frames(mask), 1, (1, 2))
    torch.testing.assert_close(images(90.0).frames(torch.rot90(mask, 1, (1, 2))), turned)


def test_pixels_integrate_what_finer_pixels_see():
    # Ten times finer along each axis than the binned pixel.
    coarse = route(Optics(roi_px=64))
    fine = route(Optics(pixel_nm=16.68, roi_px=160, binning=1))
    summed = fine.frames(random_window()).view(1, 16, 10, 16, 10).sum(dim=(2, 4))
    assert relative_l2(coarse.frames(random_window()).numpy(), summed.numpy()) < 1e-4


def test_another_scale_of_everything_gives_the_same_image(default):
    red = Optics(pixel_nm=2 * 41.7, defocus_wavelengths=20).at_wavelength(2 * 633)
    image = route(red, 15, 360.0).frames(random_window())
    torch.testing.assert_close(image, default.frames(random_window()))


def test_defocus_of_the_objective_is_a_displaced_camera():
    # Zernike defocus is the paraxial part of a displacement: at low NA all of it.
    na, shift_um, wavelength_um = 0.15, 4.0, 0.633
    waves = -shift_um * na**2 / (4 * math.sqrt(3) * wavelength_um)
    low = {"collection_na": na, "roi_px": 512, "beam": GaussianBeam(fwhm_nm=2000)}
    aberrated = route(Optics(**low, collection_zernike_waves=(0, 0, 0, waves)), 21, 500)
    moved = route(Optics(**low, defocus_wavelengths=10 + shift_um / 0.633), 21, 500)
    still = route(Optics(**low), 21, 500)
    a, m, s = (r.frames(random_window(21))[0].numpy() for r in (aberrated, moved, still))
    assert relative_l2(a, m) < 0.003
    assert relative_l2(s, m) > 0.05


@pytest.mark.parametrize("where", ["collection", "focus"])
def test_strong_aberrations_are_resolved(where):
    # Against a lattice, whose nodes do not depend on the aberrations.
    spherical = (0,) * 10 + (1.5,)
    if where == "collection":
        optics, cells = Optics(collection_zernike_waves=spherical, collection_na=0.7), 15
    else:
        lens = FocusedBeam(kind="focused", zernike_waves=(0, 0, 0, 0.4), na=0.7, filling=0.5)
        optics, cells = Optics(beam=lens, collection_na=0.7), 31
    mask = random_window(cells)
    image = route(optics, cells).frames(mask)[0].numpy()
    lattice = route(optics, cells, period_um=120.0).frames(mask)[0].numpy()
    assert relative_l2(image, lattice) < 5e-3


def test_an_aberrated_focus_is_the_one_of_a_lens_that_focuses_elsewhere():
    # Zernike defocus of the lens against a sample moved out of its focus: the sign, too.
    na, moved_um = 0.3, 0.8
    waves = moved_um * na**2 / (4 * math.sqrt(3) * 0.633)
    aberrated = FocusedBeam(
        kind="focused", na=na, filling=0.8, vectorial=False, zernike_waves=(0, 0, 0, waves)
    )
    plain = FocusedBeam(kind="focused", na=na, filling=0.8, vectorial=False)
    points = torch.linspace(-1.5, 1.5, 21, dtype=torch.float64)
    expected = beam_field(Light.of(Optics(beam=plain)).refocused(moved_um), points, points)
    other = beam_field(Light.of(Optics(beam=plain)).refocused(-moved_um), points, points)
    field = beam_field(Light.of(Optics(beam=aberrated)), points, points)

    def same(a, b):
        """Up to a phase of the whole."""
        overlap = (a.conj() * b).sum().abs()
        return float(overlap / (a.abs().square().sum() * b.abs().square().sum()).sqrt())

    assert same(field, expected) > 0.9999
    assert same(field, other) < 0.999


PARAMETERS = {
    "gaussian": ["beam_um"],
    "focused": ["focusing_na", "filling", "polarisation_rad", "focusing_waves"],
    "both": [
        *("wavelength_um", "medium_index", "distance_um", "collection_na"),
        *("collection_waves", "pixel_um", "film"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("gaussian", "focused") for name in PARAMETERS[kind]]
    + [(kind, name) for kind in ("gaussian", "focused") for name in PARAMETERS["both"]],
)
def test_gradients_are_those_of_finite_differences(kind, name):
    focused = FocusedBeam(kind="focused", polarisation_deg=30.0, **LENS)
    beam = GaussianBeam(fwhm_nm=400) if kind == "gaussian" else focused
    waves = {"collection_zernike_waves": (0, 0, 0, 0, 0.03, 0, 0, 0.02)}
    light = Light.of(Optics(beam=beam, medium_index=1.05, **SMALL, **waves))
    value = getattr(light, name).clone().requires_grad_()

    def image(value):
        model = CroppedSpectrum(replace(light, **{name: value}), 15, 180.0, dtype=torch.float64)
        return 100 * model.frames(random_window())

    assert torch.autograd.gradcheck(image, (value,), eps=1e-6, atol=1e-5, rtol=1e-4)


def test_gradients_of_the_object_are_those_of_finite_differences():
    model = route(Optics(**SMALL), 5, 500.0)
    mask = random_window(5).requires_grad_()
    offset = torch.tensor([[0.02, -0.03]], dtype=torch.float64, requires_grad=True)

    def image(mask, offset):
        return 100 * model.frames(mask, offset)

    assert torch.autograd.gradcheck(image, (mask, offset), eps=1e-6, atol=1e-6)


def test_a_camera_too_far_to_compute_is_refused():
    far = Light.of(Optics(defocus_wavelengths=500.0))
    with pytest.raises(ConfigError, match=r"at most 1000 nodes along an axis, got \d{4}; take"):
        CroppedSpectrum(far, 15, 180.0)
