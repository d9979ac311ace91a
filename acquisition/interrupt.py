"""Ctrl-C, held back while a point is under way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C has been pressed, for whoever is between two points."""

    def __init__(self) -> None:
        self._requested = False
        self._at_once = False
        self._ignored = False

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if Ctrl-C has been pressed."""
        if self._requested:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Hold nothing back meanwhile."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Let nothing through meanwhile: the end of a scan is under way."""
        self._ignored = True
        try:
            yield
        finally:
            self._ignored = False

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C; the second one goes through."""
        if self._ignored:
            return
        if self._requested or self._at_once:
            raise KeyboardInterrupt
        self._requested = True


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Let Ctrl-C wait for the point under way; only the main thread gets signals."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
