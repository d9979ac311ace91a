"""Ending a scan: how soon, and who says so.

Ctrl-C once lets the line under way come to its end, twice stops now, three times is an
emergency; SIGTERM stops now; a file ``STOP`` in the run does what it says: ``line`` (or
nothing), ``now`` or ``emergency``.
"""

import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Final

from configs.errors import AcquisitionError

STOP_FILE: Final = "STOP"
_POLL_S: Final = 0.05
_PEACE_S: Final = 0.5
_BY_CTRL_C: Final = "Ctrl-C"
_BY_SIGTERM: Final = "SIGTERM"
# Nobody sends the one, which is ignored elsewhere, to say something; Windows lacks it.
if sys.platform == "win32":
    _WAKE: Final = signal.SIGBREAK
else:
    _WAKE: Final = signal.SIGURG


_TERMINATE: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""From elsewhere, or because the terminal has gone."""


class StopLevel(IntEnum):
    """How soon a scan is to end."""

    NEVER = 0
    LINE = 1
    NOW = 2
    EMERGENCY = 3


class Terminated(SystemExit):
    """SIGTERM has come: everything is tidied up on the way out."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class Stopping:
    """How soon a scan is to end; asked by one thread, and told by others."""

    def __init__(self) -> None:
        self.level = StopLevel.NEVER
        self.reason = ""
        self._breaks_at: StopLevel | None = None
        self._broken_off_s = -math.inf

    def ask(self, level: StopLevel, reason: str) -> None:
        """Let the scan end that soon, or sooner if that was asked before."""
        if level > self.level:
            # No lock: a signal may come in the middle of another one.
            self.level, self.reason = level, reason

    def check(self, level: StopLevel = StopLevel.NOW) -> None:
        """Raise if the scan is to end that soon.

        Raises
        ------
        KeyboardInterrupt
            By Ctrl-C.
        Terminated
            By SIGTERM.
        AcquisitionError
            By anything else.
        """
        if self.level < level:
            return
        if self.reason == _BY_CTRL_C:
            raise KeyboardInterrupt
        if self.reason == _BY_SIGTERM:
            raise Terminated
        raise AcquisitionError(self.reason)

    def wait(self, seconds: float) -> None:
        """Wait, on the wall's clock, unless the scan is to end."""
        end_s = time.monotonic() + seconds
        while self.level == StopLevel.NEVER and time.monotonic() < end_s:
            time.sleep(_POLL_S)

    @contextmanager
    def breaking(self, level: StopLevel) -> Iterator[None]:
        """Let signals go through at once meanwhile, if the scan is to end that soon."""
        before, self._breaks_at = self._breaks_at, level
        try:
            self.check(level)
            yield
        finally:
            self._breaks_at = before

    @property
    def breaks_off(self) -> bool:
        """Whether what the scan is doing is to be broken off."""
        return self._breaks_at is not None and self.level >= self._breaks_at

    def break_off(self) -> None:
        """Raise in whatever the scan is doing, if it may be broken off.

        What tidies up on the way out is left in peace for a moment.
        """
        now_s = time.monotonic()
        if self.breaks_off and now_s >= self._broken_off_s + _PEACE_S:
            self._broken_off_s = now_s
            self.check(StopLevel.LINE)


def _is_let_go(number: int) -> bool:
    """Whether ``nohup`` has asked to survive the terminal."""
    is_hang_up = number == getattr(signal, "SIGHUP", None)
    return is_hang_up and signal.getsignal(number) is signal.SIG_IGN


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP, counted where they come and by whoever reads the pipe.

    A main thread that is stuck in a driver's own code handles no signals; the system
    tells the pipe all the same.
    """

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._handled = dict.fromkeys((signal.SIGINT, *_TERMINATE), 0)
        self._piped = self._handled.copy()
        self.pipe, self._inlet = socket.socketpair()
        for end in (self.pipe, self._inlet):
            end.setblocking(False)

    def __enter__(self) -> "Signals":
        numbers = [n for n in (*self._handled, _WAKE) if not _is_let_go(n)]
        self._before = {number: signal.getsignal(number) for number in numbers}
        self._fd_before = signal.set_wakeup_fd(self._inlet.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        for end in (self.pipe, self._inlet):
            end.close()

    def read_pipe(self) -> None:
        """Count the signals that came by the pipe."""
        for number in self.pipe.recv(4096):
            if number in self._piped:
                self._piped[signal.Signals(number)] += 1
        self._judge()

    def wake(self) -> None:
        """Let the main thread look whether it is to break off what it waits for."""
        if os.name == "nt":
            signal.raise_signal(_WAKE)
        else:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, _WAKE)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number in self._handled:
            self._handled[signal.Signals(number)] += 1
        self._judge()
        self._stopping.break_off()

    def _judge(self) -> None:
        counts = {n: max(self._handled[n], self._piped[n]) for n in self._handled}
        presses, terms = counts.pop(signal.SIGINT), sum(counts.values())
        if presses:
            self._stopping.ask(StopLevel(min(presses, 3)), _BY_CTRL_C)
        if terms:
            self._stopping.ask(StopLevel(min(terms + 1, 3)), _BY_SIGTERM)
