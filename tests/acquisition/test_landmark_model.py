"""Planted shifts are found, with honest error bars; whatever is no shift shows."""

import math

import numpy as np
import pytest
from landmark_bench import GRID_UM, SENSOR, Place

from acquisition import spatial_frequencies
from acquisition.landmark_model import LandmarkModel
from acquisition.landmark_noise import read_variance
from acquisition.landmark_promise import expected_sd_um
from configs.errors import AcquisitionError
from configs.geometry import SampleGeometry
from configs.instrument import Environment, SimulatedCameraConfig
from configs.optics import Optics
from simulation.clock import VirtualClock
from simulation.samples import Sample
from simulation.world import World

INSIDE_UM = 0.001 * np.array([(0, 0), (17, -31), (-45, 40), (-24, -8), (38, 44), (-60, 20)])
FAR_UM = [(0.15, 0.0), (0.0, -0.2), (0.15, 0.15), (-0.2, 0.2), (0.3, 0.0), (0.0, 0.3)]
GATE = 1.5


@pytest.fixture(scope="module")
def place():
    return Place(5)


@pytest.fixture(scope="module")
def model(place):
    return place.dither()


@pytest.fixture(scope="module")
def trials():
    """Six visits in each of two dithers of each of ten places, (dithers, visits, ...)."""
    errors, stated, misfits = [], [], []
    for squares in range(10):
        place = Place(squares)
        dithers = np.stack([place.light(offset) for offset in GRID_UM])
        visits = np.stack([place.light(offset) for offset in INSIDE_UM])
        for _ in range(2):
            model = LandmarkModel.fit(place.shoot(dithers), GRID_UM, SENSOR)
            found = [model.estimate(images) for images in place.shoot(visits)]
            errors.append([one.shift_um - at for one, at in zip(found, INSIDE_UM, strict=True)])
            stated.append([one.sd_um for one in found])
            misfits.append([one.chi_squared for one in found])
    return np.array(errors), np.array(stated), np.array(misfits)


def test_planted_shifts_are_found_without_bias(trials):
    errors, _, _ = trials
    by_place = errors.mean(axis=1)
    standard_error = by_place.std(axis=0) / math.sqrt(len(by_place))
    assert (np.abs(by_place.mean(axis=0)) < 3 * standard_error).all()
    assert np.sqrt(np.mean(errors**2)) < 0.0025
    # Nor are large shifts taken for smaller ones.
    scale = np.sum(errors * INSIDE_UM) / np.sum(0 * errors + INSIDE_UM**2)
    assert abs(scale) < 0.02


def test_stated_deviation_is_the_scatter(trials):
    errors, stated, _ = trials
    pulls = errors / stated
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=0.2)
    assert np.mean(np.abs(pulls) < 2) > 0.9


def test_chi_squared_is_one_where_only_the_place_differs(trials, model):
    _, _, misfits = trials
    assert misfits.mean() == pytest.approx(1, abs=0.03)
    assert misfits.max() < 1.3
    assert model.chi_squared == pytest.approx(1, abs=0.1)


def test_few_photons_have_large_error_bars():
    """A tenth of the light: where slopes of noise would be taken for slopes of light."""
    pulls, worst = [], []
    for squares in range(8):
        place = Place(squares)
        visits = 0.1 * np.stack([place.light(offset) for offset in INSIDE_UM])
        model = place.dither(power=0.1)
        worst.append(max(model.precision_um(8)))
        found = [model.estimate(images) for images in place.shoot(visits)]
        for one, at in zip(found, INSIDE_UM, strict=True):
            pulls.append((one.shift_um - at) / one.sd_um)
    assert np.sqrt(np.mean(np.array(pulls) ** 2)) < 1.4
    assert 0.003 < np.median(worst) < 0.012


def test_defocus_shows(place, model):
    for offset in INSIDE_UM[:3]:
        found = model.estimate(place.shoot(place.light(offset, focus_nm=100.0)))
        assert found.chi_squared > GATE
        assert model.estimate(place.shoot(place.light(offset))).chi_squared < 1.2


def test_a_changed_sample_shows(place, model):
    other = Place(5)
    other._squares[13, 12] = 1 - other._squares[13, 12]
    found = model.estimate(place.shoot(other.light((0.0, 0.0))))
    assert found.chi_squared > 3


