"""Whoever watches a scan."""

from collections.abc import Iterator
from typing import Protocol

from acquisition.frame import Frame, LandmarkVisit
from acquisition.guard import Check
from acquisition.store import RunInfo


class Observer(Protocol):
    """Whoever watches a scan; called from the scan's thread, so it must not block."""

    def begin(self, info: RunInfo, there: Iterator[Frame]) -> None:
        """Learn what is going to be scanned, and what frames a run has already."""
        ...

    def checked(self, checks: list[Check]) -> None:
        """Learn what was looked at before the first move, whether all is well or not."""
        ...

    def frame(self, frame: Frame) -> None:
        """Take a frame, valid or not, in the order of the scan."""
        ...

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        ...

    def warning(self, message: str) -> None:
        """Take notice of something that does not stop the scan."""
        ...

    def paused(self, reason: str) -> bool:
        """Say whether to go on; the only call that may take its time."""
        ...


class SilentObserver:
    """Watches nothing and ends the scan at every pause: nobody is there to decide."""

    def begin(self, info: RunInfo, there: Iterator[Frame]) -> None:
        """Ignore the beginning."""

    def checked(self, checks: list[Check]) -> None:
        """Ignore the checks: those that fail end the scan."""

    def frame(self, frame: Frame) -> None:
        """Ignore a frame."""

    def landmark(self, visit: LandmarkVisit) -> None:
        """Ignore a visit."""

    def warning(self, message: str) -> None:
        """Ignore a warning."""

    def paused(self, reason: str) -> bool:
        """Stop."""
        return False
