"""The scan: line by line, then once more what failed.

A point that cannot be taken is tried again, then marked invalid and left for the end; its
neighbours keep their places. Whatever ends the scan, the stage is stopped, the shutter
closed, and everything taken is on disk.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from acquisition.drift import DriftWatch
from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.frame_checks import LightLost
from acquisition.instrument import Instrument, make_safe
from acquisition.observer import Observer
from acquisition.plan import ScanPoint
from acquisition.scanner import Scanner
from acquisition.stopping import StopLevel, Stopping
from acquisition.store import RunInfo
from acquisition.watchdog import Watchdog
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, RunStoreError

_LEAST_INVALID: Final = 10
"""Fewer are bad luck, whatever share of the points they are."""
_SAFE_WITHIN_S: Final = 5.0
_FULL_DISK_PERIOD_S: Final = 1.0
_DARK_PERIOD_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What came of a scan."""

    points: int
    valid: int
    seconds: float
    """On the instrument's clock."""


def scan(
    info: RunInfo, instrument: Instrument, writer: RunWriter | None, observer: Observer
) -> ScanSummary:
    """Take every point of a plan that a run has not got yet.

    Parameters
    ----------
    info, instrument
        What to scan, and with what.
    writer
        Where frames are kept, and are already; ``None`` rehearses.
    observer
        Sees every frame.

    Raises
    ------
    LimitError
        If any point lies outside the travel limits; nothing has moved then.
    AcquisitionError
        If a pause, a file ``STOP`` or a device that hangs ends the scan.
    KeyboardInterrupt, Terminated
        By Ctrl-C and SIGTERM, see ``acquisition.stopping``.
    """
    info.plan.check_travel(instrument.stage.limits)
    observer.begin(info)
    stopping = Stopping()
    path = None if writer is None else writer.path
    with (
        Watchdog(instrument, stopping, path, observer.warning) as watchdog,
        _left_safe(instrument, observer, watchdog),
    ):
        began_s = instrument.clock.now()
        if writer is not None:
            began_s -= writer.points.latest_s
        scanner = Scanner(info, instrument, observer, stopping, watchdog, began_s)
        session = _Scan(scanner, writer, observer, stopping)
        session.run()
        taken, valid = session.status != Status.PENDING, session.status == Status.VALID
        return ScanSummary(int(taken.sum()), int(valid.sum()), scanner.seconds())


@contextmanager
def _left_safe(
    instrument: Instrument, observer: Observer, watchdog: Watchdog
) -> Iterator[None]:
    """Stop the stage and close the shutter, whatever has happened and happens meanwhile."""
    try:
        yield
    finally:
        watchdog.answered()
        for problem in make_safe(instrument, _SAFE_WITHIN_S):
            observer.warning(problem)


