"""The stage goes no faster than it may, and says so if it does."""

import itertools
import math
from dataclasses import replace

import pytest
from scan_bench import Watcher

from acquisition.engine import scan
from acquisition.frame import Status
from configs.errors import AcquisitionError
from configs.instrument import Limits
from simulation.instant import InstantStage, PositionCamera

SPEED_UM_PER_S = 5.0


@pytest.fixture
def slow_info(make_info, small_plan):
    return make_info(small_plan, limits=Limits(speed_um_per_s=SPEED_UM_PER_S))


def bench_with(instant, stage):
    return replace(instant, stage=stage, camera=PositionCamera(stage))


class Noting(InstantStage):
    """Keeps when it was told to go where, and when it was asked where it is."""

    def __init__(self, travel, clock):
        super().__init__(travel)
        self._clock = clock
        self.told, self.asked = [], []

    def move_to(self, x_um, y_um):
        self.told.append((self._clock.now(), x_um, y_um))
        super().move_to(x_um, y_um)

    def position(self):
        self.asked.append((self._clock.now(), *super().position()))
        return super().position()


def test_long_moves_go_in_steps(slow_info, instant):
    stage = Noting(instant.stage.limits, instant.clock)
    assert scan(slow_info, bench_with(instant, stage), None, Watcher()).valid == 63
    steps = [math.dist(a[1:], b[1:]) for a, b in itertools.pairwise(stage.told)]
    assert max(steps) <= SPEED_UM_PER_S * 0.05 + 1e-9
    assert sum(step for step in steps if step > 0.2) > 5, "lines are 1.4 um long"


def test_no_step_of_the_scan_is_faster_on_the_mean_than_it_may_be(slow_info, instant):
    stage = Noting(instant.stage.limits, instant.clock)
    scan(slow_info, bench_with(instant, stage), None, Watcher())
    moves = [(math.dist(a[1:], b[1:]), b[0] - a[0]) for a, b in itertools.pairwise(stage.asked)]
    assert all(um <= SPEED_UM_PER_S * s + 1e-6 for um, s in moves)
    assert sum(um > 0.17 for um, _ in moves) > 60, "steps of 180 nm among them"


def test_a_stage_that_lags_behind_is_not_too_fast(slow_info, instant):
    class Lagging(InstantStage):
        """Is where it was told to be before, until it is waited for."""

        _before = None

        def move_to(self, x_um, y_um):
            self._before = self._position_um
            super().move_to(x_um, y_um)

        def wait_settled(self, timeout_s):
            self._before = None

        def position(self):
            return self._before or super().position()

    stage = Lagging(instant.stage.limits)
    watcher = Watcher()
    assert scan(slow_info, bench_with(instant, stage), None, watcher).valid == 63
    assert watcher.warnings == []


def test_a_stage_that_is_too_fast_takes_no_frames(slow_info, instant):
    class Hasty(InstantStage):
        """Goes four times as far as it was told, until it is waited for."""

        _from_um = None

        def move_to(self, x_um, y_um):
            self._from_um = self._position_um
            super().move_to(x_um, y_um)

        def wait_settled(self, timeout_s):
            self._from_um = None

        def position(self):
            if self._from_um is None:
                return super().position()
            return tuple(
                a + 4 * (b - a) for a, b in zip(self._from_um, self._position_um, strict=True)
            )

    stage = Hasty(instant.stage.limits)
    watcher = Watcher()
    with pytest.raises(AcquisitionError, match="points to be invalid"):
        scan(slow_info, bench_with(instant, stage), None, watcher)
    assert any("stage: expected at most 5 um/s, got" in line for line in watcher.warnings)
    assert stage.stops > 10
    assert not any(frame.status is Status.VALID for frame in watcher.frames if frame.point.row)


@pytest.mark.parametrize(
    ("speed_um_per_s", "expected", "got"),
    [
        (5.0, "at most 5 um/s", "moves of up to 1.80 um in 0.36 s, in steps of 0.25 um, 50 ms"),
        (None, "any", "moves of up to 1.80 um, each in one go"),
    ],
)
def test_the_longest_way_is_told_before(
    make_info, small_plan, instant, speed_um_per_s, expected, got
):
    watcher = Watcher()
    limits = Limits(speed_um_per_s=speed_um_per_s)
    scan(make_info(small_plan, limits=limits), instant, None, watcher)
    (check,) = (check for check in watcher.checks if check.name == "speed")
    assert check.expected == expected
    assert check.got.startswith(got)
