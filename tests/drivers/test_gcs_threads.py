"""Stopping a GCS stage from one thread while another talks to it."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import GcsStageConfig, Travel
from drivers.gcs import GcsStage
from drivers.gcs_protocol import STOP, STOPPED, GcsRefusal
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.serial_line import DEFAULT_TRANSPORT, SerialLine, Transport

REPLY_TIMEOUT_S = 0.5
PATIENCE_S = 10.0
READS_PER_STOP = 7
TRANSPORTS: list[Transport] = ["tcp"] if sys.platform == "win32" else ["pty", "tcp"]


class Holding:
    """A controller that may keep an exchange back until it is told to stop.

    Attributes
    ----------
    held
        What becomes of the next exchange: it is carried out, and answered after the stop
        (``replies``); it is carried out after the stop (``commands``); neither (``all``).
    asked, stopped
        That exchange, and the stop byte after it, have come.
    heard
        Everything that came.
    """

    def __init__(self, controller: GcsController) -> None:
        self._controller = controller
        self._kept = b""
        self.held = ""
        self.asked, self.stopped = threading.Event(), threading.Event()
        self.heard = b""

    def feed(self, data: bytes) -> bytes:
        self.heard += data
        if not self.held:
            return self._controller.feed(data)
        if STOP not in data:
            self._kept += self._controller.feed(data) if self.held == "replies" else data
            if self.heard.endswith(b"ERR?\n"):
                self.asked.set()
            return b""
        answer = self._controller.feed(STOP)
        self.stopped.set()
        if self.held == "replies":
            answer += self._kept
        elif self.held == "commands":
            answer += self._controller.feed(self._kept)
        self.held = ""
        return answer


@contextmanager
def opened(
    transport: Transport = DEFAULT_TRANSPORT, timeout_s: float = REPLY_TIMEOUT_S
) -> Iterator[tuple[GcsStage, Holding, GcsController]]:
    clock = VirtualClock()
    controller = GcsController(clock, Travel())
    device = Holding(controller)
    with SerialLine(device, transport=transport) as line:
        config = GcsStageConfig(kind="gcs", port=line.port, reply_timeout_s=timeout_s)
        stage = GcsStage(config, Travel(), clock)
        yield stage, device, controller
        stage.close()


def take_points(stage: GcsStage) -> None:
    for index in range(3):
        target = (100 + 0.18 * index, 100 - 0.18 * index)
        stage.move_to(*target)
        stage.wait_settled(1.0)
        assert stage.position() == pytest.approx(target, abs=0.02)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("held", "outcome"),
    [("replies", type(None)), ("commands", GcsRefusal), ("all", DeviceTimeout)],
)
def test_stop_goes_out_while_another_thread_waits_for_a_reply(
    transport: Transport, held: str, outcome: type
) -> None:
    with opened(transport) as (stage, device, controller):
        stage.move_to(190, 100)
        device.held = held
        with ThreadPoolExecutor(1) as another:
            waiting = another.submit(stage.wait_settled, 1.0)
            assert device.asked.wait(PATIENCE_S)
            stage.stop()
            assert device.stopped.wait(PATIENCE_S)
            assert held != "all" or not waiting.done()  # nor has the stop waited for that
            assert type(waiting.exception(PATIENCE_S)) is outcome
        stage._clock.sleep(1.0)
        assert controller.true_position_um()[0] < 115
        take_points(stage)


def held_reading(stage: GcsStage, patch: pytest.MonkeyPatch) -> tuple[threading.Event, ...]:
    """Make reads of the port wait: (one has begun, they may go on)."""
    begun, released, read = threading.Event(), threading.Event(), stage._link._port.read

    def wait_and_read(size: int) -> bytes:
        begun.set()
        assert released.wait(PATIENCE_S)
        return read(size)

    patch.setattr(stage._link._port, "read", wait_and_read)
    return begun, released


def test_a_move_called_before_a_stop_does_not_start_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened() as (stage, device, controller):
        stage._link._in_step = False  # so that it first waits for the line to be quiet
        begun, released = held_reading(stage, monkeypatch)
        with ThreadPoolExecutor(1) as another:
            moving = another.submit(stage.move_to, 190, 100)
            assert begun.wait(PATIENCE_S)
            stage.stop()
            released.set()
            error = moving.exception(PATIENCE_S)
        assert isinstance(error, GcsRefusal)
        assert error.code == STOPPED
        assert b"MOV" not in device.heard
        stage._clock.sleep(1.0)
        assert controller.true_position_um() == pytest.approx((100, 100), abs=0.02)
        take_points(stage)


class GuardedReads:
    """Reads of a port: notes where two overlap, and gives a signal every few reads."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._reading = threading.Lock()
        self._count = 0
        self.overlaps = 0
        self.signals = threading.Semaphore(0)

    def __call__(self, size: int) -> bytes:
        if not self._reading.acquire(blocking=False):
            self.overlaps += 1
            return b""
        try:
            self._count += 1
            if self._count % READS_PER_STOP == 0:
                self.signals.release()
            return self._read(size)
        finally:
            self._reading.release()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_stops_during_a_scan_spoil_nothing(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan() -> None:
        for index in range(40):
            with suppress(GcsRefusal):  # stopped, as it may be at any moment
                stage.move_to(100 + index, 100)
                stage.wait_settled(1.0)
                stage.position()

    with opened(transport, timeout_s=PATIENCE_S) as (stage, device, _):
        reads = GuardedReads(stage._link._port.read)
        monkeypatch.setattr(stage._link._port, "read", reads)
        with ThreadPoolExecutor(1) as another:
            scanning = another.submit(scan)
            while not scanning.done():
                if reads.signals.acquire(timeout=0.1):
                    stage.stop()
            scanning.result()
        assert reads.overlaps == 0
        assert device.heard.count(STOP) > 10
        take_points(stage)


def test_reconnecting_ends_an_exchange_that_hangs_in_another_thread() -> None:
    with opened(timeout_s=PATIENCE_S) as (stage, device, _):
        device.held = "all"
        with ThreadPoolExecutor(1) as another:
            waiting = another.submit(stage.position)
            assert device.asked.wait(PATIENCE_S)
            device.held = ""
            stage.reconnect()
            with pytest.raises(DeviceError, match="one that was closed"):
                waiting.result(0)
        take_points(stage)
