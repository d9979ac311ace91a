"""A scan is stopped: by signals, at three levels, and by a file."""

import dataclasses
import os
import signal
import threading
import time

import pytest
from scan_bench import Trouble, Watcher, assert_valid_frames_are_where_they_belong, run_scan

from acquisition.stopping import Terminated
from acquisition.store import Run
from configs.errors import AcquisitionError, DeviceError
from simulation.shutter import SimulatedShutter


class Signalling(Watcher):
    """Sends signals to its own process at the 13th frame, the fourth of its line."""

    def __init__(self, *numbers):
        super().__init__()
        self._numbers = numbers

    def frame(self, frame):
        super().frame(frame)
        if len(self.frames) == 13:
            for number in self._numbers:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("numbers", "ending", "frames"),
    [
        ([signal.SIGINT], KeyboardInterrupt, 18),
        ([signal.SIGINT, signal.SIGINT], KeyboardInterrupt, 13),
        ([signal.SIGINT] * 3, KeyboardInterrupt, 13),
        ([signal.SIGTERM], Terminated, 13),
        ([signal.SIGINT, signal.SIGTERM], Terminated, 13),
    ],
)
def test_signals_end_the_scan_and_leave_it_safe(
    info, instant, tmp_path, numbers, ending, frames
):
    shutter = SimulatedShutter()
    instant = dataclasses.replace(instant, shutter=shutter)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    watcher = Signalling(*numbers)
    with pytest.raises(ending):
        run_scan(info, instant, tmp_path, watcher)
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.sum() == len(watcher.frames) == frames
    assert_valid_frames_are_where_they_belong(run)
    assert instant.stage.stops >= 1
    assert not shutter.is_open()
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_while_a_scan_ends_change_nothing(info, instant, tmp_path):
    def stop():
        os.kill(os.getpid(), signal.SIGINT)
        instant.stage.stops += 1

    instant.stage.stop = stop
    watcher = Signalling(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, instant, tmp_path, watcher)
    assert instant.stage.stops >= 1
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 13


@pytest.mark.parametrize(
    ("order", "frames"), [("", 18), ("line", 18), ("now\n", 13), ("EMERGENCY", 13)]
)
def test_a_file_stops_the_scan(info, instant, tmp_path, order, frames):
    stop_file = tmp_path / "run.zarr" / "STOP"

    class Remote(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 13:
                stop_file.write_bytes(order.encode("utf-16" if "now" in order else "utf-8"))
                heeded = time.monotonic() + 5
                while stop_file.exists():
                    assert time.monotonic() < heeded

    watcher = Remote()
    with pytest.raises(AcquisitionError, match="stopped by the file"):
        run_scan(info, instant, tmp_path, watcher)
    assert len(watcher.frames) in range(frames, frames + 2)
    assert Run(tmp_path / "run.zarr").points().valid.sum() == len(watcher.frames)
    assert instant.stage.stops >= 1


def test_a_file_that_says_something_else_is_told(info, instant, tmp_path):
    class Remote(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 13:
                (tmp_path / "run.zarr" / "STOP").write_text("please")
                while not self.warnings:
                    pass

    watcher = Remote()
    summary, _ = run_scan(info, instant, tmp_path, watcher)
    assert summary.valid == 63
    assert watcher.warnings == ["STOP: expected line, now or emergency, got 'please'"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_terminal_that_goes_ends_the_scan_and_leaves_it_safe(info, instant, tmp_path):
    bench = dataclasses.replace(instant, shutter=SimulatedShutter())
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may be under nohup
    try:
        with pytest.raises(Terminated):
            run_scan(info, bench, tmp_path, Signalling(signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not bench.shutter.is_open()
    assert Run(tmp_path / "run.zarr").points().valid.sum() >= 13


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_nohup_is_heeded(info, instant, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        summary, _ = run_scan(info, instant, tmp_path, Signalling(signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert summary.valid == 63


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows wakes nobody")
def test_a_file_ends_a_scan_that_somebody_is_asked_about(info, instant, tmp_path):
    answers = []

    class Absent(Watcher):
        def paused(self, reason):
            (tmp_path / "run.zarr" / "STOP").touch()
            answers.append(threading.Event().wait(10))
            return True

    instant.camera.snap = Trouble(instant.camera.snap, range(20, 1000), DeviceError("gone"))
    with pytest.raises(AcquisitionError, match="stopped by the file"):
        run_scan(info, instant, tmp_path, Absent())
    assert not answers, "nobody was waited for"
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 20
