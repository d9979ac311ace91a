"""The fast route gives what the cropped spectrum gives, for any beam, mask and offset."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from simulation.colour import ColourModel
from simulation.cropped_spectrum import CroppedSpectrum
from simulation.defocus import FocusSeries
from simulation.forward import ForwardModel
from simulation.light import Light

BEAMS = {
    "gaussian": GaussianBeam(),
    "scalar": FocusedBeam(kind="focused", vectorial=False),
    "vectorial": FocusedBeam(kind="focused", polarisation_deg=20.0),
    "aberrated": FocusedBeam(kind="focused", zernike_waves=(0, 0, 0, 0, 0.05, 0, 0.05)),
}


def relative_l2(images, references):
    errors = torch.linalg.norm(images - references, dim=(1, 2))
    return float((errors / torch.linalg.norm(references, dim=(1, 2))).max())


def random_windows(squares, batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, squares, squares)
    windows = torch.rand(shape, generator=generator, dtype=torch.float64)
    windows[0] = (windows[0] < 0.35).double()
    windows[-1] = 0
    windows[-1, squares // 2, squares // 2 + 1] = 1
    return windows


def both_routes(optics, cell_nm=180.0, cells=None):
    fast = ForwardModel(optics, cell_nm, cells=cells, dtype=torch.float64)
    direct = CroppedSpectrum(Light.of(optics), fast.cells, cell_nm, dtype=torch.float64)
    return fast, direct


@pytest.mark.parametrize("beam", BEAMS)
def test_modes_are_the_whole_truth(beam):
    optics = Optics(
        beam=BEAMS[beam], film_phase_rad=0.7, film_amplitude=0.1, collection_na=0.85
    )
    fast, direct = both_routes(optics)
    windows = random_windows(fast.cells)
    offset = torch.tensor([[0.09, -0.05], [0.0, 0.02], [-0.03, 0.08]], dtype=torch.float64)
    for at in (None, offset):
        assert relative_l2(fast.frames(windows, at), direct.frames(windows, at)) < 2e-4


@pytest.mark.parametrize("cell_nm", [20.0, 30.0, 90.0, 250.0])
def test_cells_of_any_size(cell_nm):
    fast, direct = both_routes(Optics(), cell_nm)
    windows = random_windows(fast.cells)
    offset = torch.tensor([[0.5, -0.4], [0.0, 0.1], [-0.2, 0.5]]) * cell_nm / 1000
    assert relative_l2(fast.frames(windows, offset), direct.frames(windows, offset)) < 1e-4


def test_fine_cells_and_squares_show_the_same_image():
    coarse = ForwardModel(Optics(), cells=15)
    fine = ForwardModel(Optics(), 20.0, cells=135)
    windows = random_windows(15).float()
    same = windows.repeat_interleave(9, 1).repeat_interleave(9, 2)
    assert relative_l2(fine.frames(same), coarse.frames(windows)) < 1e-4


def test_single_precision_agrees_with_double():
    single, double = ForwardModel(Optics()), ForwardModel(Optics(), dtype=torch.float64)
    windows = random_windows(single.cells)
    assert relative_l2(single.frames(windows).double(), double.frames(windows)) < 1e-5


def test_a_frame_costs_few_modes():
    # 196 products of axis functions carry light; the pupil is a disc and sees fewer.
    gaussian, vectorial = (
        ForwardModel(Optics(beam=BEAMS[beam])) for beam in ("gaussian", "vectorial")
    )
    window = torch.zeros(1, gaussian.cells, gaussian.cells)
    assert gaussian.amplitudes(window).shape[1] < 100
    window = torch.zeros(1, vectorial.cells, vectorial.cells)
    assert vectorial.amplitudes(window).shape[1] < 240


def test_field_is_linear_in_the_squares():
    model = ForwardModel(Optics(), dtype=torch.float64)
    a, b = random_windows(15), random_windows(15, seed=1)
    mixed = model.amplitudes(0.3 * a + 0.7 * b)
    torch.testing.assert_close(mixed, 0.3 * model.amplitudes(a) + 0.7 * model.amplitudes(b))


@pytest.mark.parametrize(("focus_nm", "error"), [(0.0, 5e-5), (20.0, 5e-5), (-13.0, 2e-4)])
def test_focus_moves_the_sample(focus_nm, error):
    moved = Light.of(Optics()).refocused(focus_nm / 1000)
    direct = CroppedSpectrum(moved, 15, 180.0, dtype=torch.float64)
    model = FocusSeries(Optics(), 180.0).at(focus_nm)
    windows = random_windows(15)
    frames = model.frames(windows.float()).double()
    assert relative_l2(frames, direct.frames(windows)) < error
    still = ForwardModel(Optics()).frames(windows.float()).double()
    assert focus_nm == 0 or relative_l2(still, direct.frames(windows)) > 10 * error


@pytest.mark.parametrize("beam", ["gaussian", "vectorial"])
def test_focus_moves_the_sample_and_not_the_beam(beam):
    # Where nothing is in the way, nothing shows where the sample is.
    light = Light.of(Optics(beam=BEAMS[beam]))
    everything = torch.ones(1, 21, 21)
    still, moved = (
        CroppedSpectrum(at, 21, 180.0, dtype=torch.float64).frames(everything)
        for at in (light, light.refocused(0.05))
    )
    assert relative_l2(moved, still) < 1e-3
    fixed = replace(light, distance_um=light.distance_um + 0.05)
    waist_moves_too = CroppedSpectrum(fixed, 21, 180.0, dtype=torch.float64).frames(everything)
    assert relative_l2(waist_moves_too, still) > 5e-3


def test_focus_moves_the_sample_away_from_the_camera():
    # In a beam so wide that its waist is nowhere, only the distance to the camera counts.
    wide = {"beam": GaussianBeam(fwhm_nm=4000), "collection_na": 0.5}
    hole = torch.zeros(1, 31, 31)
    hole[0, 15, 15] = 1

    def image(light):
        return CroppedSpectrum(light, 31, 500.0, dtype=torch.float64).frames(hole)

    moved = image(Light.of(Optics(**wide)).refocused(0.5))
    farther, nearer = (
        image(Light.of(Optics(**wide, defocus_wavelengths=10 + step / 0.633)))
        for step in (0.5, -0.5)
    )
    assert relative_l2(moved, farther) < 5e-3
    assert relative_l2(moved, nearer) > 0.05


def test_colours_are_one_frame_each():
    colours = ColourModel(Optics(), [532.0, 633.0], dtype=torch.float64)
    windows = random_windows(colours.cells)
    frames = colours.frames(windows)
    assert frames.shape == (3, 2, 64, 64)
    red = ForwardModel(Optics(), cells=colours.cells, dtype=torch.float64).frames(windows)
    torch.testing.assert_close(frames[:, 1], red)
    assert relative_l2(frames[:, 0], red) > 0.1


def test_gradients_with_respect_to_the_light_are_those_of_the_direct_route():
    optics = Optics(roi_px=32)
    windows = random_windows(15)

    def gradients(make):
        light = Light.of(optics)
        names = ("distance_um", "collection_na", "beam_um", "wavelength_um", "pixel_um")
        values = {name: getattr(light, name).requires_grad_() for name in names}
        frames = make(replace(light, **values)).frames(windows)
        weight = torch.linspace(0, 1, frames.numel()).double().view_as(frames)
        return torch.stack(torch.autograd.grad((frames * weight).sum(), values.values()))

    direct = gradients(lambda light: CroppedSpectrum(light, 15, 180.0, dtype=torch.float64))
    fast = gradients(lambda light: ForwardModel(optics, light=light, dtype=torch.float64))
    torch.testing.assert_close(fast, direct, rtol=5e-4, atol=1e-9)


def test_gradients_with_respect_to_the_object_are_those_of_finite_differences():
    model = ForwardModel(Optics(roi_px=16, beam=GaussianBeam(fwhm_nm=200)), dtype=torch.float64)
    windows = random_windows(model.cells, batch=2).requires_grad_()
    offset = torch.tensor([[0.02, -0.03]], dtype=torch.float64, requires_grad=True)

    def light(windows, offset):
        return 100 * model.frames(windows, offset)

    assert torch.autograd.gradcheck(light, (windows, offset), eps=1e-6, atol=1e-6)


def test_windows_too_small_for_the_beam_are_refused():
    lost = r"expected at most 1% of its light outside, got 9\.7%; take 9 cells or more"
    with pytest.raises(ConfigError, match=lost):
        ForwardModel(Optics(), cells=5)
    with pytest.raises(ConfigError, match="odd number of cells, got 14"):
        ForwardModel(Optics(), cells=14)
    with pytest.raises(ConfigError, match=r"2\.\d% falls outside; take a narrower beam"):
        ForwardModel(Optics(beam=FocusedBeam(kind="focused", filling=10.0)))


def test_masks_that_do_not_fit_are_refused():
    model = ForwardModel(Optics())
    windows = random_windows(15)
    with pytest.raises(ConfigError, match=r"expected \(batch, 15, 15\), got \(3, 13, 13\)"):
        model.frames(windows[:, :13, :13])
    for far in (0.2, float("nan")):
        with pytest.raises(ConfigError, match=r"up to half a cell, 0\.09 um"):
            model.frames(windows, torch.tensor([[0.0, far]]))
    for length in (0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="length above 0 nm"):
            ForwardModel(Optics(), length)
    with pytest.raises(ConfigError, match="odd number of cells, got 0"):
        ForwardModel(Optics(), cells=0)


def test_another_laser_has_the_same_lens_errors_in_nanometres():
    waves = (0.0, 0.0, 0.0, 0.06)
    lens = FocusedBeam(kind="focused", zernike_waves=waves)
    blue = Optics(beam=lens, collection_zernike_waves=waves).at_wavelength(633.0 / 2)
    assert blue.collection_zernike_waves == pytest.approx([2 * w for w in waves])
    assert blue.beam.zernike_waves == pytest.approx([2 * w for w in waves])


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"collection_na": 1.2}, "collection_na must be at most medium_index, 1, got 1.2"),
        ({"collection_na": -0.1}, "greater than 0"),
        ({"wavelength_nm": np.nan}, "finite number"),
        ({"defocus_wavelengths": -1.0}, "greater than or equal to 0"),
        ({"beam": {"kind": "focused", "na": 1.4}}, r"beam\.na must be at most medium_index"),
        ({"beam": {"kind": "focused", "filling": 0.0}}, "greater than 0"),
        ({"beam": {"kind": "laguerre"}}, "'gaussian', 'focused'"),
        ({"beam": {"kind": "focused", "vectorial": False, "polarisation_deg": 5.0}}, "remove"),
        ({"collection_zernike_waves": [float("inf")]}, "finite number"),
    ],
)
def test_light_that_cannot_be_is_refused(values, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Optics.checked("bench.toml", values)


def test_spread_is_the_adjoint_of_amplitudes():
    model = ForwardModel(Optics(), dtype=torch.float64)
    offset = torch.tensor([[0.09, -0.05], [0.0, 0.02], [-0.03, 0.08]], dtype=torch.float64)
    windows = random_windows(model.cells)
    overlap = model.overlap(offset)
    amplitudes = overlap.amplitudes(windows)
    weights = torch.rand(amplitudes.shape, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(
        (weights * amplitudes).sum(), (overlap.spread(weights) * windows).sum()
    )


@pytest.mark.parametrize("beam", ["gaussian", "vectorial"])
def test_gradient_of_the_light(beam):
    model = ForwardModel(Optics(beam=BEAMS[beam], roi_px=32), dtype=torch.float64)
    amplitudes = model.amplitudes(random_windows(model.cells))
    for one, gradient in zip(amplitudes, model.light_gradient(amplitudes), strict=True):
        expected = torch.autograd.functional.jacobian(lambda a: model.light(a[None])[0], one)
        torch.testing.assert_close(gradient, expected.movedim(-1, 0))
    torch.testing.assert_close(
        model.light_gradient(amplitudes, 2), model.light_gradient(amplitudes)[..., ::2, ::2]
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"beam": BEAMS["vectorial"]},
        {"wavelength_nm": 532.0},
        {"roi_px": 256, "binning": 16},
    ],
)
def test_rough_gradient_of_the_light(values):
    model = ForwardModel(Optics(**{"roi_px": 64} | values), dtype=torch.float64)
    amplitudes = model.amplitudes(random_windows(model.cells))
    exact = model.light_gradient(amplitudes, 2)
    apart = model.rough_gradient(amplitudes, 2) - exact
    assert apart.norm() < 0.1 * exact.norm()


def test_pull_of_the_light():
    model = ForwardModel(Optics(beam=BEAMS["vectorial"], roi_px=32), dtype=torch.float64)
    amplitudes = model.amplitudes(random_windows(model.cells)).requires_grad_(True)
    light = model.light(amplitudes)
    weights = torch.rand(light.shape, generator=torch.Generator().manual_seed(3)).double()
    (expected,) = torch.autograd.grad((light * weights).sum(), amplitudes)
    torch.testing.assert_close(model.light_pull(amplitudes, weights), expected)


def test_faint_modes_make_no_difference():
    model = ForwardModel(Optics(), dtype=torch.float64)
    fewer = ForwardModel(Optics(), faintest=1e-3, dtype=torch.float64)
    assert len(fewer.field) < 0.7 * len(model.field)
    windows = random_windows(model.cells)
    offset_um = torch.full((len(windows), 2), 0.03)
    whole, part = (one.frames(windows, offset_um) for one in (model, fewer))
    apart = (whole - part).abs().amax() / whole.amax()
    assert 0 < apart < 2e-3
