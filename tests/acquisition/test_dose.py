"""The dose, against what a Gaussian beam leaves."""

import math

import numpy as np
import pytest

from acquisition.dose import Dose
from acquisition.frame import Dither, Frame, Status
from acquisition.journal import PointRecord
from acquisition.plan import ScanPlan

POWER_W = 2e-9
SQUARE_CM2 = (180e-7) ** 2
FWHM_CM = 540e-7


@pytest.fixture
def info(make_info):
    plan = ScanPlan(rows=22, columns=22, centre_um=(100.0, 100.0), landmark=None)
    return make_info(plan).model_copy(update={"power_w": POWER_W})


def test_a_beam_at_rest_leaves_its_own_shape(info):
    dose, place_um = Dose(info), info.plan.point(11, 11).target_um
    dose.light(0.0, on=True)
    dose.beam_at(place_um, 1.0)
    dose.beam_at(info.plan.point(0, 0).target_um, 4.0)
    peak_w_per_cm2 = POWER_W * 4 * math.log(2) / math.pi / FWHM_CM**2
    assert dose.after_j_per_cm2(place_um, 0.0) == pytest.approx(3 * peak_w_per_cm2, rel=2e-3)
    after = dose.after_j_per_cm2(info.plan.point(11, 14).target_um, 0.0)
    assert after == pytest.approx(3 * peak_w_per_cm2 / 16, rel=2e-3), "half of it, twice over"
    assert dose.after_j_per_cm2(place_um, 2.0) == pytest.approx(5 * peak_w_per_cm2, rel=2e-3)


def test_a_raster_gives_every_square_the_same(info):
    dose = Dose(info)
    dose.light(0.0, on=True)
    for index, point in enumerate(info.plan.points()):
        dose.beam_at(point.target_um, 0.02 * index)
    dose.light(0.02 * len(info.plan), on=False)
    dose.light(1000.0, on=False)
    expected = POWER_W * 0.02 / SQUARE_CM2
    assert dose.of_raster_j_per_cm2(0.02) == pytest.approx(expected)
    assert dose.most_j_per_cm2() == pytest.approx(expected, rel=1e-3)


def test_what_was_taken_before_counts(info):
    point = info.plan.point(3, 4)
    frame = Frame(
        point,
        np.zeros((1, 1), np.uint16),
        point.target_um,
        0.0,
        2,
        Status.VALID,
        settling_s=0.5,
    )
    exposure_s = info.plan.exposure_ms / 1000
    dose, fresh = Dose(info), Dose(info)
    dose.recall([PointRecord.of(frame)], None, {})
    fresh.light(0.0, on=True)
    fresh.beam_at(point.target_um, 0.0)
    fresh.light(2 * (0.5 + exposure_s), on=False)
    assert dose.most_j_per_cm2() == pytest.approx(fresh.most_j_per_cm2())
    assert dose.most_j_per_cm2() > 0


def test_far_from_the_sample_nothing_counts(info):
    dose = Dose(info)
    dose.light(0.0, on=True)
    dose.beam_at((0.0, 0.0), 0.0)
    dose.beam_at((0.0, 0.0), 100.0)
    assert dose.most_j_per_cm2() == 0


def test_looks_at_the_landmark_count_when_a_scan_goes_on(make_info):
    plan = ScanPlan(rows=22, columns=22, centre_um=(100.0, 100.0))
    info = make_info(plan).model_copy(update={"power_w": POWER_W})
    place_um = plan.point(11, 11).target_um
    images = np.zeros((25, 8, 1, 1))
    dither = Dither(place_um, (0.0, 0.0), np.zeros((25, 2)), images, 9.0, earlier_looks=50)
    dose, fresh = Dose(info), Dose(info)
    dose.recall([], dither, {"line": np.arange(3.0)})
    fresh.light(0.0, on=True)
    now_s = 0.0
    candidates = [(at_um, 3) for at_um in plan.candidates_um()]
    for at_um, looks in [*candidates, (place_um, 25 + 50 + 3)]:
        fresh.beam_at(at_um, now_s)
        now_s += looks * 8 * 0.01
    fresh.light(now_s, on=False)
    assert dose.after_j_per_cm2(place_um, 0.0) == pytest.approx(
        fresh.after_j_per_cm2(place_um, 0.0)
    )
    assert dose.most_j_per_cm2() == pytest.approx(fresh.most_j_per_cm2())
