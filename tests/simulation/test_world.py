"""Stage, sample and beam in one world."""

import numpy as np
import pytest
import torch

from configs.geometry import SampleGeometry
from configs.instrument import Environment, Sensor, SensorMaps, SimulatedCameraConfig
from configs.optics import Optics
from simulation.clock import VirtualClock
from simulation.forward import ForwardModel
from simulation.samples import Sample
from simulation.world import World

STILL = Environment(
    drift_nm_per_min=(0.0, 0.0),
    random_walk_nm_per_sqrt_min=0.0,
    vibration_nm=0.0,
    laser_noise=0.0,
    background_e_per_ms=0.0,
)
QUIET = SimulatedCameraConfig(
    sensor=Sensor(read_noise_e=0.01),
    maps=SensorMaps(response_nonuniformity=0, hot_pixels=0, dark_e_per_s=0),
    open_peak_e_per_ms=2000.0,  # bright: little noise in comparison
)
FRAME = SampleGeometry(20, 20, 180.0, (100.0, 100.0))


@pytest.fixture
def coverage():
    return (np.random.default_rng(5).random((20, 20)) < 0.4).astype(float)


def make_world(coverage, stage_um, environment=STILL, clock=None, camera=QUIET, seed=0):
    sample = Sample("x", coverage)
    clock = clock or VirtualClock()
    return World(sample, FRAME, Optics(), camera, environment, lambda: stage_um, clock, seed)


def look(*arguments, **settings):
    return make_world(*arguments, **settings).expose(10.0)


def electrons(image):
    return (image.astype(float) - 100) * 0.46


def expected(coverage, row, column, offset_um=(0.0, 0.0)):
    """What the forward model says of the window around a square, photo-electrons."""
    model = ForwardModel(Optics())
    padded = np.pad(coverage, 7)[row : row + 15, column : column + 15]
    light = model.frames(torch.from_numpy(padded).float()[None], torch.tensor([offset_um]))
    return light[0].numpy() * (20_000 / model.open_peak())


def assert_same_light(image, light):
    error = np.linalg.norm(electrons(image) - light) / np.linalg.norm(light)
    noise = np.sqrt(light.sum()) / np.linalg.norm(light)
    assert error < 1.2 * noise
    return noise


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


def test_drift_moves_the_sample_as_time_passes(coverage):
    clock = VirtualClock()
    steady = STILL.model_copy(update={"drift_nm_per_min": (36.0, -18.0)})
    world = make_world(coverage, FRAME.stage_um(9, 10), steady, clock)
    clock.sleep(60)
    assert_same_light(world.expose(10.0), expected(coverage, 9, 10, (0.036, -0.018)))


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


def test_brightest_pixel_of_an_open_sample_has_the_stated_light():
    image = look(np.ones((20, 20)), FRAME.stage_um(9.5, 9.5), camera=SimulatedCameraConfig())
    assert electrons(image).max() == pytest.approx(2000, rel=0.08)