@pytest.mark.parametrize(("power", "at"), [(0.0, 0.5), (0.2, 0.5), (4.0, 2.0)])
def test_light_that_goes_or_comes_shows(place, model, power, at):
    found = model.estimate(place.shoot(place.light((0.0, 0.0)), power=power))
    assert found.chi_squared > 3
    assert found.power == at


@pytest.mark.parametrize("power", [0.7, 1.4])
def test_laser_power_is_no_shift(place, model, power):
    found = model.estimate(place.shoot(place.light((0.02, -0.01)), power=power))
    assert found.power == pytest.approx(power, rel=0.01)
    assert np.abs(found.shift_um - np.array([0.02, -0.01])).max() < 4 * max(found.sd_um)
    assert found.chi_squared < 1.2


def test_laser_noise_is_no_bias():
    """Ten times the usual flicker, in the dither as in the visits."""
    errors = {}
    for noise in (0.0, 0.05):
        errors[noise] = []
        for squares in range(4):
            place = Place(squares, laser_noise=noise)
            model = place.dither()
            for offset in INSIDE_UM[:4]:
                found = model.estimate(place.shoot(place.light(offset)))
                errors[noise].append((found.shift_um - offset) / found.sd_um)
                assert found.chi_squared < 1.3
    still, restless = (np.array(errors[noise]) for noise in (0.0, 0.05))
    assert np.abs(restless.mean(axis=0)).max() < 0.6
    assert np.sqrt(np.mean(restless**2)) < 1.2 * np.sqrt(np.mean(still**2))


@pytest.mark.parametrize("light", [1.0, 0.12])
def test_a_drift_out_of_range_is_never_a_confident_small_shift(light):
    for squares in range(4):
        place = Place(squares)
        model = place.dither(power=light)
        for offset in FAR_UM:
            found = model.estimate(place.shoot(place.light(offset), power=light))
            assert not found.is_inside
            assert np.hypot(*found.shift_um) > 0.04


def test_just_outside_it_is_said_to_be_outside(place, model):
    found = model.estimate(place.shoot(place.light((0.075, 0.0))))
    assert not found.is_inside
    assert found.shift_um[0] == pytest.approx(0.075, abs=0.01)


# --- in the whole simulated world -------------------------------------------------------


class Scope:
    """A stage and a camera in one world, with every disturbance but drift."""

    def __init__(self, drift_nm_per_min=(0.0, 0.0), directions=(1, 1)):
        squares = (np.random.default_rng(5).random((20, 20)) < 0.4).astype(float)
        frame = SampleGeometry(20, 20, 180.0, (100.0, 100.0), directions)
        self._nominal_um = np.array(frame.stage_um(9, 10))
        self._offset_um = np.zeros(2)
        self.clock = VirtualClock()
        self._world = World(
            sample=Sample("x", squares),
            geometry=frame,
            optics=Optics(),
            camera=SimulatedCameraConfig(),
            environment=Environment(
                drift_nm_per_min=drift_nm_per_min,
                random_walk_nm_per_sqrt_min=0.0,
                focus_drift_nm_per_min=0.0,
                focus_walk_nm_per_sqrt_min=0.0,
            ),
            stage_um=lambda: tuple(self._nominal_um + self._offset_um),
            is_lit=lambda: True,
            clock=self.clock,
            seed=3,
        )

    def visit(self, offset_um, frames=8):
        self._offset_um = np.asarray(offset_um)
        return np.stack([self._world.expose(10.0) for _ in range(frames)])


@pytest.mark.parametrize("directions", [(1, 1), (-1, 1), (1, -1)])
def test_stage_offset_counts_up_and_drift_of_the_sample_down(directions):
    """The world's drift is on the sample: in stage coordinates, it turns with the axes."""
    scope = Scope((6.0, -9.0), directions)
    model = LandmarkModel.fit(
        np.stack([scope.visit(offset) for offset in GRID_UM]), GRID_UM, SENSOR
    )
    scope.clock.sleep(240.0)
    minutes = scope.clock.now() / 60
    moved_um = np.array(directions) * minutes * np.array([0.006, -0.009])
    for offset in ((0.0, 0.0), (0.02, -0.03)):
        found = model.estimate(scope.visit(offset))
        error = found.shift_um - (offset - moved_um)
        assert np.abs(error).max() < 4 * max(found.sd_um)
        assert found.chi_squared < 1.3
    back = model.estimate(scope.visit(moved_um))
    assert np.hypot(*back.shift_um) < 0.006
    assert back.is_inside


