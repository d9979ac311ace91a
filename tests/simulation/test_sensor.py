"""The sensor's statistics are those of its data sheet."""

import pytest
import torch

from configs.instrument import Sensor, SensorMaps
from simulation.sensor import SensorModel

IDEAL = SensorMaps(response_nonuniformity=0, hot_pixels=0)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def make(maps=IDEAL, image_px=64, seed=0, **values):
    return SensorModel(Sensor(**values), maps, image_px, generator(seed))


def record(sensor, light, exposure_ms=10.0, seed=1):
    """Photo-electrons that the numbers of the camera stand for."""
    adu = sensor.expose(light, exposure_ms, generator(seed)).double()
    return (adu - sensor.sensor.offset_adu) * sensor.sensor.gain_e_per_adu


def test_dark_frames_show_offset_and_read_noise():
    sensor = make()
    dark = record(sensor, torch.zeros(400, 64, 64))
    assert dark.mean().item() == pytest.approx(0, abs=0.01)
    rounding = 0.46**2 / 12
    assert dark.var(dim=0).mean().item() == pytest.approx(1.6**2 + rounding, rel=0.1)
    assert sensor.read_noise_e.median().item() == pytest.approx(1.0, rel=0.05)


def test_long_dark_frames_show_the_dark_current():
    sensor = make(SensorMaps(response_nonuniformity=0, hot_pixels=0, dark_e_per_s=0.06))
    dark = record(sensor, torch.zeros(50, 64, 64), exposure_ms=60_000.0)
    assert dark.mean().item() == pytest.approx(3.6, rel=0.02)


@pytest.mark.parametrize("light", [5.0, 200.0, 2000.0])
def test_photon_noise_is_poissonian(light):
    sensor = make(read_noise_e=0.5)
    frames = record(sensor, torch.full((300, 64, 64), light))
    assert frames.mean().item() == pytest.approx(light, rel=2e-3)
    assert frames.var(dim=0).mean().item() == pytest.approx(
        light + 0.5**2 + 0.46**2 / 12, rel=0.01
    )


def test_full_well_and_converter_clip():
    sensor = make(full_well_e=1000.0, read_noise_e=0.01)
    assert record(sensor, torch.full((8, 64, 64), 1e5)).max() <= 1000 + 0.46
    bright, noise = make(full_well_e=1e6), generator(0)
    assert bright.expose(torch.zeros(64, 64), 1.0, noise).min() >= 0
    assert bright.expose(torch.full((64, 64), 1e6), 1.0, noise).max() == 65_535


def test_pixels_differ_as_stated():
    sensor = make(SensorMaps(hot_pixels=0.01), image_px=256)
    assert sensor.response.std().item() == pytest.approx(0.01, rel=0.05)
    hot = sensor.dark_e_per_s > 1
    assert hot.float().mean().item() == pytest.approx(0.01, rel=0.2)
    long = record(sensor, torch.zeros(256, 256), 10_000.0)
    assert long[hot].mean() > 100 * long[~hot].mean()


def test_zero_switches_each_imperfection_off():
    maps = SensorMaps(response_nonuniformity=0, hot_pixels=0, dark_e_per_s=0)
    sensor = make(maps, read_noise_e=0.0)
    assert (record(sensor, torch.zeros(4, 64, 64), 1e6) == 0).all()
    counted = record(sensor, torch.full((4, 64, 64), 50.0))
    assert torch.equal(counted, (counted.round() / 0.46).round() * 0.46)
    assert counted.var().item() == pytest.approx(50, rel=0.05)


def test_maps_and_noise_have_seeds_of_their_own():
    light = torch.full((4, 64, 64), 50.0)
    one, other = make(SensorMaps(), seed=1), make(SensorMaps(), seed=2)
    for drawn in ("response", "dark_e_per_s", "read_noise_e"):
        assert torch.equal(getattr(one, drawn), getattr(make(SensorMaps(), seed=1), drawn))
        assert not torch.equal(getattr(one, drawn), getattr(other, drawn))
    assert torch.equal(record(one, light, seed=3), record(one, light, seed=3))
    assert not torch.equal(record(one, light, seed=3), record(one, light, seed=4))
    # Drawing noise leaves the pixels as they are.
    assert torch.equal(one.read_noise_e, make(SensorMaps(), seed=1).read_noise_e)
