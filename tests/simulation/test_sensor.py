"""The sensor's statistics are those of its data sheet."""

import pytest
import torch

from configs.instrument import Sensor, SensorMaps
from simulation.sensor import SensorModel

IDEAL = SensorMaps(response_nonuniformity=0, hot_pixels=0)


def make(maps=IDEAL, image_px=64, seed=0, **values):
    generator = torch.Generator().manual_seed(seed)
    return SensorModel(Sensor(**values), maps, image_px, generator)


def electrons(sensor, adu):
    return (adu - sensor.sensor.offset_adu) * sensor.sensor.gain_e_per_adu


def test_dark_frames_show_offset_and_read_noise():
    sensor = make()
    dark = electrons(sensor, sensor.expose(torch.zeros(400, 64, 64), 10.0).double())
    assert dark.mean().item() == pytest.approx(0, abs=0.01)
    rounding = 0.46**2 / 12
    assert dark.var(dim=0).mean().item() == pytest.approx(1.6**2 + rounding, rel=0.1)
    assert sensor.read_noise_e.median().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("light", [5.0, 200.0, 2000.0])
def test_photon_noise_is_poissonian(light):
    sensor = make(read_noise_e=0.5)
    frames = electrons(sensor, sensor.expose(torch.full((300, 64, 64), light), 10.0).double())
    assert frames.mean().item() == pytest.approx(light, rel=2e-3)
    assert frames.var(dim=0).mean().item() == pytest.approx(
        light + 0.5**2 + 0.46**2 / 12, rel=0.01
    )


def test_full_well_and_converter_clip():
    sensor = make(full_well_e=1000.0, read_noise_e=0.01)
    assert sensor.expose(torch.full((8, 64, 64), 1e5), 1.0).max() <= 100 + 1000 / 0.46 + 1
    bright = make(full_well_e=1e6)
    assert sensor.expose(torch.zeros(64, 64), 1.0).min() >= 0
    assert bright.expose(torch.full((64, 64), 1e6), 1.0).max() == 65_535


def test_pixels_differ_as_stated():
    sensor = make(SensorMaps(hot_pixels=0.01), image_px=256)
    assert sensor.response.std().item() == pytest.approx(0.01, rel=0.05)
    hot = sensor.dark_e_per_s > 1
    assert hot.float().mean().item() == pytest.approx(0.01, rel=0.2)
    long = electrons(sensor, sensor.expose(torch.zeros(256, 256), 10_000.0).double())
    assert long[hot].mean() > 100 * long[~hot].mean()


def test_seed_repeats_maps_and_noise():
    light = torch.full((4, 64, 64), 50.0)
    first, again, other = (make(seed=s).expose(light, 10.0) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