class _Scan:
    """One scan under way."""

    def __init__(
        self,
        scanner: Scanner,
        writer: RunWriter | None,
        observer: Observer,
        stopping: Stopping,
    ) -> None:
        self._scanner, self._writer = scanner, writer
        self._observer, self._stopping = observer, stopping
        self._plan, self._instrument = scanner.info.plan, scanner.instrument
        self._limits = scanner.info.instrument.limits
        count = len(self._plan)
        self.status = np.full(count, Status.PENDING, np.uint8)
        if writer is not None:
            self.status[:] = writer.points.status
        self._suspect: set[int] = set()
        self._points_since_pause = self._invalid_since_pause = 0

    def run(self) -> None:
        """Take what is missing, and again what failed."""
        optics = self._scanner.info.instrument.optics
        self._instrument.camera.configure(
            optics.image_px, optics.binning, self._plan.exposure_ms
        )
        self._instrument.light(on=True)
        watch = None
        if self._plan.landmark is not None:
            watch = DriftWatch(
                self._plan.landmark, self._scanner, self._observer, self._keep, self._pause
            )
        for row, line in enumerate(self._plan.lines()):
            left = [point for point in line if self.status[point.index] == Status.PENDING]
            if not left:
                continue
            if watch is not None:
                watch.before(row)
            self._take_line(left)
        self._take_again()
        self._save(RunWriter.flush)

    def _take_line(self, points: list[ScanPoint]) -> None:
        """Take some points of a line; a request to end is heeded behind the last."""
        self._scanner.approach(points[0], (0.0, 0.0))
        for point in points:
            self._stopping.check()
            self._take(point)
        self._stopping.check(StopLevel.LINE)

    def _take_again(self) -> None:
        """Take once more what failed, and what looks wrong beside its neighbours."""
        failed = set(np.flatnonzero(self.status == Status.INVALID).tolist())
        columns = self._plan.columns
        again = [self._plan.point(*divmod(i, columns)) for i in sorted(failed | self._suspect)]
        for point in again:
            self._scanner.approach(point, (0.0, 0.0))
            self._stopping.check(StopLevel.LINE)
            self._take(point)

    def _take(self, point: ScanPoint) -> None:
        frame = self._frame(point)
        self.status[point.index] = frame.status
        self._suspect.discard(point.index)
        if frame.status is Status.VALID:
            black = self._scanner.checks.black_beside(point)
            self._suspect.update(row * self._plan.columns + column for row, column in black)
        self._save(lambda writer: writer.add(frame))
        self._observer.frame(frame)
        self._judge(frame)

    def _frame(self, point: ScanPoint) -> Frame:
        while True:
            try:
                return self._scanner.take(point)
            except LightLost as error:
                if self._scanner.sees_light():
                    return self._scanner.given_up(point, (0.0, 0.0), str(error))
                self._wait_for_light(str(error))

    def _wait_for_light(self, reason: str) -> None:
        self._observer.warning(f"{reason}; waiting for the light to come back")
        clock, waited_s = self._instrument.clock, 0.0
        while not self._scanner.sees_light():
            self._stopping.check(StopLevel.LINE)
            if waited_s >= self._limits.dark_s:
                self._pause(f"{reason}, and none for {waited_s:.0f} s")
                waited_s = 0.0
            with self._stopping.breaking(StopLevel.LINE):
                clock.sleep(_DARK_PERIOD_S)
            waited_s += _DARK_PERIOD_S
        self._observer.warning("the light is back")

    def _judge(self, frame: Frame) -> None:
        """Pause if too many points are invalid."""
        self._points_since_pause += 1
        self._invalid_since_pause += frame.status is not Status.VALID
        points, invalid = self._points_since_pause, self._invalid_since_pause
        if invalid < _LEAST_INVALID or invalid <= self._limits.invalid * points:
            return
        self._points_since_pause = self._invalid_since_pause = 0
        self._pause(
            f"expected at most {self._limits.invalid:.1%} of the points to be invalid, got"
            f" {invalid} of {points}, the last at row {frame.point.row}, column"
            f" {frame.point.column}: {frame.reason}"
        )

    def _pause(self, reason: str) -> None:
        """Go on only if somebody says so; ``AcquisitionError`` if nobody does."""
        self._instrument.light(on=False)
        with self._stopping.breaking(StopLevel.LINE):
            go_on = self._observer.paused(reason)
        if not go_on:
            raise AcquisitionError(f"{reason}; stopped, the run up to there is safe")
        self._instrument.light(on=True)

    def _keep(self, visit: LandmarkVisit) -> None:
        self._save(lambda writer: writer.add_landmark(visit))
        self._observer.landmark(visit)

    def _save(self, action: Callable[[RunWriter], None]) -> None:
        """Let the writer do something; where the disk takes no more, wait until it does."""
        if self._writer is None:
            return
        try:
            action(self._writer)
        except RunStoreError as error:
            self._wait_for_room(self._writer, error)

    def _wait_for_room(self, writer: RunWriter, error: RunStoreError) -> None:
        self._instrument.light(on=False)
        self._observer.warning(f"{error}; the scan goes on by itself then")
        while True:
            self._stopping.check(StopLevel.LINE)
            self._stopping.wait(_FULL_DISK_PERIOD_S)
            try:
                writer.flush()
            except RunStoreError:
                continue
            self._observer.warning("the disk takes frames again")
            self._instrument.light(on=True)
            return
