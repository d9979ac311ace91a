"""Looks after a scan from outside: signals, the file ``STOP``, and calls that hang."""

import select
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from acquisition.instrument import Instrument, make_safe
from acquisition.log import ScanLog
from acquisition.stopping import STOP_FILE, Signals, StopLevel, Stopping

_PERIOD_S: Final = 0.05
_SAFE_WITHIN_S: Final = 0.2
_GRACE_S: Final = 2.0
"""Beyond the deadline that a driver keeps itself."""
_ORDERS: Final = {
    "": StopLevel.LINE,
    "line": StopLevel.LINE,
    "now": StopLevel.NOW,
    "emergency": StopLevel.EMERGENCY,
}


def _text(data: bytes) -> str:
    """Read what any shell may have written, such as UTF-16 with its mark."""
    return data.decode("latin-1").replace("\0", "").lstrip("\xff\xfe\xef\xbb\xbf")


class Watchdog:
    """A thread beside the scan that makes the hardware safe when the scan cannot.

    Parameters
    ----------
    instrument
        What is made safe.
    stopping
        Learns of signals, of the file, and of the emergency.
    run
        Where a file ``STOP`` is looked for; ``None`` in a rehearsal.
    log
        Takes what is to be told, on the thread of the watchdog.

    Signals are heeded only where the scan runs on the main thread, which alone gets them.
    """

    def __init__(
        self,
        instrument: Instrument,
        stopping: Stopping,
        run: Path | None,
        log: ScanLog,
    ) -> None:
        self._instrument, self._stopping, self._log = instrument, stopping, log
        self._stop_file = None if run is None else run / STOP_FILE
        self._call: tuple[str, float] | None = None
        self._heard = StopLevel.NEVER
        self._woken_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._signals: Signals | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._signals = self._resources.enter_context(Signals(self._stopping))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._resources.close()

    def expect(self, doing: str, within_s: float) -> None:
        """Learn that a device is being called, and when it is to have answered."""
        self._call = doing, time.monotonic() + within_s + _GRACE_S

    def answered(self) -> None:
        """Learn that it has."""
        self._call = None

    def _watch(self) -> None:
        while not self._end.is_set():
            self._wait()
            try:
                self._look_for_file()
            except OSError as error:  # the terminal that is told may have gone
                self._log.info(f"{STOP_FILE}: {error}")
            call = self._call
            if call is not None and time.monotonic() > call[1]:
                self._stopping.ask(
                    StopLevel.EMERGENCY,
                    f"{call[0]}: expected an answer long ago, got none: the device hangs;"
                    " check its power and cable",
                )
            self._answer()

    def _wait(self) -> None:
        if self._signals is None:
            self._end.wait(_PERIOD_S)
        elif select.select([self._signals.pipe], [], [], _PERIOD_S)[0]:
            self._signals.read_pipe()

    def _look_for_file(self) -> None:
        if self._stop_file is None or not self._stop_file.exists():
            return
        try:
            order = _text(self._stop_file.read_bytes()).strip().lower()
            if order in _ORDERS:
                self._stopping.ask(_ORDERS[order], f"stopped by the file {self._stop_file}")
            else:
                self._log.warning(
                    f"{STOP_FILE}: expected line, now or emergency, got {order[:40]!r}"
                )
            self._stop_file.unlink()
        except OSError as error:
            self._log.warning(f"{STOP_FILE}: {error}")

    def _wake(self) -> None:
        """Let the scan look, now and then, whether it is to break off."""
        now_s = time.monotonic()
        if self._signals is not None and now_s > self._woken_s + _PERIOD_S:
            self._woken_s = now_s  # which is a signal, and comes by the pipe
            self._signals.wake()

    def _answer(self) -> None:
        """Say, once each, what has been asked; see to it in an emergency."""
        level = self._stopping.level
        if self._stopping.breaks_off:  # another thread may have had the signal
            self._wake()
        if level == self._heard:
            return
        self._heard = level
        if level == StopLevel.EMERGENCY:
            problems = make_safe(self._instrument, _SAFE_WITHIN_S)
            self._log.warning("emergency: " + ("; ".join(problems) or "stopped and dark"))
        elif level == StopLevel.LINE:
            self._log.warning("this line is the last; Ctrl-C again stops now")
