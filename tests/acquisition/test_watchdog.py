"""The watchdog: the hardware is safe while the scan hangs in a device."""

import dataclasses
import hashlib
import json
import os
import signal
import sys
import threading
import time

import pytest

import acquisition.scanner
from acquisition.engine import scan
from acquisition.instrument import make_safe
from acquisition.observer import SilentObserver
from acquisition.stopping import StopLevel, Stopping
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceError
from simulation.shutter import SimulatedShutter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture
def bench(instant):
    return dataclasses.replace(instant, shutter=SimulatedShutter())


class Hang:
    """Takes the place of a method, and hangs in it from some call on, until it is let go."""

    def __init__(self, method, after, wait):
        self._method, self._left, self._wait = method, after, wait
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, *arguments):
        self._left -= 1
        if self._left == 0:
            self.begun_s = time.monotonic()
            self.begun.set()
            try:
                self._wait()
            finally:
                self.ended.set()
        return self._method(*arguments)


def press_ctrl_c(hang, bench, times, seen):
    """Press it once a device hangs, and note whether it lets go before all is safe."""

    def press():
        hang.begun.wait()
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)  # the system makes one of two signals at a time
        pressed_s = time.monotonic()
        while bench.shutter.is_open() or not bench.stage.stops:
            if time.monotonic() > pressed_s + 5:
                return
        seen.append(hang.ended.is_set())

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def in_python():
    threading.Event().wait(60)


def in_c():
    """Half a second or more without a look at signals, as in a driver's own code."""
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1_500_000)


@pytest.mark.parametrize(("wait", "presses"), [(in_python, 2), (in_c, 3)])
def test_ctrl_c_makes_safe_what_hangs(make_info, small_plan, bench, tmp_path, wait, presses):
    hang = Hang(bench.camera.snap, 15, wait)
    bench.camera.snap = hang
    seen = []
    thread = press_ctrl_c(hang, bench, presses, seen)
    with (
        pytest.raises(KeyboardInterrupt),
        RunWriter.create(tmp_path / "run.zarr", make_info(small_plan)) as writer,
    ):
        scan(writer.info, bench, writer, SilentObserver())
    thread.join()
    assert seen, "safe at all"
    if wait is in_c:
        assert seen == [False], "safe before the device came back"
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 14


def test_a_call_that_hangs_over_its_deadline_is_an_emergency(
    make_info, small_plan, bench, tmp_path
):
    hang = Hang(bench.stage.wait_settled, 15, in_python)
    bench.stage.wait_settled = hang
    timing = {"move_timeout_s": 0.01}
    info = make_info(small_plan, timing=timing)
    with (
        pytest.raises(AcquisitionError, match=r"stage: settle: .*the device hangs"),
        RunWriter.create(tmp_path / "run.zarr", info) as writer,
    ):
        scan(info, bench, writer, SilentObserver())
    assert bench.stage.stops
    assert not bench.shutter.is_open()
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 10
    log = (tmp_path / "run.zarr" / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in log]
    assert any(event["message"] == "emergency: stopped and dark" for event in events)


def test_a_device_that_hangs_keeps_no_other_from_being_safe(bench):
    bench.stage.stop = in_python
    bench.shutter.set_open(True)
    began_s = time.monotonic()
    problems = make_safe(bench, 0.2)
    assert time.monotonic() < began_s + 1
    assert problems == ["stage stopped: not within 0.2 s: check it by hand"]
    assert not bench.shutter.is_open()


def test_a_shutter_that_stays_open_is_told(bench):
    class Jammed(SimulatedShutter):
        def is_open(self):
            return True

    jammed = dataclasses.replace(bench, shutter=Jammed())
    (problem,) = make_safe(jammed, 0.2)
    assert "expected it closed after being told so, got it open" in problem
    jammed.light(on=True)
    with pytest.raises(DeviceError, match="mind the beam"):
        jammed.light(on=False)


def test_a_shutter_that_sticks_is_connected_anew_and_closed(bench):
    class Sticks(SimulatedShutter):
        sticks = True

        def set_open(self, is_open):
            if is_open or not self.sticks:
                super().set_open(is_open)

        def reconnect(self):
            self.sticks = False

    sticking = dataclasses.replace(bench, shutter=Sticks())
    sticking.light(on=True)
    assert make_safe(sticking, 5.0) == []
    assert not sticking.shutter.is_open()


def test_the_light_is_on_only_while_it_scans(make_info, small_plan, bench):
    states = []

    class Looks(SilentObserver):
        def begin(self, info, there):
            states.append(bench.shutter.is_open())

        def frame(self, frame):
            states.append(bench.shutter.is_open())

    scan(make_info(small_plan), bench, None, Looks())
    assert states == [False] + [True] * 63
    assert not bench.shutter.is_open()


def test_what_was_asked_for_first_is_not_taken_back():
    stopping = Stopping()
    stopping.ask(StopLevel.NOW, "the file")
    stopping.ask(StopLevel.LINE, "somebody else")
    with pytest.raises(AcquisitionError, match="the file"):
        stopping.check()


def test_a_device_that_hangs_before_the_first_move_is_an_emergency(info, bench, monkeypatch):
    monkeypatch.setattr(acquisition.scanner, "_LOOK_S", 0.0)
    bench.shutter.is_open = Hang(bench.shutter.is_open, 1, in_python)
    with pytest.raises(AcquisitionError, match=r"looking at limits: .*the device hangs"):
        scan(info, bench, None, SilentObserver())
    assert bench.stage.stops
    assert bench.stage.moves == 0


def test_who_stops_now_does_not_wait_for_a_reconnection(make_info, small_plan, bench):
    """Nor for the devices that would be connected anew after it."""

    class Lost:
        def __call__(self):
            raise DeviceError("camera: expected it to stop, got no answer")

    bench.camera.snap = Hang(bench.camera.snap, 15, Lost())
    bench.camera.stop = Lost()
    hang = Hang(lambda: None, 1, in_python)
    bench.camera.reconnect = hang
    seen = []
    thread = press_ctrl_c(hang, bench, 2, seen)
    with pytest.raises(KeyboardInterrupt):
        scan(make_info(small_plan), bench, None, SilentObserver())
    ended_s = time.monotonic()
    thread.join()
    assert hang.begun.is_set()
    assert ended_s < hang.begun_s + 2
