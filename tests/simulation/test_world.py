"""Stage, sample and beam in one world."""

import numpy as np
import pytest
import torch

from configs.geometry import SampleGeometry
from configs.instrument import Environment, Sensor, SensorMaps, SimulatedCameraConfig
from configs.optics import Optics
from configs.toml import load_instrument
from simulation.clock import VirtualClock
from simulation.defocus import FocusSeries
from simulation.environment import dust_transmission
from simulation.samples import Sample
from simulation.world import World

STILL = load_instrument("simulated-still").environment
QUIET = SimulatedCameraConfig(
    sensor=Sensor(read_noise_e=0.01),
    maps=SensorMaps(response_nonuniformity=0, hot_pixels=0, dark_e_per_s=0),
    open_peak_e_per_ms=2000.0,  # bright: little noise in comparison
)
FRAME = SampleGeometry(20, 20, 180.0, (100.0, 100.0))


@pytest.fixture
def coverage():
    return (np.random.default_rng(5).random((20, 20)) < 0.4).astype(float)


def make_world(
    sample, stage_um, environment=STILL, clock=None, camera=QUIET, seed=0, defocus_um=0.0
):
    if not isinstance(sample, Sample):
        sample = Sample("x", sample)
    clock = clock or VirtualClock()
    return World(
        sample=sample,
        geometry=FRAME,
        optics=Optics(),
        camera=camera,
        environment=environment,
        stage_um=lambda: stage_um,
        is_lit=lambda: True,
        clock=clock,
        seed=seed,
        defocus_um=lambda: defocus_um,
    )


def look(*arguments, **settings):
    return make_world(*arguments, **settings).expose(10.0)


def look_long(*arguments, **settings):
    """Mean of 100 exposures: with a tenth of the noise."""
    world = make_world(*arguments, **settings)
    return np.mean([world.expose(10.0) for _ in range(100)], axis=0)


def electrons(image):
    return (image.astype(float) - 100) * 0.46


