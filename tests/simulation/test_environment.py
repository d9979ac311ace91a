"""Drift, walks, vibration, flicker and dust: right statistics, and independent switches."""

from pathlib import Path

import numpy as np
import pytest

import opticalnet
from acquisition.store import Run
from configs.instrument import Environment, InstrumentConfig
from configs.toml import load_instrument, save_instrument
from simulation.environment import Disturbances, dust_transmission

OFF = load_instrument("simulated-still").environment
SIZES = {
    "drift_nm_per_min": (30.0, -20.0),
    "random_walk_nm_per_sqrt_min": 5.0,
    "focus_drift_nm_per_min": -12.0,
    "focus_walk_nm_per_sqrt_min": 3.0,
    "vibration_nm": 2.0,
    "laser_noise": 0.05,
    "background_e_per_ms": 2.0,
    "dust_specks": 3,
}
"""Every disturbance, in a size that no default has."""


def only(*names):
    return OFF.model_copy(update={name: SIZES[name] for name in names})


def columns(environment, times_s, seed=0):
    """Displacement, focus and power side by side, (n, 4)."""
    state = Disturbances(environment, seed).at(times_s)
    return np.column_stack([state.displacement_nm, state.focus_nm, state.power])


@pytest.fixture
def times_s():
    """Hurried and idle stretches, with gaps from 10 ms to 10 min."""
    return np.cumsum(np.random.default_rng(1).choice([0.01, 1.0, 600.0], 4000))


def test_all_off_nothing_happens(times_s):
    assert set(SIZES) == set(Environment.model_fields) - {"dust_radius_px", "dust_depth"}
    assert np.array_equal(columns(OFF, times_s), [[0, 0, 0, 1]] * len(times_s))
    assert (dust_transmission(OFF, 64, 0) == 1).all()


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("drift_nm_per_min", [0, 1]),
        ("random_walk_nm_per_sqrt_min", [0, 1]),
        ("focus_drift_nm_per_min", [2]),
        ("focus_walk_nm_per_sqrt_min", [2]),
        ("vibration_nm", [0, 1]),
        ("laser_noise", [3]),
        ("background_e_per_ms", []),
        ("dust_specks", []),
    ],
)
def test_one_switch_changes_no_other_disturbance(times_s, name, moves):
    rest = set(SIZES) - {name}
    still = columns(OFF, times_s)
    alone = columns(only(name), times_s) - still
    assert [column for column in range(4) if alone[:, column].any()] == moves
    together, others = columns(only(*SIZES), times_s), columns(only(*rest), times_s)
    assert together - others == pytest.approx(alone, abs=1e-9)
    # Where it has no part, not a bit of it changes.
    elsewhere = sorted({0, 1, 2, 3} - set(moves))
    assert np.array_equal(together[:, elsewhere], others[:, elsewhere])


def test_streams_are_strangers_to_each_other(times_s):
    """No number that one of them drew was drawn by another."""

    def draws(name, column):
        return (columns(only(name), times_s) - columns(OFF, times_s))[:300, column] / SIZES[
            name
        ]

    steps = np.sqrt(np.diff(times_s[:300], prepend=0) / 60)
    drawn = [
        np.diff(draws("random_walk_nm_per_sqrt_min", 0), prepend=0) / steps,
        np.diff(draws("random_walk_nm_per_sqrt_min", 1), prepend=0) / steps,
        np.diff(draws("focus_walk_nm_per_sqrt_min", 2), prepend=0) / steps,
        draws("vibration_nm", 0),
        draws("vibration_nm", 1),
        draws("laser_noise", 3),
    ]
    numbers = np.concatenate(drawn).round(7)
    assert len(np.unique(numbers)) > 0.99 * numbers.size


@pytest.mark.parametrize(
    ("name", "axes"),
    [("random_walk_nm_per_sqrt_min", [0, 1]), ("focus_walk_nm_per_sqrt_min", [2])],
)
def test_walks_are_brownian_however_irregular_the_times(times_s, name, axes):
    path = columns(only(name), times_s)[:, axes]
    gaps_s = np.diff(times_s)
    steps = np.diff(path, axis=0) / (SIZES[name] * np.sqrt(gaps_s / 60)[:, None])
    for gap_s in (0.01, 1.0, 600.0):
        chosen = steps[np.isclose(gaps_s, gap_s)]
        assert chosen.std() == pytest.approx(1, abs=5 / np.sqrt(2 * chosen.size))
        assert chosen.mean() == pytest.approx(0, abs=5 / np.sqrt(chosen.size))
    following = (steps[1:] * steps[:-1]).mean()
    assert following == pytest.approx(0, abs=5 / np.sqrt(steps.size))


def test_walks_start_at_the_beginning_and_stand_while_no_time_passes():
    walking = only("random_walk_nm_per_sqrt_min", "focus_walk_nm_per_sqrt_min")
    path = columns(walking, np.array([0.0, 0.0, 5.0, 5.0]))
    assert (path[:2, :3] == 0).all()
    assert np.array_equal(path[2], path[3])
    first = np.array([columns(walking, np.array([240.0]), seed)[0] for seed in range(2000)])
    expected = [2 * 5.0, 2 * 5.0, 2 * 3.0]
    assert first[:, :3].std(axis=0) == pytest.approx(expected, rel=0.08)


