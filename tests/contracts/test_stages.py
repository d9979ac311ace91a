"""What every XYStage does, whatever is behind it.

A new stage joins by one entry in ``STAGES``.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import pytest

from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from configs.errors import DeviceError, DeviceTimeout, LimitError
from configs.instrument import (
    GcsStageConfig,
    Limits,
    MicroManagerStageConfig,
    SimulatedStageConfig,
    Travel,
)
from drivers.clock import WallClock
from drivers.gcs import GcsStage
from drivers.micromanager import MicroManagerStage
from drivers.protocols import Clock, XYStage
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.instant import PositionCamera
from simulation.serial_line import DEFAULT_TRANSPORT, SerialLine
from simulation.shutter import SimulatedShutter
from simulation.stage import SimulatedStage

TOLERANCE_UM = 0.020
TIMEOUT_S = 2.0
TRAVEL = Travel(x_um=(0, 200), y_um=(0, 100))


class InterruptedClock:
    """A clock; what is to happen while a stage is waited for happens at its next wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.meanwhile: Callable[[], object] | None = None
        self.outcome: Future[object] = Future()

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        action, self.meanwhile = self.meanwhile, None
        if action is not None:
            with ThreadPoolExecutor(1) as another:
                self.outcome = another.submit(action)
        self._clock.sleep(seconds)


OpenedStage = Iterator[tuple[XYStage, InterruptedClock]]


@contextmanager
def simulated() -> OpenedStage:
    clock = InterruptedClock(VirtualClock())
    stage = SimulatedStage(SimulatedStageConfig(), TRAVEL, clock, seed=1)
    yield stage, clock
    stage.close()


@contextmanager
def gcs(transport) -> OpenedStage:
    clock = InterruptedClock(VirtualClock())
    with SerialLine(GcsController(clock, TRAVEL, seed=1), transport=transport) as line:
        config = GcsStageConfig(kind="gcs", port=line.port, reply_timeout_s=5.0)
        stage = GcsStage(config, TRAVEL, clock)
        yield stage, clock
        stage.close()


@contextmanager
def micromanager() -> OpenedStage:
    clock = InterruptedClock(WallClock())
    config = MicroManagerStageConfig(
        kind="micromanager",
        library="DemoCamera",
        device="DXYStage",
        properties={"Velocity": 1.0},  # mm/s: a long move takes 0.2 s
    )
    stage = MicroManagerStage(config, TRAVEL, clock)
    yield stage, clock
    stage.close()


STAGES: dict[str, Callable[[], AbstractContextManager[tuple[XYStage, InterruptedClock]]]] = {
    "simulated": simulated,
    "micromanager": micromanager,
    "gcs over tcp": partial(gcs, "tcp"),
}
if DEFAULT_TRANSPORT == "pty":
    STAGES["gcs over pty"] = partial(gcs, "pty")


@pytest.fixture(params=STAGES.values(), ids=STAGES)
def opened(request):
    with request.param() as opened:
        yield opened


@pytest.fixture
def stage(opened):
    return opened[0]


@pytest.fixture
def clock(opened):
    return opened[1]


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


def test_a_long_move_is_under_way_until_it_has_settled(stage):
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


def test_a_deadline_that_passes_raises_and_the_move_goes_on(stage):
    go(stage, (10.0, 10.0))
    stage.move_to(190.0, 90.0)
    with pytest.raises(DeviceTimeout, match=r"0\.002 s"):
        stage.wait_settled(0.002)
    stage.wait_settled(TIMEOUT_S)
    assert_at(stage, (190.0, 90.0))


def test_stop_halts_a_move_and_leaves_the_stage_usable(stage):
    go(stage, (10.0, 10.0))
    stage.move_to(190.0, 90.0)
    stage.stop()
    stage.wait_settled(TIMEOUT_S)
    assert stage.position()[0] < 189
    go(stage, (50.0, 60.0))
    assert_at(stage, (50.0, 60.0))
    stage.stop()
    assert_at(stage, (50.0, 60.0))


def test_stop_from_another_thread_halts_a_move_that_is_waited_for(stage, clock):
    go(stage, (10.0, 10.0))
    stage.move_to(190.0, 90.0)
    clock.meanwhile = stage.stop
    with suppress(DeviceError):  # as it may: it has not come to its target
        stage.wait_settled(TIMEOUT_S)
    clock.outcome.result(timeout=0)  # it was stopped meanwhile, and in good order

    stage.wait_settled(TIMEOUT_S)
    rest = stage.position()
    assert rest[0] < 189
    stage.wait_settled(TIMEOUT_S)
    assert_at(stage, rest)
    go(stage, (50.0, 60.0))
    assert_at(stage, (50.0, 60.0))


def test_a_scan_leaves_it_where_it_was_found(stage, clock, make_info, small_plan):
    found_um = (90.0, 45.0)
    go(stage, found_um)
    plan = small_plan.model_copy(update={"rows": 3, "centre_um": (100.0, 50.0)})
    limits = Limits(speed_um_per_s=200.0)
    info = make_info(plan, travel=TRAVEL, limits=limits)
    instrument = Instrument(stage, PositionCamera(stage), clock, SimulatedShutter())
    assert scan(info, instrument, None, SilentObserver()).valid == 27
    assert_at(stage, found_um)


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