# --- what a place promises --------------------------------------------------------------


def cramer_rao_um(place, frames=8):
    """Bound of someone who knows the light, from central differences without noise."""
    h = 0.001
    right, left, down, up, here = (
        place.light(at) for at in [(h, 0), (-h, 0), (0, h), (0, -h), (0, 0)]
    )
    slopes = np.stack([(right - left) / (2 * h), (down - up) / (2 * h), here])
    variance = (here + 0.5 + SENSOR.added_variance_e2) / frames
    information = np.einsum("iyx,jyx->ij", slopes / variance, slopes)
    return np.sqrt(np.diag(np.linalg.inv(information)))[:2]


def looks(place, step_um=0.06, frames=8):
    at = [(0.0, 0.0), (step_um, 0.0), (0.0, step_um)]
    return [place.shoot(place.light(offset), frames) for offset in at]


def test_promises_are_near_the_cramer_rao_bound():
    ratios, promised = [], []
    for squares in range(8):
        place = Place(squares)
        bound = cramer_rao_um(place)
        ratios.append(place.dither(frames=24).precision_um(8) / bound)
        promised.append(expected_sd_um(*looks(place), 0.06, 8, SENSOR) / bound)
    assert np.array(ratios).min() > 0.9  # noisy pixels count less than the bound thinks
    assert np.mean(ratios) == pytest.approx(1.05, abs=0.1)
    assert np.mean(promised) == pytest.approx(1, abs=0.15)
    assert np.array(promised) == pytest.approx(1, abs=0.5)


def test_the_better_place_is_known_from_a_few_frames():
    places = [Place(squares) for squares in range(8)]
    bounds = [cramer_rao_um(place).max() for place in places]
    promised = [max(expected_sd_um(*looks(place), 0.06, 8, SENSOR)) for place in places]
    assert bounds[np.argmin(promised)] < 1.25 * min(bounds)


def test_more_frames_tell_more(place, model):
    assert max(expected_sd_um(*looks(place), 0.06, 32, SENSOR)) == pytest.approx(
        max(expected_sd_um(*looks(place), 0.06, 8, SENSOR)) / 2, rel=0.15
    )
    assert max(model.precision_um(32)) < max(model.precision_um(8))


def test_noise_and_flicker_are_no_contrast():
    """The same light thrice: a place that shows no movement at all."""
    place = Place(5, laser_noise=0.05)
    light = place.light((0.0, 0.0))
    for _ in range(6):
        same = [place.shoot(light) for _ in range(3)]
        assert max(expected_sd_um(*same, 0.06, 8, SENSOR)) > 0.008
    assert max(expected_sd_um(*looks(place), 0.06, 8, SENSOR)) < 0.003


def test_film_promises_nothing():
    light = np.full((64, 64), 20.0)
    promised = []
    for seed in range(8):
        place = Place(seed)
        dither = place.shoot(np.broadcast_to(light, (25, 64, 64)))
        model = LandmarkModel.fit(dither, GRID_UM, SENSOR)
        promised.append(max(model.precision_um(8)))
        found = model.estimate(place.shoot(light))
        assert not (found.is_inside and max(found.sd_um) < 0.018)
    assert min(promised) > 0.02


# --- parts ------------------------------------------------------------------------------


def test_slopes_are_the_derivative_of_the_light(model):
    h = 1e-5
    at = np.array([0.031, -0.022])
    slopes = np.tensordot(model._polynomials.slopes(at), model.light_e, axes=1)
    for axis, slope in enumerate(slopes):
        step = h * np.eye(2)[axis]
        difference = np.diff(model._light(np.stack([at - step, at + step])), axis=0)[0]
        assert slope == pytest.approx(difference / (2 * h), abs=1e-6 * np.abs(slope).max())


def test_transform_is_orthonormal():
    image = np.random.default_rng(0).standard_normal((24, 40))
    frequencies = spatial_frequencies.frequencies_of(image)
    assert np.sum(frequencies**2) == pytest.approx(np.sum(image**2))
    assert spatial_frequencies.images_of(frequencies) == pytest.approx(image)


