"""The filter that follows a sample from looks at its landmark."""

import numpy as np
import pytest

from acquisition.drift_filter import ACROSS, DriftFilter

SD_NM = np.array([2.5, 2.5])


def looks(moved, minutes=60, seed=0):
    """Yield times in seconds and what looks once a minute say of a drift, a function."""
    random = np.random.default_rng(seed)
    for minute in range(minutes):
        yield 60.0 * minute, moved(minute) + SD_NM * random.standard_normal(2)


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_that_holds_still_is_not_followed(seed):
    drift = DriftFilter(ACROSS)
    for time_s, seen in looks(lambda _: np.zeros(2), 120, seed):
        drift.look(time_s, seen, SD_NM)
    assert not drift.has_moved


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_drift_is_followed_better_than_it_is_seen(seed):
    drift, errors = DriftFilter(ACROSS), []
    for time_s, seen in looks(lambda minute: minute * np.array([4.0, -3.0]), seed=seed):
        drift.look(time_s, seen, SD_NM)
        if time_s > 600:
            half_way = np.array([4.0, -3.0]) * (time_s / 60 + 0.5)
            errors.append(drift.at(time_s + 30) - half_way)
    assert drift.has_moved
    assert np.sqrt(np.mean(np.square(errors))) < 2.5


def test_a_jump_is_followed_at_once_and_the_rate_is_kept():
    def moved(minute):
        return np.array([5.0 * minute + 100.0 * (minute >= 30), 0.0])

    drift = DriftFilter(ACROSS)
    for time_s, seen in looks(moved, 31):
        drift.look(time_s, seen, SD_NM)
    assert drift.at(30 * 60) == pytest.approx((250, 0), abs=8)
    assert drift.at(31 * 60)[0] - drift.at(30 * 60)[0] == pytest.approx(5, abs=1.5)
