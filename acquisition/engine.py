"""The scan: move, settle, verify, expose, hand over.

A point that cannot be taken is tried again, then marked invalid; its neighbours
keep their places. Whatever ends the scan, the stage is stopped and every finished
point is on disk.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from types import FrameType
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.landmark import normalised_residual
from acquisition.plan import LandmarkSchedule, ScanPoint
from acquisition.store import RunInfo, RunWriter
from configs.errors import AcquisitionError, DeviceError
from drivers.protocols import Camera, Clock, Image, XYStage

Result = TypeVar("Result")

# More failures in a row are a broken instrument, not bad luck.
_INVALID_IN_A_ROW: Final = 10
_LANDMARK_CANDIDATES: Final = (0.25, 0.5, 0.75)


class Observer(Protocol):
    """Whoever watches a scan; called from the scan's thread, so it must not block."""

    def begin(self, info: RunInfo) -> None:
        """Learn what is going to be scanned."""
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


@dataclass(frozen=True, slots=True)
class Instrument:
    """Open devices and the clock they live by."""

    stage: XYStage
    camera: Camera
    clock: Clock


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
    """Take every point of a plan.

    Parameters
    ----------
    info, instrument
        What to scan, and with what.
    writer
        Where frames are kept; ``None`` rehearses.
    observer
        Sees every frame.

    Raises
    ------
    LimitError
        If any point lies outside the travel limits; nothing has moved then.
    AcquisitionError
        If the instrument fails for good, or a pause ends the scan.
    KeyboardInterrupt
        On Ctrl-C, between two points; a second Ctrl-C does not wait for that.
    """
    plan, optics = info.plan, info.instrument.optics
    plan.check_travel(instrument.stage.limits)
    observer.begin(info)
    with (
        _stage_stopped_afterwards(instrument.stage, observer),
        _deferred_interrupt() as interrupt,
    ):
        instrument.camera.configure(optics.image_px, optics.binning, plan.exposure_ms)
        scanner = _Scanner(info, instrument, observer, interrupt)
        watch = None
        if plan.landmark is not None:
            watch = _DriftWatch(plan.landmark, scanner, writer, observer)
        for row, line in enumerate(plan.lines()):
            if watch is not None:
                watch.before(row)
            for point in line:
                frame = scanner.take(point)
                if writer is not None:
                    writer.add(frame)
                observer.frame(frame)
        return scanner.summary()


class _Scanner:
    """Takes single points, and counts."""

    def __init__(
        self,
        info: RunInfo,
        instrument: Instrument,
        observer: Observer,
        interrupt: "_Interrupt",
    ) -> None:
        self.info = info
        self.instrument = instrument
        self.interrupt = interrupt
        self._observer = observer
        self._began = instrument.clock.now()
        self._points = 0
        self._valid = 0
        self._failed_in_a_row = 0

    def seconds(self) -> float:
        """Return the time since the scan began."""
        return self.instrument.clock.now() - self._began

    def summary(self) -> ScanSummary:
        """Return what has been taken so far."""
        return ScanSummary(self._points, self._valid, self.seconds())

    def take(self, point: ScanPoint) -> Frame:
        """Return the frame of a point, invalid if every attempt failed."""
        self._points += 1
        try:
            (readback_um, started_s, image), attempts = self.attempt(
                lambda: (self.go(point.target_um), self.seconds(), self._snap())
            )
        except DeviceError as error:
            return self._give_up(point, str(error))
        self._valid += 1
        self._failed_in_a_row = 0
        return Frame(point, image, readback_um, started_s, attempts, Status.VALID)

    def attempt(self, action: Callable[[], Result]) -> tuple[Result, int]:
        """Return what an action gives, and at which attempt; ``DeviceError`` if at none."""
        attempt = 0
        while True:
            attempt += 1
            self.interrupt.check()
            try:
                return action(), attempt
            except DeviceError:
                self._recover()
                if attempt == self.info.instrument.timing.attempts:
                    raise

    def go(self, target_um: tuple[float, float]) -> tuple[float, float]:
        """Move, wait until settled, and return the verified read-back."""
        stage, timing = self.instrument.stage, self.info.instrument.timing
        stage.move_to(*target_um)
        stage.wait_settled(timing.move_timeout_s)
        readback_um = stage.position()
        error_nm = 1000 * math.dist(readback_um, target_um)
        if not error_nm <= timing.position_tolerance_nm:
            raise DeviceError(
                f"stage: expected to be within {timing.position_tolerance_nm:g} nm of"
                f" {target_um}, got {error_nm:.1f} nm away; check the servo or the tolerance"
            )
        return readback_um

    def _snap(self) -> Image:
        image = self.instrument.camera.snap(self.info.instrument.timing.frame_timeout_s)
        side = self.info.instrument.optics.image_px
        if image.shape != (side, side) or image.dtype != np.uint16:
            raise DeviceError(
                f"camera: expected a ({side}, {side}) uint16 image,"
                f" got {image.shape} {image.dtype}; check its configuration"
            )
        return image

    def _recover(self) -> None:
        """Bring the devices to rest before the next attempt."""
        for device in (self.instrument.stage, self.instrument.camera):
            try:
                device.stop()
            except DeviceError as error:
                self._observer.warning(f"stopping after a failure: {error}")

    def _give_up(self, point: ScanPoint, reason: str) -> Frame:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _INVALID_IN_A_ROW:
            raise AcquisitionError(
                f"{_INVALID_IN_A_ROW} points in a row failed, the last at row {point.row},"
                f" column {point.column}: {reason}; the run up to there is safe"
            )
        self._observer.warning(f"row {point.row}, column {point.column} is invalid: {reason}")
        side = self.info.instrument.optics.image_px
        nowhere = (math.nan, math.nan)
        image = np.zeros((side, side), np.uint16)
        attempts = self.info.instrument.timing.attempts
        return Frame(point, image, nowhere, self.seconds(), attempts, Status.INVALID, reason)


