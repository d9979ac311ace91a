"""How far out of focus a landmark is, where the focus was dithered too: oracle tests."""

import numpy as np
import pytest
from landmark_bench import SENSOR, Place

from acquisition.landmark import dither_um
from acquisition.landmark_model import LandmarkModel
from acquisition.plan import DITHERS_PER_SIDE, FOCUS_LOOKS

DITHER_UM = np.array(dither_um(3))
ACROSS_UM = 0.001 * np.array([(0, 0), (17, -31), (-40, 36), (-24, -8)])
DEPTHS_UM = (-0.17, -0.1, -0.03, 0.03, 0.1, 0.17)


def learnt(place, power=1.0, offsets_um=DITHER_UM):
    light = np.stack([place.light(at[:2], 1000 * at[2]) for at in offsets_um])
    return LandmarkModel.fit(place.shoot(light, power=power), offsets_um, SENSOR)


def seen(place, model, at_um, z_um, **settings):
    return model.estimate(place.shoot(place.light(at_um, 1000 * z_um), **settings))


@pytest.fixture(scope="module")
def place():
    return Place(5)


@pytest.fixture(scope="module")
def model(place):
    return learnt(place)


@pytest.fixture(scope="module")
def trials():
    """Errors in um and in standard deviations, and misfits: (places, depths, visits, ...)."""
    errors, pulls, misfits = [], [], []
    for squares in range(6):
        place = Place(squares)
        model = learnt(place)
        for z_um in DEPTHS_UM:
            for at_um in ACROSS_UM:
                found = seen(place, model, at_um, z_um)
                assert found.is_inside
                errors.append(np.array(found.shift_um) - (*at_um, z_um))
                pulls.append(errors[-1] / found.sd_um)
                misfits.append(found.chi_squared)
    shape = (6, len(DEPTHS_UM), len(ACROSS_UM), -1)
    return tuple(np.array(values).reshape(shape) for values in (errors, pulls, misfits))


def test_the_dither_is_as_many_looks_as_are_counted():
    assert len(DITHER_UM) == DITHERS_PER_SIDE**2 + FOCUS_LOOKS
    assert len(dither_um(2)) == DITHERS_PER_SIDE**2


def test_depth_is_found_on_either_side_within_its_error(trials):
    errors, pulls, _ = trials
    assert np.abs(errors[..., 2]).max() < 0.015
    assert np.sqrt(np.mean(errors[..., 2] ** 2)) < 0.004
    assert np.mean(np.abs(pulls[..., 2]) < 2) > 0.9
    assert np.sqrt(np.mean(pulls**2, axis=(0, 1, 2))) == pytest.approx(1, abs=0.25)


def test_out_of_focus_the_place_is_known_as_well_as_in_focus(trials):
    errors, _, misfits = trials
    depths = np.abs(DEPTHS_UM)

    def rms(chosen):
        return np.sqrt(np.mean(errors[:, chosen, :, :2] ** 2))

    assert rms(depths == 0.1) < 1.25 * rms(depths == 0.03)
    assert rms(depths == 0.17) < 1.5 * rms(depths == 0.03)
    assert misfits.mean() == pytest.approx(1, abs=0.03)
    assert misfits.max() < 1.3


def test_without_the_dither_in_focus_it_would_not_be(place):
    blind = LandmarkModel.fit(
        place.shoot(np.stack([place.light(at) for at in dither_um(2)])),
        np.array(dither_um(2)),
        SENSOR,
    )
    assert seen(place, blind, (0.0, 0.0), 0.1).chi_squared > 1.5


def test_a_promise_is_kept(trials, place, model):
    promised = model.precision_um(8)
    found = seen(place, model, (0.0, 0.0), 0.0)
    assert found.sd_um == pytest.approx(promised, rel=0.2)


@pytest.mark.parametrize("power", [0.7, 1.4])
def test_laser_power_is_no_depth(place, model, power):
    found = seen(place, model, (0.02, -0.01), 0.05, power=power)
    assert found.power == pytest.approx(power, rel=0.02)
    assert abs(found.shift_um[2] - 0.05) < 4 * found.sd_um[2]


@pytest.mark.parametrize("z_um", [-0.6, -0.4, -0.28, 0.28, 0.4, 0.6])
def test_a_depth_out_of_range_is_never_a_confident_small_one(z_um):
    for squares in range(4):
        place = Place(squares)
        found = seen(place, learnt(place), (0.0, 0.0), z_um)
        assert not (found.is_inside and found.chi_squared < 1.5)


@pytest.mark.parametrize("plane", sorted({z for _, _, z in dither_um(3)} - {0.0}))
def test_some_looks_may_be_missing(place, plane):
    """A plane, and as many more as learning goes without."""
    others = DITHER_UM[DITHER_UM[:, 2] != plane]
    some = np.delete(others, np.random.default_rng(0).permutation(len(others))[:4], axis=0)
    found = seen(place, learnt(place, offsets_um=some), (0.01, 0.0), 0.05)
    assert np.abs(np.array(found.shift_um) - (0.01, 0.0, 0.05)).max() < 4 * max(found.sd_um)
