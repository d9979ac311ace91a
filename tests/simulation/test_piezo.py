import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from configs.errors import DeviceError, DeviceTimeout, LimitError
from configs.instrument import SimulatedStageConfig, Travel
from drivers.clock import WallClock
from simulation.clock import VirtualClock
from simulation.piezo import ON_TARGET_DWELL_S, ON_TARGET_WINDOW_UM, PiezoAxis
from simulation.stage import SimulatedStage

SQUARE_UM = 0.18


def make_axis(**changes):
    values = {
        "settling_ms": 10.0,
        "slew_um_per_s": 10_000.0,
        "noise_nm": 0.0,
        "reach_um": (0.0, 200.0),
        "start_um": 100.0,
        "random": np.random.default_rng(1),
    }
    return PiezoAxis(**(values | changes))


@pytest.mark.parametrize("settling_ms", [1.0, 10.0, 40.0])
def test_a_step_of_one_square_settles_within_a_nanometre_in_the_settling_time(settling_ms):
    axis = make_axis(settling_ms=settling_ms, slew_um_per_s=math.inf)
    axis.command(100 + SQUARE_UM, 5.0)
    settled_s = 5.0 + settling_ms / 1000
    assert axis.mean_um(settled_s) == pytest.approx(100 + SQUARE_UM - 0.001, abs=1e-7)
    assert abs(axis.mean_um(settled_s - settling_ms / 20_000) - axis.target_um) > 0.001


def test_the_slew_limit_adds_no_more_than_the_time_on_the_ramp():
    axis = make_axis()
    axis.command(100 + SQUARE_UM, 0.0)
    assert abs(axis.mean_um(0.010 + SQUARE_UM / 10_000) - axis.target_um) <= 0.001


def integrated(axis_rate, commands, times, slew):
    """The equation of motion, integrated numerically: position at ``times``."""

    def reference(t):
        where = 100.0
        for (begun, target), (end, _) in zip(
            commands, [*commands[1:], (math.inf, 0)], strict=True
        ):
            if t < begun:
                break
            reach = slew * (min(t, end) - begun)
            where += math.copysign(min(reach, abs(target - where)), target - where)
        return where

    def equation(t, state):
        x, v = state
        return v, axis_rate**2 * (reference(t) - x) - 2 * axis_rate * v

    solution = solve_ivp(
        equation, (0, times[-1]), (100, 0), t_eval=times, rtol=1e-10, atol=1e-10, max_step=1e-4
    )
    return solution.y[0]


def test_closed_form_solves_the_equation_of_motion_through_interrupted_moves():
    commands = [(0.0, 103.0), (0.002, 99.0), (0.012, 101.0), (0.0125, 101.0)]
    times = np.linspace(0, 0.03, 61)
    axis = make_axis(slew_um_per_s=600.0)
    pending, ours = list(commands), []
    for now in times:
        while pending and pending[0][0] <= now:
            begun, target = pending.pop(0)
            axis.command(target, begun)
        ours.append(axis.mean_um(now))
    rate = brentq(lambda s: (1 + s) * math.exp(-s) - 1 / 180, 1, 20) / 0.010
    position = integrated(rate, commands, times, slew=600.0)
    assert np.abs(ours - position).max() / np.ptp(position) < 1e-4


moves = st.lists(st.tuples(st.floats(0, 0.02), st.floats(90, 110)), min_size=1, max_size=6)


@given(moves, st.floats(100, 20_000))
def test_the_axis_never_moves_faster_than_the_slew_rate_nor_beyond_its_targets(steps, slew):
    axis = make_axis(slew_um_per_s=slew)
    now, targets = 0.0, [100.0]
    for pause, target in steps:
        axis.command(target, now)
        targets.append(target)
        positions = [axis.mean_um(moment) for moment in np.linspace(now, now + pause, 20)]
        assert np.abs(np.diff(positions)).max() <= slew * pause / 19 + 1e-9
        assert min(targets) - 1e-9 <= min(positions)
        assert max(positions) <= max(targets) + 1e-9
        now += pause


