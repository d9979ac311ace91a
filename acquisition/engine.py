"""The scan: line by line, then once more what failed.

A point that cannot be taken is tried again, then marked invalid and left for the end; its
neighbours keep their places. Whatever ends the scan, the stage is stopped, the shutter
closed, and everything taken is on disk; see ``acquisition.parking``.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.drift import DriftWatch
from acquisition.frame import Dither, Frame, LandmarkVisit, Status
from acquisition.frame_checks import LightLost
from acquisition.guard import DoseReached, Guard, require
from acquisition.instrument import Instrument
from acquisition.log import ScanLog
from acquisition.observer import Observer
from acquisition.parking import left_safe
from acquisition.patience import Patience
from acquisition.plan import ScanPoint
from acquisition.scanner import Scanner
from acquisition.stopping import StopLevel, Stopping
from acquisition.store import RunInfo
from acquisition.watchdog import Watchdog
from acquisition.writer import RunWriter

_FINISH_ROUNDS: Final = 3
"""What is still in doubt after one gets more in the next."""
_TRIES: Final = 3
"""Of a point that was taken of a sample that had jumped."""


Doubts = Callable[[], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What came of a scan."""

    points: int
    valid: int
    seconds: float
    """On the instrument's clock."""
    dose_j_per_cm2: float
    """Of the place that had most light."""


