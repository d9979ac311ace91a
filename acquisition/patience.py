"""When a scan waits, and when it asks whether to go on.

What passes by itself (a warm camera, a laser that is out) is waited for in the dark; after the
rest, and after long waiting, somebody has to say that it goes on. Room on the disk is waited
for without end: nothing is lost meanwhile, and whoever makes it need not ask for more.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from acquisition.frame import Frame, Status
from acquisition.guard import Check
from acquisition.log import ScanLog
from acquisition.observer import Observer
from acquisition.scanner import Scanner
from acquisition.stopping import StopLevel, Stopping
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, RunStoreError

_LEAST_INVALID: Final = 10
"""Fewer are bad luck, whatever share of the points they are."""
_FULL_DISK_PERIOD_S: Final = 1.0
_WAITING_PERIOD_S: Final = 5.0
_TELL_EVERY_S: Final = 600.0


class Patience:
    """Waits, and asks.

    Parameters
    ----------
    scanner
        Says what is not as it must be, and darkens the sample meanwhile.
    writer
        Takes frames once there is room; ``None`` in a rehearsal.
    observer, log
        Asked whether to go on, and told.
    stopping
        Ends every wait.
    correction_um
        Says by how much (x, y) the stage follows the sample now.
    """

    def __init__(
        self,
        scanner: Scanner,
        writer: RunWriter | None,
        observer: Observer,
        log: ScanLog,
        stopping: Stopping,
        correction_um: Callable[[], tuple[float, float]],
    ) -> None:
        self._scanner, self._writer, self._observer = scanner, writer, observer
        self._log, self._stopping, self._correction_um = log, stopping, correction_um
        self._clock = scanner.instrument.clock
        self._limits = scanner.info.instrument.limits
        self._points_since_pause = self._invalid_since_pause = 0

    def heed_limits(self, *, now: bool = False) -> None:
        """Go on only where everything is as it must be; what passes is waited for."""
        unmet = self._scanner.unmet(now=now)
        while unmet is not None:
            if unmet.passes:
                self._scanner.light(on=False)
                self._wait_until(
                    partial(self._is_over, unmet), str(unmet), without_end=unmet.without_end
                )
            else:
                self.pause(str(unmet))
            unmet = self._scanner.unmet(now=True)
        if not self._scanner.is_lit:
            self._scanner.light(on=True)

    def wait_for_light(self, reason: str) -> None:
        """Return once what was bright is bright again."""
        self.heed_limits(now=True)  # the shutter, for one
        self._wait_until(lambda: self._scanner.sees_light(self._correction_um()), reason)

    def judge(self, frame: Frame) -> None:
        """Pause if too many points are invalid."""
        self._points_since_pause += 1
        self._invalid_since_pause += frame.status is not Status.VALID
        points, invalid = self._points_since_pause, self._invalid_since_pause
        if invalid < _LEAST_INVALID or invalid <= self._limits.invalid * points:
            return
        self._points_since_pause = self._invalid_since_pause = 0
        self.pause(
            f"expected at most {self._limits.invalid:.1%} of the points to be invalid, got"
            f" {invalid} of {points}, the last at row {frame.point.row}, column"
            f" {frame.point.column}: {frame.reason}"
        )

    def pause(self, reason: str) -> None:
        """Go on only if somebody says so; ``AcquisitionError`` if nobody does."""
        was_lit = self._scanner.is_lit
        self._scanner.light(on=False)
        self._log.info(f"paused: {reason}")
        with self._stopping.breaking(StopLevel.LINE):
            go_on = self._observer.paused(reason)
        if not go_on:
            raise AcquisitionError(f"{reason}; stopped, the run up to there is safe")
        if was_lit:
            self._scanner.light(on=True)

    def save(self, action: Callable[[RunWriter], None]) -> None:
        """Let the writer do something; where the disk takes no more, wait until it does."""
        if self._writer is None:
            return
        try:
            action(self._writer)
        except RunStoreError as error:
            was_lit = self._scanner.is_lit
            self._scanner.light(on=False)
            self._wait_until(
                partial(self._is_written, self._writer), str(error), without_end=True
            )
            if was_lit:
                self._scanner.light(on=True)

    def _is_over(self, check: Check) -> bool:
        """Say whether something is as it must be again, and the light on unless all is not."""
        unmet = self._scanner.unmet(now=True)
        return self._scanner.is_relit() if unmet is None else unmet.name != check.name

    def _is_written(self, writer: RunWriter) -> bool:
        """Say whether the disk takes what it did not."""
        try:
            writer.flush()
        except RunStoreError:
            self._scanner.unmet()  # raises unless it is dark meanwhile
            return False
        return True

    def _wait_until(
        self, is_well: Callable[[], bool], reason: str, *, without_end: bool = False
    ) -> None:
        """Return once all is well; ask whether to go on after long waiting, if it may end."""
        first = "the scan goes on by itself then" if without_end else "waiting"
        self._log.warning(f"{reason}; {first}")
        waited_s = told_s = 0.0
        while not is_well():
            self._stopping.check(StopLevel.LINE)
            told = f"{reason}, and so for {waited_s:.0f} s"
            if without_end and waited_s >= told_s + _TELL_EVERY_S:
                self._log.warning(told)
                told_s = waited_s
            elif not without_end and waited_s >= self._limits.wait_s:
                self.pause(told)
                waited_s = 0.0
            waited_s += self._wait_for_room() if without_end else self._wait_a_moment()
        self._log.warning("the disk takes frames again" if without_end else "all is well again")

    def _wait_for_room(self) -> float:
        """Wait on the wall's clock, by which disks live; return how long."""
        self._stopping.wait(_FULL_DISK_PERIOD_S)
        return _FULL_DISK_PERIOD_S

    def _wait_a_moment(self) -> float:
        with self._stopping.breaking(StopLevel.LINE):
            self._clock.sleep(_WAITING_PERIOD_S)
        return _WAITING_PERIOD_S
