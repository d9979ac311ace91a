"""The driver against the simulated controller, over good, bad and dying lines."""

import sys
import threading
from contextlib import contextmanager

import pytest
import serial

from configs.errors import DeviceError, DeviceTimeout, LimitError, ProtocolError
from configs.instrument import GcsStageConfig, SimulatedStageConfig, Travel
from drivers.clock import WallClock
from drivers.gcs import GcsStage
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.line_faults import LineFaults
from simulation.serial_line import LinePace, SerialLine

REPLY_TIMEOUT_S = 0.15
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def config(port, **changes):
    values = {"kind": "gcs", "port": port, "reply_timeout_s": REPLY_TIMEOUT_S}
    return GcsStageConfig(**(values | changes))


@contextmanager
def opened(*, faults=None, timeout_s=REPLY_TIMEOUT_S, transport="pty", **changes):
    """A stage on a simulated controller: (stage, controller, line)."""
    if sys.platform == "win32":
        transport = "tcp"
    clock = VirtualClock()
    controller = GcsController(clock, Travel(), **changes)
    with SerialLine(controller, faults=faults, transport=transport) as line:
        stage = GcsStage(config(line.port, reply_timeout_s=timeout_s), Travel(), clock)
        yield stage, controller, line
        stage.close()


@ON_POSIX
def test_a_port_in_use_is_refused():
    with opened() as (stage, _, line):
        with pytest.raises(DeviceError, match="ports present"):
            GcsStage(config(line.port), Travel(), VirtualClock())
        stage.position()


def test_a_simulated_controller_is_recognised_by_itself():
    with opened() as (stage, _, _):
        assert stage.identity.origin == "simulated"


def test_a_limit_that_only_the_controller_knows_is_a_limit_error():
    with opened() as (stage, controller, _):
        stage._travel = Travel(x_um=(0, 300), y_um=(0, 300))
        with pytest.raises(LimitError, match=r"MOV.*got 7 \(position limit\)"):
            stage.move_to(201, 20)
        stage.wait_settled(1.0)
        assert controller.true_position_um() == pytest.approx((100, 100), abs=0.01)


def test_a_saturated_loop_is_reported_not_waited_for():
    with opened(reach=Travel(x_um=(0, 200), y_um=(0, 150))) as (stage, _, _):
        stage.move_to(100, 180)
        begun_s = stage._clock.now()
        with pytest.raises(DeviceError, match="axis 2 with its control loop") as caught:
            stage.wait_settled(60.0)
        assert not isinstance(caught.value, DeviceTimeout)
        assert stage._clock.now() - begun_s < 0.1
        stage.move_to(100, 120)
        stage.wait_settled(1.0)
        assert stage.position() == pytest.approx((100, 120), abs=0.02)


def test_a_servo_that_drops_out_is_reported():
    with opened() as (stage, controller, _):
        controller.feed(b"SVO 2 0\n")
        with pytest.raises(DeviceError, match="servo off for axis 2"):
            stage.wait_settled(0.02)
        with pytest.raises(DeviceError, match="servo off"):
            stage.move_to(1, 1)


def test_a_move_too_slow_for_its_deadline_times_out_naming_the_axis():
    slow = SimulatedStageConfig(slew_um_per_s=10.0)
    with opened(mechanics=slow) as (stage, _, _):
        stage.move_to(150, 100)
        with pytest.raises(DeviceTimeout, match=r"within 1 s, got axis 1 still off"):
            stage.wait_settled(1.0)
        assert stage._clock.now() == pytest.approx(1.0, abs=0.01)


def scan(stage, points=3):
    for index in range(points):
        target = (100 + 0.18 * index, 100 - 0.18 * index)
        stage.move_to(*target)
        stage.wait_settled(1.0)
        assert stage.position() == pytest.approx(target, abs=0.02)


@pytest.mark.parametrize("transport", ["pty", "tcp"])
def test_replies_in_pieces_and_with_stray_nuls_are_read_as_they_were(transport):
    faults = LineFaults(split=0.7, nul=0.5, seed=2)
    with opened(faults=faults, transport=transport, timeout_s=2.0) as (stage, _, _):
        scan(stage)


def test_a_late_reply_is_waited_for_within_the_timeout():
    with opened(faults=LineFaults(delay=1.0, delay_s=0.01), timeout_s=2.0) as (stage, _, _):
        scan(stage, points=1)


def test_a_reply_longer_than_the_timeout_is_read_as_long_as_bytes_come():
    faults = LineFaults()
    with opened(faults=faults) as (stage, _, _):
        faults.split, faults.delay, faults.delay_s = 1.0, 1.0, 0.01
        assert stage.position() == pytest.approx((100, 100), abs=0.02)
        faults.split = faults.delay = 0.0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"drop": 1.0}, DeviceTimeout),
        ({"coalesce": 1.0}, DeviceTimeout),
        ({"delay": 1.0, "delay_s": 0.25}, DeviceTimeout),
        ({"garbage": 1.0}, ProtocolError),
        ({"stale": 1.0}, ProtocolError),
    ],
)
def test_a_spoilt_reply_is_an_error_that_names_the_command_and_then_all_is_well(fault, error):
    faults = LineFaults()
    with opened(faults=faults) as (stage, _, _):
        scan(stage, points=1)
        for name, value in fault.items():
            setattr(faults, name, value)
        with pytest.raises(error, match=r"MOV 1 120\.0000 2 100\.0000: "):
            stage.move_to(120, 100)
        for name in fault:
            setattr(faults, name, 0.0)
        scan(stage)


