"""The scan as a value, and its one convention of axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.plan import ScanPlan
from configs.errors import ConfigError, LimitError
from configs.instrument import Travel

CENTRE = (100.0, 100.0)


def test_the_default_scan_starts_one_square_outside_the_sample():
    plan = ScanPlan(centre_um=CENTRE)
    assert len(plan) == 4356
    assert plan.sample_shape == (64, 64)
    assert plan.geometry.square(*plan.point(0, 0).target_um) == pytest.approx((-1, -1))
    assert plan.geometry.square(*plan.point(5, 9).target_um) == pytest.approx((4, 8))
    assert plan.point(5, 9).index == 5 * 66 + 9


def test_columns_go_right_and_rows_go_down():
    plan = ScanPlan(centre_um=CENTRE)
    first, right, down = (plan.point(*p).target_um for p in ((0, 0), (0, 1), (1, 0)))
    assert right == pytest.approx((first[0] + 0.18, first[1]))
    assert down == pytest.approx((first[0], first[1] + 0.18))


@given(
    rows=st.integers(3, 20),
    columns=st.integers(3, 20),
    x_direction=st.sampled_from([1, -1]),
)
def test_every_point_is_visited_once_and_knows_its_place(rows, columns, x_direction):
    plan = ScanPlan(rows=rows, columns=columns, centre_um=CENTRE, x_direction=x_direction)
    points = list(plan.points())
    assert sorted(p.index for p in points) == list(range(rows * columns))
    for point in points:
        assert point.index == point.row * columns + point.column
        assert plan.geometry.square(*point.target_um) == pytest.approx(
            (point.row - 1, point.column - 1)
        )


def test_every_line_is_scanned_the_same_way():
    plan = ScanPlan(rows=4, columns=5, centre_um=CENTRE)
    columns = [[point.column for point in line] for line in plan.lines()]
    assert columns == [[0, 1, 2, 3, 4]] * 4


def test_plans_survive_json():
    plan = ScanPlan(rows=10, columns=12, centre_um=(1.0, 2.0), landmark=None)
    assert ScanPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("margin", [0, 1, 2])
def test_the_squares_are_cropped_out_of_the_points(margin):
    plan = ScanPlan(rows=7, columns=8, margin=margin, centre_um=CENTRE)
    index = np.arange(len(plan)).reshape(plan.rows, plan.columns)
    cropped = plan.crop(index)
    assert cropped.shape == plan.sample_shape
    rows, columns = plan.sample_shape
    for point, square in ((cropped[0, 0], (0, 0)), (cropped[-1, -1], (rows - 1, columns - 1))):
        place = divmod(int(point), plan.columns)
        assert plan.point(*place).target_um == plan.geometry.stage_um(*square)


@pytest.mark.parametrize(
    ("travel", "axis"),
    [
        (Travel(x_um=(0.0, 105.0)), "x from 94.15 to 105.85"),
        (Travel(y_um=(95.0, 200.0)), "y from 94.15 to 105.85"),
    ],
)
def test_the_whole_plan_is_checked_against_the_travel(travel, axis):
    plan = ScanPlan(centre_um=CENTRE)
    with pytest.raises(LimitError, match=axis):
        plan.check_travel(travel)
    plan.check_travel(Travel(x_um=(94.1, 105.9), y_um=(94.1, 105.9)))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"rows": 2}, "twice the margin"),
        ({"grid": 4}, "grid"),
        ({"exposure_ms": 0.0}, "exposure_ms"),
        ({"order": "snake"}, "order"),
        ({"landmark": {"max_chi_squared": 0.0}}, "landmark.max_chi_squared"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 63}, "seed"),
        ({"typo": 1}, "unknown key typo"),
    ],
)
def test_bad_plans_name_the_key(values, named):
    with pytest.raises(ConfigError, match=named):
        ScanPlan.checked("plan", {"centre_um": CENTRE, **values})
