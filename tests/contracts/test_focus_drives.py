"""What every Focus does, whatever is behind it.

A new drive joins by one entry in ``DRIVES``.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from configs.errors import DeviceError, LimitError
from configs.instrument import MicroManagerFocusConfig, SimulatedFocusConfig
from drivers.clock import WallClock
from drivers.mm_focus import MicroManagerFocus
from drivers.protocols import Focus
from simulation.clock import VirtualClock
from simulation.focus import SimulatedFocus

RANGE_UM = (-40.0, 60.0)
TOLERANCE_UM = 0.020
TIMEOUT_S = 2.0


def simulated() -> SimulatedFocus:
    config = SimulatedFocusConfig(range_um=RANGE_UM)
    return SimulatedFocus(config, VirtualClock(), np.random.default_rng(1))


def demo_focus() -> MicroManagerFocus:
    config = MicroManagerFocusConfig(
        kind="micromanager", library="DemoCamera", device="DStage", range_um=RANGE_UM
    )
    return MicroManagerFocus(config, WallClock())


DRIVES: dict[str, Callable[[], Focus]] = {
    "simulated": simulated,
    "micromanager": demo_focus,
}


@pytest.fixture(params=DRIVES.values(), ids=DRIVES)
def focus(request: pytest.FixtureRequest) -> Iterator[Focus]:
    with closing(request.param()) as focus:
        yield focus


def go(focus: Focus, target_um: float) -> None:
    focus.move_to(target_um)
    focus.wait_settled(TIMEOUT_S)


def assert_at(focus: Focus, target_um: float) -> None:
    assert focus.position() == pytest.approx(target_um, abs=TOLERANCE_UM)


def test_it_says_what_it_is_and_where_it_may_go(focus: Focus) -> None:
    assert focus.identity.name
    assert focus.identity.origin in {"simulated", "hardware"}
    assert focus.limits_um[0] >= RANGE_UM[0]
    assert focus.limits_um[1] <= RANGE_UM[1]


def test_opening_it_moves_nothing(focus: Focus) -> None:
    before_um = focus.position()
    focus.wait_settled(TIMEOUT_S)
    assert_at(focus, before_um)


def test_it_comes_to_rest_on_its_target_and_stays_there(focus: Focus) -> None:
    for target_um in (10.0, -40.0, 60.0, 12.3456, 12.3556):
        go(focus, target_um)
        for _ in range(3):
            assert_at(focus, target_um)


def test_a_new_target_during_a_move_replaces_the_old_one(focus: Focus) -> None:
    focus.move_to(55.0)
    focus.move_to(-20.0)
    focus.wait_settled(TIMEOUT_S)
    assert_at(focus, -20.0)


@pytest.mark.parametrize("target_um", [-40.001, 60.001, math.nan, math.inf, -math.inf])
def test_outside_its_range_it_refuses_and_does_not_move(focus: Focus, target_um: float) -> None:
    go(focus, 20.0)
    with pytest.raises(LimitError, match="nothing moved"):
        focus.move_to(target_um)
    focus.wait_settled(TIMEOUT_S)
    assert_at(focus, 20.0)


def test_stop_from_another_thread_leaves_it_usable(focus: Focus) -> None:
    go(focus, 10.0)
    with ThreadPoolExecutor(1) as another:
        another.submit(focus.stop).result(TIMEOUT_S)
    assert_at(focus, 10.0)
    go(focus, 20.0)
    assert_at(focus, 20.0)


def test_closing_twice_is_fine_and_using_it_afterwards_is_not(focus: Focus) -> None:
    focus.close()
    focus.close()
    for call in (
        focus.position,
        focus.stop,
        partial(focus.move_to, 1.0),
        partial(focus.wait_settled, 1.0),
    ):
        with pytest.raises(DeviceError, match="closed"):
            call()
