"""The filter that follows a sample from looks at its landmark."""

import numpy as np
import pytest

from acquisition.drift_filter import ACROSS, ALONG, DriftFilter

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


def test_after_a_while_without_looks_the_first_one_is_believed():
    drift = DriftFilter(ACROSS)
    for time_s, seen in looks(lambda _: np.zeros(2)):
        drift.look(time_s, seen, SD_NM)
    drift.forget()
    drift.look(3600.0, np.array([9.0, -9.0]), SD_NM)
    assert drift.at(3600.0) == pytest.approx((9, -9), abs=0.1)
    drift.look(3630.0, np.array([14.0, -9.0]), SD_NM)
    assert 3 < drift.at(3690.0)[0] - drift.at(3630.0)[0] < 12, "the rate is asked anew"


# --- along the beam ---------------------------------------------------------------------

ALONG_SD_NM = np.array([3.5])


def looks_along(moved_nm, seed):
    """Yield a look every 30 s for two hours, as ``looks``."""
    random = np.random.default_rng(seed)
    for time_s in np.arange(0.0, 7200.0, 30.0):
        yield time_s, np.array([moved_nm(time_s / 60)]) + ALONG_SD_NM * random.normal(size=1)


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_that_stays_in_its_plane_is_not_followed(seed):
    drift = DriftFilter(ALONG)
    for time_s, seen in looks_along(lambda _: 0.0, seed):
        drift.look(time_s, seen, ALONG_SD_NM)
    assert not drift.has_moved


@pytest.mark.parametrize("rate", [10.0, -10.0])
def test_a_sample_that_leaves_its_plane_is_followed(rate):
    drift, errors = DriftFilter(ALONG), []
    for time_s, seen in looks_along(lambda minutes: rate * minutes, 1):
        drift.look(time_s, seen, ALONG_SD_NM)
        if time_s > 300:
            errors.append(drift.at(time_s + 15)[0] - rate * (time_s + 15) / 60)
    assert drift.has_moved
    assert np.sqrt(np.mean(np.square(errors))) < 4.0


def test_a_jump_along_the_beam_is_followed_at_once():
    drift = DriftFilter(ALONG)
    for time_s, seen in looks_along(
        lambda minutes: 10.0 * minutes + 200.0 * (minutes >= 60), 2
    ):
        if time_s > 3600:
            break
        drift.look(time_s, seen, ALONG_SD_NM)
    assert drift.at(3600)[0] == pytest.approx(800, abs=12)
    assert drift.at(3660)[0] - drift.at(3600)[0] == pytest.approx(10, abs=3)