@given(moves, st.floats(100, 20_000))
def test_settled_is_exactly_when_the_axis_has_dwelt_in_the_window_for_good(steps, slew):
    axis = make_axis(slew_um_per_s=slew)
    now = 0.0
    for pause, target in steps:
        axis.command(target, now)
        last, now = now, now + pause
    settled = axis.settled_s() - ON_TARGET_DWELL_S
    for moment in np.linspace(max(settled, last), settled + 0.1, 200):
        assert abs(axis.mean_um(moment) - axis.target_um) <= ON_TARGET_WINDOW_UM * (1 + 1e-6)
    before = settled - 2e-6
    assert (
        before <= last
        or axis.moving(before)
        or abs(axis.mean_um(before) - axis.target_um) > ON_TARGET_WINDOW_UM * 0.999
    )


@given(st.floats(0.0005, 0.004), st.floats(-1, 1))
def test_settled_is_exact_too_where_the_axis_shoots_through_a_new_target(pause, ahead):
    axis = make_axis(slew_um_per_s=math.inf)
    axis.command(110.0, 0.0)
    braking_um = axis.mean_um(pause + 0.0014) - axis.mean_um(pause)  # about speed over rate
    axis.command(axis.mean_um(pause) + ahead * braking_um, pause)
    settled = axis.settled_s() - ON_TARGET_DWELL_S
    distance = [abs(axis.mean_um(t) - axis.target_um) for t in np.linspace(settled, 0.1, 400)]
    assert max(distance) <= ON_TARGET_WINDOW_UM * (1 + 1e-6)
    before = settled - 1e-7
    assert (
        before <= pause
        or abs(axis.mean_um(before) - axis.target_um) > ON_TARGET_WINDOW_UM * 0.999
    )


def test_looking_does_not_change_the_motion():
    looked, left = make_axis(noise_nm=0.5), make_axis(noise_nm=0.5)
    for axis in (looked, left):
        axis.command(150.0, 0.0)
    for moment in np.linspace(0, 0.05, 1000):
        looked.measured_um(moment)
        looked.actual_um(moment)
    for axis in (looked, left):
        axis.command(140.0, 0.05)
    assert looked.measured_um(0.06) == left.measured_um(0.06)
    assert looked.actual_um(0.06) == left.actual_um(0.06)


def test_noise_has_the_stated_size_in_motion_and_in_reading_independently():
    axis = make_axis(noise_nm=0.5)
    times = np.arange(0, 40, 0.0037)
    motion = np.array([axis.actual_um(t) - axis.mean_um(t) for t in times]) * 1000
    reading = np.array([axis.measured_um(t) - axis.mean_um(t) for t in times]) * 1000
    for noise in (motion, reading):
        assert noise.std() == pytest.approx(0.5, rel=0.03)
        assert abs(noise.mean()) < 0.02
    assert abs(np.corrcoef(motion, reading)[0, 1]) < 0.05


def test_stopping_a_long_move_brings_it_to_rest_where_the_reference_was():
    axis = make_axis()
    axis.command(180.0, 0.0)
    assert axis.moving(0.004)
    axis.stop(0.004)
    assert not axis.moving(0.004)
    assert axis.target_um == pytest.approx(140.0)
    assert axis.mean_um(1.0) == pytest.approx(140.0)
    assert axis.mean_um(0.0041) > axis.mean_um(0.004) + 0.1  # inertia: no dead stop


def test_an_axis_asked_beyond_its_reach_saturates_and_comes_back():
    axis = make_axis(reach_um=(0.0, 120.0))
    axis.command(130.0, 0.0)
    assert axis.mean_um(1.0) == 120.0
    assert axis.saturated(1.0)
    assert axis.settled_s() == math.inf
    axis.command(110.0, 1.0)
    assert axis.settled_s() < 1.02
    assert not axis.saturated(1.1)
    assert axis.mean_um(1.1) == pytest.approx(110.0)


def test_open_loop_there_is_hysteresis():
    axis = make_axis(start_um=0.0)

    def swept(values, now):
        reached = []
        for value in values:
            now += 0.05
            axis.drive(value, now)
            reached.append(axis.mean_um(now + 0.049))
        return np.array(reached), now

    _, now = swept(np.linspace(0, 200, 101), 0.0)
    down, now = swept(np.linspace(200, 0, 101), now)
    up, now = swept(np.linspace(0, 200, 101), now)
    width = (down[::-1] - up).max() / 200
    assert 0.08 < width < 0.15