def expected(cells, row, column, offset_um=(0.0, 0.0), *, pitch_nm=180.0, focus_nm=0.0):
    """What the forward model says of the window around a cell, photo-electrons."""
    series = FocusSeries(Optics(), pitch_nm)
    model = series.at(focus_nm)
    side = model.cells
    padded = np.pad(cells, side // 2)[row : row + side, column : column + side]
    light = model.frames(torch.from_numpy(padded).float()[None], torch.tensor([offset_um]))
    return light[0].numpy() * (20_000 / series.at(0.0).open_peak())


def misfit(image, light, frames=1):
    """Root of the mean squared difference, in units of the photon noise of the light."""
    return np.linalg.norm(electrons(image) - light) / np.sqrt(light.sum() / frames)


def assert_same_light(image, light):
    assert misfit(image, light) < 1.2


def test_square_under_the_beam_follows_the_stage(coverage):
    for row, column in [(3, 12), (12, 3), (0, 0), (19, 19)]:
        image = look(coverage, FRAME.stage_um(row, column))
        assert_same_light(image, expected(coverage, row, column))


def test_between_squares_the_sample_is_displaced_the_other_way(coverage):
    image = look(coverage, FRAME.stage_um(9.3, 10.2))
    light = expected(coverage, 9, 10, (-0.2 * 0.18, -0.3 * 0.18))
    assert_same_light(image, light)


def test_far_away_there_is_only_film(coverage):
    image = look(coverage, FRAME.stage_um(200, -300))
    assert_same_light(image, expected(np.zeros((20, 20)), 10, 10))


@pytest.mark.parametrize("defocus_um", [0.3, -0.3])
def test_a_focus_drive_adds_to_the_defocus(coverage, defocus_um):
    image = look(coverage, FRAME.stage_um(9, 10), defocus_um=defocus_um)
    assert_same_light(image, expected(coverage, 9, 10, focus_nm=1000 * defocus_um))
    for wrong_um in (0.0, -defocus_um):
        assert misfit(image, expected(coverage, 9, 10, focus_nm=1000 * wrong_um)) > 2


def test_a_focus_drive_undoes_what_drift_has_done(coverage):
    clock = VirtualClock()
    creeping = STILL.model_copy(update={"focus_drift_nm_per_min": 50.0})
    world = make_world(coverage, FRAME.stage_um(9, 10), creeping, clock, defocus_um=-0.2)
    clock.sleep(240.0)
    assert_same_light(world.expose(10.0), expected(coverage, 9, 10))


def test_drift_moves_the_sample_as_time_passes(coverage):
    clock = VirtualClock()
    steady = STILL.model_copy(update={"drift_nm_per_min": (36.0, -18.0)})
    world = make_world(coverage, FRAME.stage_um(9, 10), steady, clock)
    clock.sleep(60)
    assert_same_light(world.expose(10.0), expected(coverage, 9, 10, (0.036, -0.018)))


def test_focus_drifts_as_time_passes(coverage):
    clock = VirtualClock()
    sinking = STILL.model_copy(update={"focus_drift_nm_per_min": 250.0})
    world = make_world(coverage, FRAME.stage_um(9, 10), sinking, clock)
    clock.sleep(60)
    image = world.expose(10.0)
    assert_same_light(image, expected(coverage, 9, 10, focus_nm=250.0))
    for elsewhere_nm in (0.0, -250.0):
        assert misfit(image, expected(coverage, 9, 10, focus_nm=elsewhere_nm)) > 1.5


def test_time_begins_with_the_world(coverage):
    clock = VirtualClock()
    clock.sleep(3600)
    restless = STILL.model_copy(
        update={"drift_nm_per_min": (90.0, 0.0), "focus_drift_nm_per_min": 250.0}
    )
    world = make_world(coverage, FRAME.stage_um(9, 10), restless, clock)
    assert_same_light(world.expose(10.0), expected(coverage, 9, 10))


@pytest.fixture
def cells():
    """20 x 20 squares of 6 x 6 cells, with structure of half a square."""
    return np.kron(np.random.default_rng(6).random((40, 40)) < 0.4, np.ones((3, 3)))


@pytest.mark.parametrize(("row", "column"), [(9, 12), (0, 19), (17, 2)])
def test_fine_cells_lie_where_their_square_lies(cells, row, column):
    """The middle of an even number of cells is the corner of four: any of them will do."""
    image = look_long(Sample("x", cells, 6), FRAME.stage_um(row, column))
    cell = 6 * row + 3, 6 * column + 2
    light = expected(cells, *cell, (-0.015, 0.015), pitch_nm=30.0)
    aside = expected(cells, *cell, (0.015, 0.015), pitch_nm=30.0)
    assert misfit(image, light, frames=100) < 1.2
    assert misfit(image, aside, frames=100) > 3


def test_between_cells_the_sample_is_displaced_the_other_way(cells):
    image = look_long(Sample("x", cells, 6), FRAME.stage_um(9.5 / 6 + 8, 10.1 / 6 + 9))
    # 10.1 cells right of the middle of square 9, which is 9 * 6 + 2.5, makes 66.6.
    light = expected(cells, 60, 67, (0.4 * 0.03, 0.0), pitch_nm=30.0)
    turned = expected(cells, 60, 67, (-0.4 * 0.03, 0.0), pitch_nm=30.0)
    assert misfit(image, light, frames=100) < 1.2
    assert misfit(image, turned, frames=100) > 1.5


def test_cells_of_one_square_alike_are_that_square(coverage):
    fine = Sample("x", np.kron(coverage, np.ones((6, 6))), 6)
    for row, column in [(9.0, 10.0), (3.3, 0.2), (-0.4, 19.4)]:
        at = FRAME.stage_um(row, column)
        square = electrons(look_long(coverage, at, seed=1))
        assert misfit(look_long(fine, at), square, frames=50) < 1.2


def test_dust_shades_light_and_stray_light_alike(coverage):
    specks = {"dust_specks": 4, "dust_radius_px": 8.0, "dust_depth": 0.7}
    stray = STILL.model_copy(update={"background_e_per_ms": 500.0})
    dusty = stray.model_copy(update=specks)
    at = FRAME.stage_um(9, 10)
    clean = electrons(look_long(coverage, at, stray))
    glass = dust_transmission(dusty, 64, 0)
    assert glass.min() < 0.5
    assert_same_light(look(coverage, at, dusty), glass * clean)


def test_every_disturbance_has_its_switch_and_its_size(coverage):
    at = FRAME.stage_um(10, 10)
    still = electrons(look(coverage, at)).sum()
    stray = STILL.model_copy(update={"background_e_per_ms": 2.0})
    assert electrons(look(coverage, at, stray)).sum() - still == pytest.approx(
        2.0 * 10 * 64**2, rel=0.05
    )
    power = STILL.model_copy(update={"laser_noise": 0.05})
    world = make_world(coverage, at, power)
    sums = [electrons(world.expose(10.0)).sum() for _ in range(40)]
    assert np.std(sums) / still == pytest.approx(0.05, rel=0.4)


@pytest.mark.parametrize(
    "disturbance", [{"vibration_nm": 20.0}, {"random_walk_nm_per_sqrt_min": 20.0}]
)
def test_a_restless_sample_changes_the_frames_beyond_noise(coverage, disturbance):
    def spread(environment):
        clock = VirtualClock()
        world = make_world(coverage, FRAME.stage_um(9, 10), environment, clock)
        images = []
        for _ in range(12):
            clock.sleep(60)
            images.append(electrons(world.expose(10.0)))
        variance = np.var(images, axis=0, ddof=1).sum()
        return variance / np.mean(images, axis=0).sum()  # 1 for photon noise

    assert spread(STILL) == pytest.approx(1, abs=0.1)
    assert spread(STILL.model_copy(update=disturbance)) > 1.5


def test_exposure_takes_time_and_seed_repeats_it(coverage):
    clock = VirtualClock()
    noisy = Environment()
    first = look(coverage, FRAME.stage_um(10, 10), noisy, clock, SimulatedCameraConfig(), 3)
    assert clock.now() == pytest.approx(0.01)
    again = look(coverage, FRAME.stage_um(10, 10), noisy, None, SimulatedCameraConfig(), 3)
    other = look(coverage, FRAME.stage_um(10, 10), noisy, None, SimulatedCameraConfig(), 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


PIXELS = SimulatedCameraConfig(maps=SensorMaps(response_nonuniformity=0.3))


@pytest.mark.parametrize(
    ("environment", "camera", "beyond_noise"),
    [
        ({}, QUIET, False),
        ({}, PIXELS, True),
        ({"vibration_nm": 60.0}, QUIET, True),
        ({"dust_specks": 5, "dust_depth": 0.9}, QUIET, True),
    ],
    ids=["noise", "pixels", "disturbances", "dust"],
)
def test_the_seed_decides_on_each(coverage, environment, camera, beyond_noise):
    """One random thing at a time: all others but the noise are off."""

    def take(seed):
        at, disturbed = FRAME.stage_um(10, 10), STILL.model_copy(update=environment)
        return make_world(coverage, at, disturbed, camera=camera, seed=seed).expose(10.0)

    assert np.array_equal(take(3), take(3))
    one, other = electrons(take(3)), electrons(take(4))
    photon_noise = (one + other).sum()
    excess = ((one - other) ** 2).sum() / photon_noise
    assert excess > 1.5 if beyond_noise else excess == pytest.approx(1, abs=0.1)


def test_a_place_looks_the_same_whatever_was_seen_before(coverage):
    """Its first look is its first look, its second its second, in whatever order."""

    def look_at(*columns):
        place = [0.0, 0.0]
        world = World(
            sample=Sample("x", coverage),
            geometry=FRAME,
            optics=Optics(),
            camera=SimulatedCameraConfig(),
            environment=STILL,
            stage_um=lambda: tuple(place),
            is_lit=lambda: True,
            clock=VirtualClock(),
            seed=7,
        )
        images = []
        for column in columns:
            place[:] = FRAME.stage_um(10, column)
            images.append(world.expose(10.0))
        return images

    a, b, a_again = look_at(9, 10, 9)
    b_alone, a_then, a_then_again = look_at(10, 9, 9)
    assert np.array_equal(a, a_then)
    assert np.array_equal(b, b_alone)
    assert np.array_equal(a_again, a_then_again)
    assert not np.array_equal(a, a_again)


def test_without_light_there_is_only_the_sensor(coverage):
    lit = True
    world = World(
        sample=Sample("x", coverage),
        geometry=FRAME,
        optics=Optics(),
        camera=QUIET,
        environment=STILL,
        stage_um=lambda: FRAME.stage_um(10, 10),
        is_lit=lambda: lit,
        clock=VirtualClock(),
        seed=0,
    )
    assert electrons(world.expose(10.0)).mean() > 100
    lit = False
    assert electrons(world.expose(10.0)).mean() == pytest.approx(0, abs=1)


def test_brightest_pixel_of_an_open_sample_has_the_stated_light():
    image = look(np.ones((20, 20)), FRAME.stage_um(9.5, 9.5), camera=SimulatedCameraConfig())
    assert electrons(image).max() == pytest.approx(2000, rel=0.08)