def test_pixels_that_are_noisier_than_the_rest_count_less():
    random = np.random.default_rng(0)
    read_e = np.full((16, 16), 1.0)
    read_e[3, 4] = 20.0
    electrons = random.normal(0, read_e, (25, 8, 16, 16)) + random.poisson(5, (25, 8, 16, 16))
    images = np.rint(electrons / SENSOR.gain_e_per_adu + 100).astype(np.uint16)
    read_e2 = read_variance(images, np.full((16, 16), 5.0), SENSOR)
    assert read_e2[3, 4] == pytest.approx(400, rel=0.3)
    assert np.median(read_e2) == pytest.approx(1 + SENSOR.gain_e_per_adu**2 / 12, rel=0.25)


def test_pixels_are_known_from_the_dither(place, model):
    true_e2 = np.log(place._sensor.read_noise_e.numpy() ** 2).ravel()
    dim = (place.light((0.0, 0.0)) < 10).ravel()
    assert np.corrcoef(np.log(model.read_e2).ravel()[dim], true_e2[dim])[0, 1] > 0.6


@pytest.mark.parametrize("strength", [0.0, 1.0, 30.0])
def test_products_of_estimates_and_their_errors_are_known(strength):
    """On average over noise, whatever the signal: Stein's lemma."""
    random = np.random.default_rng(0)
    fading = 1 / (1 + np.hypot(*np.mgrid[:32, :32]) / 4) ** 2
    signal = strength * fading * random.standard_normal((32, 32))
    noise = np.ones((32, 32))
    true, stated, left, spread = [], [], [], []
    for _ in range(300):
        found = spatial_frequencies.cleaned(
            signal[None] + random.standard_normal((1, 32, 32)), noise
        )
        errors = found.terms - signal
        true.append(np.sum(found.terms * errors))
        stated.append(np.sum(found.overfit))
        left.append(np.sum(errors**2))
        spread.append(np.sum(found.spread))
    noise_of_mean = np.std(np.array(true) - stated) / math.sqrt(300)
    assert np.mean(stated) == pytest.approx(np.mean(true), abs=3 * noise_of_mean)
    # Where there is no signal, the spread is not known to be none.
    assert 0.95 < np.mean(spread) / np.mean(left) < 1.1 + 80 / np.mean(left)
    assert np.mean(left) < 0.4 * signal.size  # of what plain least squares leave


def test_one_frame_per_position_will_do(place):
    found = place.dither(frames=1).estimate(place.shoot(place.light((0.02, 0.01))))
    assert np.abs(found.shift_um - np.array([0.02, 0.01])).max() < 4 * max(found.sd_um)


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "offsets"),
    [((25, 64, 64), (25, 2)), ((25, 8, 64, 64), (24, 2)), ((25, 8, 64, 64), (25, 4))],
)
def test_dithers_of_the_wrong_shape_are_refused(images, offsets):
    with pytest.raises(ValueError, match=r"expected images \(positions, frames, y, x\)"):
        LandmarkModel.fit(np.zeros(images, np.uint16), np.zeros(offsets), SENSOR)


@pytest.mark.parametrize("offsets", [GRID_UM[:9], 0 * GRID_UM, GRID_UM * [1, 0]])
def test_positions_that_say_too_little_are_refused(offsets):
    images = np.full((len(offsets), 2, 8, 8), 500, np.uint16)
    with pytest.raises(ValueError, match="dither over 5 x 5"):
        LandmarkModel.fit(images, offsets, SENSOR)


def test_a_dark_dither_is_refused(place):
    dark = place.shoot(np.zeros((25, 64, 64)), stray_e=0.0)
    with pytest.raises(AcquisitionError, match="check laser and shutter"):
        LandmarkModel.fit(dark, GRID_UM, SENSOR)


@pytest.mark.parametrize("shape", [(64, 64), (8, 32, 64), (0, 64, 64)])
def test_visits_of_the_wrong_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"expected images \(frames, 64, 64\)"):
        model.estimate(np.zeros(shape, np.uint16))


def test_looks_that_do_not_show_their_noise_are_refused(place):
    here, beside, below = looks(place)
    with pytest.raises(ValueError, match="2 or more"):
        expected_sd_um(here, beside[:1], below, 0.06, 8, SENSOR)
    with pytest.raises(ValueError, match=r"got \(8, 32, 64\)"):
        expected_sd_um(here, beside, below[:, :32], 0.06, 8, SENSOR)