def test_open_loop_the_axis_creeps_logarithmically_and_a_closed_loop_stops_that():
    axis = make_axis()
    axis.drive(150.0, 0.0)
    reached = [axis.mean_um(t) for t in (0.1, 1.0, 10.0, 100.0)]
    decades = np.diff(reached) / (reached[0] - 100.0)
    assert ((decades > 0.01) & (decades < 0.02)).all()
    assert decades[2] == pytest.approx(decades[1], rel=0.1)
    axis.hold(100.0)
    assert axis.mean_um(1000.0) == axis.mean_um(100.0) == axis.target_um
    axis.command(120.0, 1000.0)
    assert axis.mean_um(1001.0) == pytest.approx(120.0)


def make_stage(clock=None, travel=None, **config):
    return SimulatedStage(
        SimulatedStageConfig(**config), travel or Travel(), clock or VirtualClock(), seed=3
    )


def test_stage_waits_exactly_for_the_slower_axis_and_its_dwell():
    clock = VirtualClock()
    stage = make_stage(clock, noise_nm=0.0)
    stage.move_to(100.18, 150.0)
    stage.wait_settled(1.0)
    settled = clock.now()
    assert settled > 50 / 10_000  # the ramp of y
    assert abs(stage.position()[1] - 150.0) < ON_TARGET_WINDOW_UM
    early = make_stage(clock, noise_nm=0.0)
    begun = clock.now()
    early.move_to(100.18, 150.0)
    clock.sleep(settled - ON_TARGET_DWELL_S - 1e-5)
    assert abs(early.position()[1] - 150.0) > ON_TARGET_WINDOW_UM
    assert clock.now() < begun + settled


def test_a_move_of_one_square_takes_about_the_settling_time():
    clock = VirtualClock()
    stage = make_stage(clock)
    stage.move_to(100.18, 100.0)
    stage.wait_settled(1.0)
    assert clock.now() == pytest.approx(0.010, rel=0.05)


def test_a_timeout_lets_its_time_pass_and_no_more():
    clock = VirtualClock()
    stage = make_stage(clock)
    stage.move_to(200.0, 100.0)
    with pytest.raises(DeviceTimeout, match="raise the timeout"):
        stage.wait_settled(0.003)
    assert clock.now() == 0.003
    stage.wait_settled(1.0)
    assert stage.position()[0] == pytest.approx(200.0, abs=0.004)


def test_waiting_on_a_stage_at_rest_takes_no_time_after_the_dwell():
    clock = VirtualClock()
    stage = make_stage(clock)
    stage.wait_settled(1.0)
    assert clock.now() == pytest.approx(ON_TARGET_DWELL_S)
    stage.wait_settled(1.0)
    assert clock.now() == pytest.approx(ON_TARGET_DWELL_S)


def test_stage_works_in_real_time():
    clock = WallClock()
    stage = make_stage(clock)
    begun = clock.now()
    stage.move_to(100.18, 100.0)
    stage.wait_settled(1.0)
    assert 0.009 < clock.now() - begun < 0.2
    assert stage.position() == pytest.approx((100.18, 100.0), abs=0.004)


def test_the_truth_is_near_the_reading_but_not_the_reading():
    clock = VirtualClock()
    stage = make_stage(clock)
    stage.wait_settled(1.0)
    truth, reading = stage.true_position_um(), stage.position()
    assert truth != reading
    assert truth == pytest.approx(reading, abs=0.004)
    assert truth == stage.true_position_um()


def test_same_seed_same_noise_and_axes_differ():
    first, second = make_stage(), make_stage()
    assert first.position() == second.position()
    x, y = first.position()
    assert x != y


def test_closing_halts_the_stage_and_the_world_still_sees_it():
    clock = VirtualClock()
    stage = make_stage(clock, noise_nm=0.0)
    stage.move_to(200.0, 100.0)
    clock.sleep(0.002)
    stage.close()
    clock.sleep(1.0)
    assert stage.true_position_um() == pytest.approx((120.0, 100.0))
    with pytest.raises(DeviceError, match="closed"):
        stage.position()


@settings(max_examples=50)
@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_targets_outside_the_travel_are_refused_and_nothing_moves(x, y):
    travel = Travel(x_um=(10, 20), y_um=(30, 40))
    stage = make_stage(travel=travel, noise_nm=0.0)
    legal = 10 <= x <= 20 and 30 <= y <= 40
    if legal:
        stage.move_to(x, y)
    else:
        with pytest.raises(LimitError, match="nothing moved"):
            stage.move_to(x, y)
    stage.wait_settled(1.0)
    expected = (x, y) if legal else (15, 35)
    assert stage.position() == pytest.approx(expected, abs=ON_TARGET_WINDOW_UM)