def test_an_exchange_that_was_interrupted_does_not_spoil_the_next(monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    with opened() as (stage, _, _):
        with monkeypatch.context() as patched:
            patched.setattr(stage._link._port, "read", interrupt)
            with pytest.raises(KeyboardInterrupt):
                stage.position()
        scan(stage)


def test_a_silent_controller_fails_every_call_until_it_answers_again():
    faults = LineFaults()
    with opened(faults=faults, timeout_s=0.1) as (stage, _, _):
        faults.drop = 1.0
        with pytest.raises(DeviceTimeout, match="silent now"):
            stage.position()
        with pytest.raises(DeviceTimeout, match="check power and cable"):
            stage.position()
        faults.drop = 0.0
        scan(stage)


def test_stop_reaches_the_axes_even_when_no_reply_comes_back():
    faults = LineFaults()
    with opened(faults=faults, timeout_s=0.1) as (stage, controller, _):
        faults.drop = 1.0
        with pytest.raises(DeviceTimeout):
            stage.move_to(200, 100)
        stage._clock.sleep(0.001)
        with pytest.raises(DeviceTimeout):
            stage.stop()
        stage._clock.sleep(1.0)
        assert controller.true_position_um()[0] < 115
        faults.drop = 0.0


def test_on_a_bad_line_a_point_either_fails_or_is_where_it_should_be():
    faults = LineFaults(seed=7)
    with opened(faults=faults) as (stage, controller, _):
        stage._link._timeout_s = 0.03  # time out often, but not while opening
        faults.drop = faults.garbage = faults.stale = faults.coalesce = 0.01
        faults.nul = faults.split = 0.2
        good = failed = 0
        for index in range(40):
            target = (100 + 0.18 * (index % 13), 100 + 0.18 * (index % 7))
            try:
                stage.move_to(*target)
                stage.wait_settled(1.0)
                position = stage.position()
            except DeviceError:
                failed += 1
                continue
            good += 1
            assert controller.true_position_um() == pytest.approx(target, abs=0.02)
            assert position == pytest.approx(target, abs=0.02)
        assert good > 10
        assert failed > 3
        faults.drop = faults.garbage = faults.stale = faults.coalesce = 0.0


def test_a_controller_of_the_first_generation_is_refused_clearly():
    controller = GcsController(VirtualClock(), Travel(), generation=1)
    with (
        SerialLine(controller) as line,
        pytest.raises(DeviceError, match=r"expected .*GCS 2\.0.*E-516.*another language"),
    ):
        GcsStage(config(line.port), Travel(), VirtualClock())


@ON_POSIX
def test_a_device_that_vanishes_during_a_scan_is_an_error_and_the_port_is_released():
    with SerialLine(GcsController(VirtualClock(), Travel())) as line:
        stage = GcsStage(config(line.port), Travel(), VirtualClock())
        stage.move_to(101, 101)
        line.close()
        for call in (stage.position, stage.stop, lambda: stage.wait_settled(1.0)):
            with pytest.raises(
                DeviceError, match=f"{line.port}: expected a working serial line"
            ):
                call()
        with pytest.raises(DeviceError, match="working serial line"):
            stage.close()
        assert not stage._link._port.is_open
        stage.close()


def test_it_works_in_real_time():
    clock = WallClock()
    with SerialLine(GcsController(clock, Travel())) as line:
        stage = GcsStage(config(line.port, reply_timeout_s=2.0), Travel(), clock)
        begun_s = clock.now()
        stage.move_to(100.18, 100)
        stage.wait_settled(2.0)
        assert clock.now() - begun_s > 0.009
        assert stage.position() == pytest.approx((100.18, 100), abs=0.02)
        stage.close()


def test_the_speed_of_the_line_passes_on_the_clock():
    clock = VirtualClock()
    pace = LinePace(clock, baud_rate=9600, latency_s=0.016)
    with SerialLine(GcsController(clock, Travel()), pace=pace) as line:
        stage = GcsStage(config(line.port, reply_timeout_s=2.0), Travel(), clock)
        begun_s = clock.now()
        stage.position()
        sent, received = len("POS? 1 2\nERR?\n"), len("1=100.00000000 \n2=100.00000000\n0\n")
        # One digit more or less before the point, as the noise will have it.
        assert clock.now() - begun_s == pytest.approx(
            0.016 + (sent + received) * 10 / 9600, abs=0.003
        )
        stage.close()


FOREIGN = [OSError(5, "Input/output error"), serial.SerialException("gone")]
if sys.platform != "win32":
    import termios

    FOREIGN.append(termios.error(5, "Input/output error"))


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: type(error).__name__)
def test_no_foreign_error_gets_through(foreign, monkeypatch):
    def fail(*_args, **_kwargs):
        raise foreign

    with opened() as (stage, _, line):
        for method in ("read", "write"):
            with monkeypatch.context() as patched:
                patched.setattr(stage._link._port, method, fail)
                with pytest.raises(DeviceError, match="working serial line") as caught:
                    stage.position()
            assert caught.value.__cause__ is foreign
        monkeypatch.setattr(serial, "serial_for_url", fail)
        with pytest.raises(DeviceError, match="ports present") as caught:
            GcsStage(config(line.port), Travel(), VirtualClock())
        assert caught.value.__cause__ is foreign


def test_lines_leave_no_thread_behind():
    before = threading.active_count()
    with opened(), opened(transport="tcp"):
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