def test_drift_is_linear_and_noise_has_its_size(times_s):
    assert columns(only("drift_nm_per_min"), times_s)[:, :2] == pytest.approx(
        np.outer(times_s / 60, (30, -20))
    )
    focus = columns(only("focus_drift_nm_per_min"), times_s)[:, 2]
    assert focus == pytest.approx(-12 * times_s / 60)
    vibration = columns(only("vibration_nm"), times_s)[:, :2]
    assert vibration.std(axis=0) == pytest.approx([2, 2], rel=0.05)
    power = columns(only("laser_noise"), times_s)[:, 3]
    assert power.std() == pytest.approx(0.05, rel=0.05)
    assert power.mean() == pytest.approx(1, abs=0.005)
    wild = OFF.model_copy(update={"laser_noise": 1.0})
    assert columns(wild, times_s)[:, 3].min() == 0


@pytest.mark.parametrize("cuts", [[1], [17, 17, 500], range(1, 4000)])
def test_frames_are_the_same_however_they_are_divided_over_calls(times_s, cuts):
    whole = columns(only(*SIZES), times_s)
    live = Disturbances(only(*SIZES), 0)
    parts = [live.at(part) for part in np.split(times_s, cuts)]
    assert np.array_equal(np.concatenate([p.displacement_nm for p in parts]), whole[:, :2])
    assert np.array_equal(np.concatenate([p.focus_nm for p in parts]), whole[:, 2])
    assert np.array_equal(np.concatenate([p.power for p in parts]), whole[:, 3])


@pytest.mark.parametrize("times", [[-1.0], [2.0, 1.0], [np.nan]])
def test_time_does_not_run_backwards(times):
    with pytest.raises(ValueError, match="do not decrease"):
        Disturbances(OFF, 0).at(np.array(times))
    later = Disturbances(OFF, 0)
    later.at(np.array([60.0]))
    with pytest.raises(ValueError, match="from 60 s on, got 59 s"):
        later.at(np.array([59.0]))


def test_a_speck_is_a_soft_shadow_of_its_size():
    one = OFF.model_copy(update={"dust_specks": 1, "dust_radius_px": 6.0, "dust_depth": 0.4})
    radii_px = []
    for seed in range(200):
        shadow = 1 - dust_transmission(one, 160, seed).astype(float)
        y, x = np.unravel_index(shadow.argmax(), shadow.shape)
        if not (40 < y < 120 and 40 < x < 120):
            continue  # part of it lies outside
        assert shadow.max() == pytest.approx(0.4, rel=0.05)
        assert np.abs(np.diff(shadow, axis=0)).max() < 0.15  # nothing sharp
        # Half of the depth is left at the radius: of a Gaussian, that gives the sum.
        radius_px = np.sqrt((shadow > 0.2).sum() / np.pi)
        assert shadow.sum() == pytest.approx(0.4 * np.pi * radius_px**2 / np.log(2), rel=0.15)
        radii_px.append(radius_px)
    assert len(radii_px) > 30
    assert np.median(radii_px) == pytest.approx(6, rel=0.1)
    assert np.std(np.log(radii_px)) == pytest.approx(0.3, rel=0.3)


def test_pixels_average_the_shadow_over_their_area():
    fine = OFF.model_copy(update={"dust_specks": 4, "dust_radius_px": 3.0})
    coarse = fine.model_copy(update={"dust_radius_px": 0.75})
    # The places scale with the image: the same dust on pixels four times as large.
    averaged = dust_transmission(fine, 128, 7).reshape(32, 4, 32, 4).mean(axis=(1, 3))
    assert dust_transmission(coarse, 32, 7) == pytest.approx(averaged, abs=1e-3)


def test_dust_is_static_seeded_and_grows_speck_by_speck():
    def dust(specks, seed=0, **settings):
        environment = OFF.model_copy(update={"dust_specks": specks, **settings})
        return dust_transmission(environment, 64, seed)

    assert dust(3).dtype == np.float32
    assert np.array_equal(dust(3), dust(3))
    assert not np.array_equal(dust(3), dust(3, seed=1))
    assert (dust(3) <= dust(2)).all()
    assert (dust(3) < dust(2)).any()
    assert (dust(3, dust_depth=0.0) == 1).all()
    assert dust(40, dust_depth=1.0).min() >= 0
    assert dust(1000).min() > 0


def test_a_run_says_all_that_happened_to_it(tmp_path: Path):
    np.save(tmp_path / "mask.npy", np.eye(3))
    dusty = {"dust_radius_px": 4.0, "dust_depth": 0.6}
    restless = only(*SIZES).model_copy(update=dusty)
    save_instrument(InstrumentConfig(name="x", environment=restless), tmp_path / "x.toml")

    def acquire(instrument, seed, out):
        opticalnet.acquire(
            str(tmp_path / "mask.npy"), instrument=str(instrument), seed=seed, out=out
        )
        return Run(out)

    first = acquire(tmp_path / "x.toml", 5, tmp_path / "first.zarr")
    assert first.info.instrument.environment == restless
    save_instrument(first.info.instrument, tmp_path / "stored.toml")
    again = acquire(tmp_path / "stored.toml", first.info.plan.seed, tmp_path / "again.zarr")
    other = acquire("simulated", first.info.plan.seed, tmp_path / "other.zarr")
    for row in range(5):
        assert np.array_equal(first.frames(row), again.frames(row))
        assert not np.array_equal(first.frames(row), other.frames(row))
