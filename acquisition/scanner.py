"""Taking single points: move, settle, verify, expose, try again, give up."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from acquisition.frame import Frame, Status
from acquisition.interrupt import Interrupt
from acquisition.observer import Observer
from acquisition.plan import ScanPoint
from acquisition.store import RunInfo
from configs.errors import AcquisitionError, DeviceError
from drivers.protocols import Camera, Clock, Image, XYStage

Result = TypeVar("Result")

# More failures in a row are a broken instrument, not bad luck.
_INVALID_IN_A_ROW: Final = 10


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


class Scanner:
    """Takes single points, and counts."""

    def __init__(
        self,
        info: RunInfo,
        instrument: Instrument,
        observer: Observer,
        interrupt: Interrupt,
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
                lambda: (self.move_and_verify(point.target_um), self.seconds(), self._snap())
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

    def move_and_verify(self, target_um: tuple[float, float]) -> tuple[float, float]:
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

    def checked(self, image: Image) -> Image:
        """Return an image of the expected kind; ``DeviceError`` for any other."""
        side = self.info.instrument.optics.image_px
        if image.shape != (side, side) or image.dtype != np.uint16:
            raise DeviceError(
                f"camera: expected a ({side}, {side}) uint16 image,"
                f" got {image.shape} {image.dtype}; check its configuration"
            )
        return image

    def _snap(self) -> Image:
        timeout_s = self.info.instrument.timing.frame_timeout_s
        return self.checked(self.instrument.camera.snap(timeout_s))

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
