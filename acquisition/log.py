"""What happened during a scan: one line of JSON per event in the run, warnings on screen."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

LOG: Final = "log.jsonl"


class ScanLog:
    """Takes events, from any thread.

    Parameters
    ----------
    show
        Puts a warning on the screen.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._logger = logging.Logger("scan")  # of its own: nobody else's settings apply
        self._logger.addHandler(logging.NullHandler())

    def info(self, message: str, *, device: str = "", point: int | None = None) -> None:
        """Keep an event."""
        self._logger.info(message, extra={"device": device, "point": point})

    def warning(self, message: str, *, device: str = "", point: int | None = None) -> None:
        """Keep an event, and show it."""
        self._logger.warning(message, extra={"device": device, "point": point})
        self._show(message)

    @contextmanager
    def kept_in(self, run: Path | None) -> Iterator[None]:
        """Append events to the log of a run meanwhile, if there is one."""
        if run is None:
            yield
            return
        handler = _Kept(run / LOG, encoding="utf-8")
        handler.setFormatter(_AsJson())
        self._logger.addHandler(handler)
        try:
            yield
        finally:
            self._logger.removeHandler(handler)
            handler.close()


class _Kept(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Let the scan go on without its log: a full disk is told by who writes frames."""


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = {
            "time": time,
            "level": record.levelname.lower(),
            "device": record.__dict__["device"],
            "point": record.__dict__["point"],
            "message": record.getMessage(),
        }
        return json.dumps(event)