class _DriftWatch:
    """Revisits a landmark and pauses the scan when it has changed."""

    def __init__(
        self,
        schedule: LandmarkSchedule,
        scanner: _Scanner,
        writer: RunWriter | None,
        observer: Observer,
    ) -> None:
        self._schedule = schedule
        self._scanner = scanner
        self._writer = writer
        self._observer = observer
        self._sensor = scanner.info.instrument.camera.sensor
        self._place_um = self._choose()
        self._first: NDArray[np.uint16] | None = None
        self._visits = 0

    def before(self, line: int) -> None:
        """Look at the landmark if it is time; ``AcquisitionError`` if a pause ends the scan."""
        if line % self._schedule.every_lines:
            return
        started_s = self._scanner.seconds()
        images = self._look(self._place_um)
        if self._first is None:
            self._first = images
        residual = normalised_residual(self._first, images, self._sensor)
        visit = LandmarkVisit(self._visits, line, images, residual, started_s)
        self._visits += 1
        if self._writer is not None:
            self._writer.add_landmark(visit)
        self._observer.landmark(visit)
        if residual > self._schedule.max_residual:
            reason = (
                f"drift before line {line}: the landmark differs from its first visit by"
                f" {residual:.1f} x noise, at most {self._schedule.max_residual:g} expected;"
                " let the sample settle or check focus and laser"
            )
            with self._scanner.interrupt.at_once():
                go_on = self._observer.paused(reason)
            if not go_on:
                raise AcquisitionError(f"{reason}; stopped, the run up to there is safe")

    def _look(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        """Return the frames of one visit, (frames, y, x)."""
        return self._scanner.attempt(lambda: self._look_once(place_um))[0]

    def _look_once(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        self._scanner.go(place_um)
        camera = self._scanner.instrument.camera
        timeout_s = self._scanner.info.instrument.timing.frame_timeout_s
        camera.start_sequence(self._schedule.frames)
        try:
            return np.stack(
                [camera.read_frame(timeout_s) for _ in range(self._schedule.frames)]
            )
        finally:
            camera.stop()

    def _choose(self) -> tuple[float, float]:
        """Pick, of nine places, the one whose frame changes most over a third of a square."""
        plan = self._scanner.info.plan
        best, contrast = plan.centre_um, 0.0
        for down, right in product(_LANDMARK_CANDIDATES, repeat=2):
            row, column = round(down * (plan.rows - 1)), round(right * (plan.columns - 1))
            x_um, y_um = plan.point(row, column).target_um
            shift_um = plan.pitch_nm / 3000
            here = self._look((x_um, y_um))
            aside = self._look((x_um + plan.x_direction * shift_um, y_um))
            below = self._look((x_um, y_um + plan.y_direction * shift_um))
            change = min(
                normalised_residual(here, moved, self._sensor) for moved in (aside, below)
            )
            if change > contrast:
                best, contrast = (x_um, y_um), change
        if contrast < self._schedule.max_residual:
            self._observer.warning(
                f"the drift check is blind here: a shift of {plan.pitch_nm / 3:.0f} nm changes"
                f" no landmark by more than {contrast:.1f} x noise, and the scan pauses at"
                f" {self._schedule.max_residual:g}; expose longer or average more frames"
            )
        return best


@contextmanager
def _stage_stopped_afterwards(stage: XYStage, observer: Observer) -> Iterator[None]:
    try:
        yield
    finally:
        try:
            stage.stop()
        except DeviceError as error:
            observer.warning(f"the stage may still be moving: {error}")


class _Interrupt:
    """Ctrl-C, held back while a point is under way."""

    def __init__(self) -> None:
        self._requested = False
        self._at_once = False

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

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C; the second one goes through."""
        if self._requested or self._at_once:
            raise KeyboardInterrupt
        self._requested = True


@contextmanager
def _deferred_interrupt() -> Iterator[_Interrupt]:
    """Let Ctrl-C wait for the point under way; only the main thread gets signals."""
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