def scan(
    info: RunInfo,
    instrument: Instrument,
    writer: RunWriter | None,
    observer: Observer,
    doubts: Doubts | None = None,
    out: Path | None = None,
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
    doubts
        Says, of the frames that are on disk, how doubtful what lies at each point is, (rows,
        columns) of the scan; ``None``: nothing is looked at again but what failed.
    out
        Folder of which the room is looked at, where that is not where frames are kept.

    Raises
    ------
    LimitError
        If something is beyond its limits before the first move; nothing has moved then.
    AcquisitionError
        If a limit, a pause, a file ``STOP`` or a device that hangs ends the scan.
    KeyboardInterrupt, Terminated
        By Ctrl-C and SIGTERM, see ``acquisition.stopping``.
    """
    path = None if writer is None else writer.path
    guard = Guard(info, instrument, out or path)
    observer.begin(info, iter(()) if writer is None else writer.frames_there())
    stopping, log = Stopping(), ScanLog(observer.warning)
    latest_s = 0.0 if writer is None else writer.points.latest_s
    began_s = instrument.clock.now() - latest_s
    with log.kept_in(path), Watchdog(instrument, stopping, path, log) as watchdog:
        scanner = Scanner(info, instrument, log, stopping, watchdog, guard, began_s)
        with left_safe(scanner, stopping, log, watchdog):
            missing = 1.0 if writer is None else 1 - float(writer.points.taken.mean())
            checks = scanner.look_first(missing)
            observer.checked(checks)
            require(checks, log)
            if writer is not None:
                guard.dose.recall(writer.records_there(), *writer.landmark_there())
            session = _Scan(scanner, guard, writer, observer, log, stopping)
            session.run(doubts)
            summary = session.summary()
            dose = f"{summary.dose_j_per_cm2:.3g} J/cm2 at most"
            log.info(f"{summary.valid} of {summary.points} points valid, {dose}")
            return summary


class _Scan:
    """One scan under way."""

    def __init__(
        self,
        scanner: Scanner,
        guard: Guard,
        writer: RunWriter | None,
        observer: Observer,
        log: ScanLog,
        stopping: Stopping,
    ) -> None:
        self._scanner, self._guard, self._writer = scanner, guard, writer
        self._observer, self._log, self._stopping = observer, log, stopping
        self._plan, self._clock = scanner.info.plan, scanner.instrument.clock
        count = len(self._plan)
        self.status = np.full(count, Status.PENDING, np.uint8)
        if writer is not None:
            self.status[:] = writer.points.status
        self._watch: DriftWatch | None = None
        self._suspect: set[int] = set()
        self._displaced: set[int] = set()
        self._unconfirmed: list[tuple[int, int | None]] = []  # point, repeat; since a look
        self._repeats = 0
        if writer is not None:
            self._repeats = max(writer.points.repeats, default=-1) + 1
        self._patience = Patience(
            scanner, writer, observer, log, stopping, lambda: self._correction_um
        )

    def summary(self) -> ScanSummary:
        """Return what has come of it so far."""
        return ScanSummary(
            points=int((self.status != Status.PENDING).sum()),
            valid=int((self.status == Status.VALID).sum()),
            seconds=self._scanner.seconds(),
            dose_j_per_cm2=self._guard.dose.most_j_per_cm2(),
        )

    def run(self, doubts: Doubts | None) -> None:
        """Take what is missing, again what failed, and again what is in doubt."""
        there = int((self.status != Status.PENDING).sum())
        self._log.info(f"{len(self._plan)} points, {there} there")
        looks = 0 if doubts is None else self._further_looks()
        self._recall()
        if (self.status == Status.VALID).all() and not (looks or self._suspect):
            return
        self._scanner.configure()
        self._scanner.light(on=True)
        self._watch = self._drift_watch()
        for line in self._plan.lines():
            left = [point for point in line if self.status[point.index] == Status.PENDING]
            if left:
                self._take_all(left)
                self._stopping.check(StopLevel.LINE)
        self._take_again()
        self._patience.save(RunWriter.flush)
        if doubts is not None:
            self._finish(doubts, looks)
            self._look_once_more()
            self._patience.save(RunWriter.flush)

    def _recall(self) -> None:
        """Know the good frames that are there, and which of them look wrong."""
        if self._writer is None:
            return
        checks = self._scanner.checks
        checks.know(self._writer.points)
        for frame in self._writer.frames_there():
            checks.remember(frame.point, frame.image)
        for index in np.flatnonzero(self.status == Status.VALID):
            self._suspect_beside(self._plan.point(*divmod(int(index), self._plan.columns)))

    def _suspect_beside(self, point: ScanPoint) -> None:
        """Note what is black beside a bright point."""
        black = self._scanner.checks.black_beside(point)
        self._suspect.update(row * self._plan.columns + column for row, column in black)

    def _drift_watch(self) -> DriftWatch | None:
        schedule = self._plan.landmark
        if schedule is None:
            return None
        past = (None, {}) if self._writer is None else self._writer.landmark_there()
        return DriftWatch(
            schedule,
            self._scanner,
            self._log,
            self._keep,
            self._withdraw,
            self._patience.pause,
            past,
        )

    def _take_again(self) -> None:
        """Take once more what failed, and what looks wrong beside its neighbours.

        What was taken of a sample that had jumped is taken up to three times.
        """
        self._look_once_more()
        again = set(np.flatnonzero(self.status == Status.INVALID).tolist())
        tries: Counter[int] = Counter()
        while left := sorted(self._in_doubt(again, tries)):
            self._displaced.clear()
            for index in left:
                self._take_all([self._plan.point(*divmod(index, self._plan.columns))])
                self._stopping.check(StopLevel.LINE)
            tries.update(left)
            self._look_once_more()

    def _in_doubt(self, failed: set[int], tries: Counter[int]) -> set[int]:
        """Return what is to be taken again; what is bright now may stand beside black."""
        once = {index for index in failed | self._suspect if not tries[index]}
        return once | {index for index in self._displaced if tries[index] < _TRIES}

    def _further_looks(self) -> int:
        """Return how many more looks at points in doubt there are to be."""
        most = int(self._plan.finish.share * len(self._plan))
        there = 0 if self._writer is None else len(self._writer.points.repeats)
        return max(most - there, 0)

    def _finish(self, doubts: Doubts, looks: int) -> None:
        """Look again at what is most in doubt, in rounds, until light or time is spent."""
        end_s = self._finish_began_s() + self._plan.finish.seconds
        for later in range(_FINISH_ROUNDS, 0, -1):
            if not looks:
                return
            self._scanner.light(on=False)
            with self._stopping.breaking(StopLevel.LINE):
                doubt = doubts()
            indices = self._most_doubtful(doubt, -(-looks // later))
            if indices:
                self._log.info(f"{len(indices)} points in doubt are looked at again")
                self._scanner.light(on=True)
            for index in indices:
                if self._scanner.seconds() >= end_s:
                    looks = 0
                    break
                self._look_again(self._plan.point(*divmod(index, self._plan.columns)))
                self._stopping.check(StopLevel.LINE)
            looks = max(looks - len(indices), 0)
            self._patience.save(RunWriter.flush)

    def _finish_began_s(self) -> float:
        """Return when the first further look was taken: now, or by an earlier session."""
        there = () if self._writer is None else self._writer.points.repeats.values()
        return min((look.started_s for look in there), default=self._scanner.seconds())

    def _most_doubtful(self, doubt: NDArray[np.float64], most: int) -> list[int]:
        """Return points that may be looked at again, most in doubt, in their own order."""
        flat = np.where(self.status == Status.VALID, np.nan_to_num(doubt.ravel()), 0.0)
        best = [int(index) for index in np.argsort(-flat, kind="stable") if flat[index] > 0]
        columns, allows = self._plan.columns, self._guard.allows
        targets = ((i, self._plan.point(*divmod(i, columns)).target_um) for i in best)
        return sorted(islice((i for i, target_um in targets if allows(target_um)), most))

    def _look_again(self, point: ScanPoint) -> None:
        """Take one more frame of a point; one that fails is let go of."""
        self._patience.heed_limits()
        self._visit_if_due(point.row)
        self._scanner.approach(point, self._correction_um)
        try:
            frame = self._dated(replace(self._frame(point), repeat=self._repeats))
        except DoseReached as error:
            self._log.info(str(error), point=point.index)
            return
        if frame.status is not Status.VALID:
            return
        self._repeats += 1
        self._keep_frame(frame)

    def _take_all(self, points: list[ScanPoint]) -> None:
        """Take neighbouring points of a line, and look where the sample is when it is time."""
        come_up = True
        for point in points:
            self._stopping.check()
            self._patience.heed_limits()
            if self._visit_if_due(point.row) or come_up:
                self._scanner.approach(point, self._correction_um)
                come_up = False
            self._take(point)

    def _visit_if_due(self, row: int) -> bool:
        if self._watch is None or not self._watch.is_due(row):
            return False
        self._visit(self._watch, row)
        return True

    def _look_once_more(self) -> None:
        """Have a look at the landmark confirm the latest frames."""
        if self._watch is not None and self._unconfirmed:
            self._scanner.light(on=True)
            self._visit(self._watch, self._plan.rows)

    def _visit(self, watch: DriftWatch, row: int) -> None:
        while True:
            try:
                return watch.visit(row)
            except LightLost as error:
                self._patience.wait_for_light(str(error))

    def _dated(self, frame: Frame) -> Frame:
        """Return a frame with where the sample was."""
        drift_um = None if self._watch is None else self._watch.drift_um()
        return replace(frame, drift_um=drift_um)

    def _take(self, point: ScanPoint) -> None:
        frame = self._dated(self._frame(point))
        self.status[point.index] = frame.status
        self._suspect.discard(point.index)
        if frame.status is Status.VALID:
            self._suspect_beside(point)
        self._keep_frame(frame)
        self._patience.judge(frame)

    def _keep_frame(self, frame: Frame) -> None:
        if frame.status is Status.VALID and frame.drift_um is not None:
            self._unconfirmed.append((frame.point.index, frame.repeat))
        self._patience.save(lambda writer: writer.add(frame))
        self._observer.frame(frame)

    def _frame(self, point: ScanPoint) -> Frame:
        while True:
            try:
                return self._scanner.take(point, self._correction_um)
            except LightLost as error:
                if self._scanner.sees_light(self._correction_um):
                    return self._scanner.given_up(point, self._correction_um, str(error))
                self._patience.wait_for_light(str(error))

    @property
    def _correction_um(self) -> tuple[float, float]:
        return (0.0, 0.0) if self._watch is None else self._watch.correction_um()

    def _withdraw(self, reason: str) -> None:
        """Let what was taken since the last look be taken again: some is displaced."""
        frames, self._unconfirmed = self._unconfirmed, []
        if not frames:
            return
        self._patience.save(RunWriter.flush)
        self._patience.save(lambda writer: writer.withdraw(frames, reason))
        indices = [index for index, repeat in frames if repeat is None]
        self.status[indices] = Status.INVALID
        self._displaced.update(indices)
        self._suspect.difference_update(indices)
        self._log.warning(f"{reason}: {len(frames)} frames since the look before are invalid")

    def _keep(self, seen: Dither | LandmarkVisit) -> None:
        self._patience.save(lambda writer: writer.add_landmark(seen))
        if isinstance(seen, LandmarkVisit):
            if seen.is_believed:
                self._unconfirmed.clear()
            self._observer.landmark(seen)
