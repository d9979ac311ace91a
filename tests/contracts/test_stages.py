"""What every XYStage does, whatever is behind it.

A new stage joins by one entry in ``STAGES``.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from configs.errors import DeviceError, DeviceTimeout, LimitError
from configs.instrument import (
    GcsStageConfig,
    MicroManagerStageConfig,
    SimulatedStageConfig,
    Travel,
)
from drivers.clock import WallClock
from drivers.gcs import GcsStage
from drivers.micromanager import MicroManagerStage
from drivers.protocols import XYStage
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.serial_line import DEFAULT_TRANSPORT, SerialLine
from simulation.stage import SimulatedStage

TOLERANCE_UM = 0.020
TIMEOUT_S = 2.0
TRAVEL = Travel(x_um=(0, 200), y_um=(0, 100))


@dataclass(frozen=True)
class StageCase:
    """How to open a stage, closed again at the end, and what it can be held to."""

    open: Callable[[], AbstractContextManager[XYStage]]
    reports_motion: bool = True
    """Whether its position is where it is, and a long move takes a while."""


@contextmanager
def simulated() -> Iterator[XYStage]:
    stage = SimulatedStage(SimulatedStageConfig(), TRAVEL, VirtualClock(), seed=1)
    yield stage
    stage.close()


@contextmanager
def gcs(transport) -> Iterator[XYStage]:
    clock = VirtualClock()
    with SerialLine(GcsController(clock, TRAVEL, seed=1), transport=transport) as line:
        config = GcsStageConfig(kind="gcs", port=line.port, reply_timeout_s=5.0)
        stage = GcsStage(config, TRAVEL, clock)
        yield stage
        stage.close()


@contextmanager
def micromanager() -> Iterator[XYStage]:
    config = MicroManagerStageConfig(
        kind="micromanager", library="DemoCamera", device="DXYStage"
    )
    stage = MicroManagerStage(config, TRAVEL, WallClock())
    yield stage
    stage.close()


STAGES = {
    "simulated": StageCase(simulated),
    "micromanager": StageCase(micromanager, reports_motion=False),
    "gcs over tcp": StageCase(partial(gcs, "tcp")),
}
if DEFAULT_TRANSPORT == "pty":
    STAGES["gcs over pty"] = StageCase(partial(gcs, "pty"))


@pytest.fixture(params=STAGES.values(), ids=STAGES)
def case(request):
    return request.param


@pytest.fixture
def stage(case):
    with case.open() as stage:
        yield stage


def go(stage, target):
    stage.move_to(*target)
    stage.wait_settled(TIMEOUT_S)


def assert_at(stage, target):
    assert stage.position() == pytest.approx(target, abs=TOLERANCE_UM)


def test_it_says_what_it_is_and_where_it_may_go(stage):
    assert stage.identity.name
    assert stage.identity.origin in ("simulated", "hardware")
    assert stage.limits.x_um[0] >= TRAVEL.x_um[0]
    assert stage.limits.x_um[1] <= TRAVEL.x_um[1]
    assert stage.limits.y_um[0] >= TRAVEL.y_um[0]
    assert stage.limits.y_um[1] <= TRAVEL.y_um[1]


def test_it_comes_to_rest_on_its_target_and_stays_there(stage):
    for target in (100.18, 50.0), (0, 0), (200, 100), (12.3456, 78.9012):
        go(stage, target)
        for _ in range(3):
            assert_at(stage, target)


def test_a_long_move_is_under_way_until_it_has_settled(case, stage):
    if not case.reports_motion:
        pytest.skip("this stage does not report where it is during a move")
    go(stage, (10.0, 10.0))
    stage.move_to(190.0, 90.0)
    x_um, y_um = stage.position()
    assert x_um < 190 - TOLERANCE_UM
    assert y_um < 90 - TOLERANCE_UM
    stage.wait_settled(TIMEOUT_S)
    assert_at(stage, (190.0, 90.0))


def test_the_axes_are_independent_and_their_order_is_x_y(stage):
    x_um, y_um = 100.0, 50.0
    go(stage, (x_um, y_um))
    for axis, step in ("x", 0.18), ("y", 0.18), ("y", 5.0), ("x", -40.0), ("y", -0.18):
        x_um, y_um = (x_um + step, y_um) if axis == "x" else (x_um, y_um + step)
        go(stage, (x_um, y_um))
        assert_at(stage, (x_um, y_um))


def test_a_new_target_during_a_move_replaces_the_old_one(stage):
    stage.move_to(190.0, 90.0)
    stage.move_to(20.0, 30.0)
    stage.wait_settled(TIMEOUT_S)
    assert_at(stage, (20.0, 30.0))


def test_outside_its_limits_it_refuses_and_neither_axis_moves(stage):
    go(stage, (120.0, 40.0))
    for target in (
        (-0.001, 50),
        (200.001, 50),
        (100, -0.001),
        (100, 100.001),
        (math.nan, 50),
        (100, math.nan),
        (math.inf, 50),
        (100, -math.inf),
    ):
        with pytest.raises(LimitError, match="nothing moved"):
            stage.move_to(*target)
        stage.wait_settled(TIMEOUT_S)
        assert_at(stage, (120.0, 40.0))


def test_a_deadline_that_passes_raises_and_the_move_goes_on(case, stage):
    if not case.reports_motion:
        pytest.skip("this stage may be faster than any deadline")
    stage.move_to(0.0, 0.0)
    with pytest.raises(DeviceTimeout, match=r"0\.002 s"):
        stage.wait_settled(0.002)
    stage.wait_settled(TIMEOUT_S)
    assert_at(stage, (0.0, 0.0))


def test_stop_halts_a_move_and_leaves_the_stage_usable(case, stage):
    go(stage, (10.0, 10.0))
    stage.move_to(190.0, 90.0)
    stage.stop()
    stage.wait_settled(TIMEOUT_S)
    if case.reports_motion:
        assert stage.position()[0] < 189
    go(stage, (50.0, 60.0))
    assert_at(stage, (50.0, 60.0))
    stage.stop()
    assert_at(stage, (50.0, 60.0))


def test_closing_twice_is_fine_and_using_it_afterwards_is_not(stage):
    stage.close()
    stage.close()
    for call in (
        stage.position,
        stage.stop,
        partial(stage.move_to, 1.0, 1.0),
        partial(stage.wait_settled, 1.0),
    ):
        with pytest.raises(DeviceError, match="closed"):
            call()
