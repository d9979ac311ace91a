"""The simulated focus drive, and what it does to the light."""

import numpy as np
import pytest

from configs.errors import DeviceTimeout
from configs.instrument import SimulatedFocusConfig
from simulation.clock import VirtualClock
from simulation.focus import SimulatedFocus


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def focus(clock):
    config = SimulatedFocusConfig(range_um=(0.0, 100.0), noise_nm=0.5)
    return SimulatedFocus(config, clock, np.random.default_rng(1))


def test_it_starts_in_the_middle_where_the_defocus_is_the_nominal_one(focus):
    assert focus.position() == pytest.approx(50, abs=0.003)
    assert focus.defocus_um() == pytest.approx(0, abs=0.003)


def test_a_rising_position_takes_the_sample_away_from_the_camera(focus):
    focus.move_to(50.2)
    focus.wait_settled(2.0)
    assert focus.defocus_um() == pytest.approx(0.2, abs=0.004)
    assert focus.position() == pytest.approx(50.2, abs=0.004)


def test_moves_take_their_time_and_a_deadline_may_pass(focus, clock):
    focus.move_to(90.0)
    with pytest.raises(DeviceTimeout, match=r"within 0\.002 s"):
        focus.wait_settled(0.002)
    assert focus.position() < 89
    focus.wait_settled(2.0)
    assert focus.position() == pytest.approx(90, abs=0.004)
    assert clock.now() == pytest.approx(0.06, abs=0.01)


def test_stop_halts_a_move(focus):
    focus.move_to(90.0)
    focus.stop()
    focus.wait_settled(2.0)
    assert focus.position() < 89
