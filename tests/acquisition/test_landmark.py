"""Noise is one, drift is more."""

import numpy as np
import pytest

from acquisition.landmark import normalised_residual
from configs.instrument import Sensor

SENSOR = Sensor()


def visit(light, seed, frames=8):
    random = np.random.default_rng(seed)
    electrons = random.poisson(light, (frames, *light.shape))
    read = random.normal(0, SENSOR.read_noise_e, electrons.shape)
    adu = (electrons + read) / SENSOR.gain_e_per_adu + SENSOR.offset_adu
    return np.clip(np.rint(adu), 0, 65535).astype(np.uint16)


@pytest.fixture
def light():
    y, x = np.mgrid[-32:32, -32:32]
    return 500 * np.exp(-(x**2 + y**2) / 100) * (1 + np.sin(x / 3)) + 0.5


def test_noise_alone_is_nothing(light):
    residuals = [
        normalised_residual(visit(light, 0), visit(light, s), SENSOR) for s in range(20)
    ]
    assert max(residuals) < 0.005


def test_dark_frames_are_nothing_but_noise(light):
    dark = [
        normalised_residual(visit(0 * light, 0), visit(0 * light, s), SENSOR) for s in (1, 2)
    ]
    assert dark == [0, 0]


@pytest.mark.parametrize("power", [0.8, 1.25])
def test_laser_power_is_no_drift(light, power):
    first, later = visit(light, 0), visit(power * light, 1)
    assert normalised_residual(first, later, SENSOR) < 0.005


@pytest.mark.parametrize("exposure", [1, 10])
def test_a_changed_pattern_shows_whatever_the_exposure(light, exposure):
    moved = np.roll(light, 1, axis=1)
    expected = np.linalg.norm(moved - light) / np.linalg.norm(light)
    residual = normalised_residual(
        visit(exposure * light, 0), visit(exposure * moved, 1), SENSOR
    )
    assert residual == pytest.approx(expected, rel=0.05)


def test_a_dead_laser_shows(light):
    first, dark = visit(light, 0), visit(0 * light, 1)
    assert normalised_residual(first, dark, SENSOR) > 0.9
    assert normalised_residual(dark, first, SENSOR) > 0.9
