"""Taking single points: move, settle, verify, expose, check, try again, give up."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import Frame, Status
from acquisition.frame_checks import FrameChecks, LightLost
from acquisition.guard import Check, Guard
from acquisition.instrument import Instrument
from acquisition.log import ScanLog
from acquisition.motion import ANSWER_S, Motion, within_limits
from acquisition.plan import ScanPoint
from acquisition.recovery import OPEN_S, Recovery
from acquisition.stopping import StopLevel, Stopping
from acquisition.store import RunInfo
from acquisition.watchdog import Watchdog
from configs.errors import DeviceError
from drivers.protocols import Image

Result = TypeVar("Result")

_LEAD_IN: Final = 2
_LOOK_S: Final = 5 * ANSWER_S
"""For all devices to say how they are."""


class Scanner:
    """Takes single points.

    Parameters
    ----------
    info, instrument
        What to scan, and with what.
    log
        Told of what does not stop the scan.
    stopping, watchdog
        Say when to end, and look after calls that hang.
    guard
        Learns where the light is, and says where there has been enough.
    began_s
        When the scan began, on the clock of the instrument.

    Attributes
    ----------
    checks
        What is known of the frames so far.
    is_lit
        Whether the shutter was told to be open.
    focus_um
        Where the focus drive said it was when it had last moved; ``None`` where there is none.
    found_um
        Where the stage, and the focus drive, were found, (x, y) or (x, y, z); ``None`` as long
        as nothing has been moved.
    """

    def __init__(
        self,
        info: RunInfo,
        instrument: Instrument,
        log: ScanLog,
        stopping: Stopping,
        watchdog: Watchdog,
        guard: Guard,
        began_s: float,
    ) -> None:
        self.info = info
        self.instrument = instrument
        self.checks = FrameChecks(info)
        self.is_lit = self._is_reconnected = False
        self._timing = info.instrument.timing
        self._log = log
        self._stopping = stopping
        self._watchdog = watchdog
        self._guard = guard
        self._began_s = began_s
        self._on_sample_um: tuple[float, float] | None = None
        self._motion = Motion(info.instrument, instrument, watchdog)
        self._recovery = Recovery(
            instrument, self._timing.frame_timeout_s, log, stopping, watchdog
        )
        self.found_um: tuple[float, ...] | None = None
        self.focus_um: float | None = None
        self._focus_target_um = 0.0
        self._focus_holds = True

    def seconds(self) -> float:
        """Return the time since the scan began."""
        return self.instrument.clock.now() - self._began_s

    def look_first(self, missing: float) -> list[Check]:
        """Return what there is to say before the first move; the silent are asked again.

        ``missing`` is the share of the points that are to be taken.
        """
        attempt = 0
        while True:
            attempt += 1
            self._watchdog.expect("looking at limits", _LOOK_S)
            with self._stopping.breaking(StopLevel.NOW):
                checks = self._guard.checks(missing)
            self._watchdog.answered()
            silent = [check for check in checks if not (check.is_answer or check.is_met)]
            if not silent or attempt == self._timing.attempts:
                return checks
            self._log.info(f"attempt {attempt}: {silent[0]}")
            self._recover()

    def configure(self) -> None:
        """Set window and exposure of the camera; learn where stage and focus drive are.

        Raises
        ------
        DeviceError
            If no attempt succeeds.
        """
        self.attempt(self._configure)

    def _configure(self) -> None:
        optics, focus = self.info.instrument.optics, self.instrument.focus
        self._watchdog.expect("camera: configure", OPEN_S)
        self.instrument.camera.configure(
            optics.image_px, optics.binning, self.info.plan.exposure_ms
        )
        self._watchdog.expect("stage: tell its position", ANSWER_S)
        found_um: tuple[float, ...] = self.instrument.stage.position()
        if focus is not None:
            self._watchdog.expect("focus: tell its position", ANSWER_S)
            self.focus_um = self._focus_target_um = focus.position()
            found_um = (*found_um, self.focus_um)
            self._focus_holds = True
        self._watchdog.answered()
        self.found_um = found_um

    def light(self, *, on: bool) -> None:
        """Open or close the shutter, and assert it; one that fails is connected anew once.

        It is not opened any more once the scan is to stop.
        """
        if on:
            self._stopping.check()
        try:
            self._move_shutter(on=on)
        except DeviceError as error:
            self._log.warning(f"once more: {error}", device="shutter")
            # Who stops now waits for the dark, unless it is an emergency.
            with self._stopping.breaking(StopLevel.NOW if on else StopLevel.EMERGENCY):
                self._recovery.reconnect("shutter", self.instrument.shutter)
            self._move_shutter(on=on)

    def is_relit(self) -> bool:
        """Open the shutter once more; one that does not open is told to stay closed.

        It is connected anew the first time; what holds it closed may last.
        """
        self._stopping.check()
        try:
            self._move_shutter(on=True)
        except DeviceError as error:
            self._log.info(f"opening it once more: {error}", device="shutter")
            if not self._is_reconnected:
                self._is_reconnected = True
                with self._stopping.breaking(StopLevel.NOW):
                    self._recovery.reconnect("shutter", self.instrument.shutter)
            self.light(on=False)
        return self.is_lit

    def _move_shutter(self, *, on: bool) -> None:
        self._watchdog.expect("shutter: move", 2 * ANSWER_S)
        self.instrument.light(on=on)
        self._watchdog.answered()
        self.is_lit = on
        self._is_reconnected &= not on
        self._guard.dose.light(self.seconds(), on=on or self.instrument.shutter is None)

    def take(self, point: ScanPoint, correction_um: tuple[float, float]) -> Frame:
        """Return the frame of a point, taken that far from its target, or an invalid one.

        Raises
        ------
        LightLost
            If every attempt failed for want of light, which no other point will have.
        """
        try:
            frame, attempts = self.attempt(
                lambda: self._take(point, correction_um), point.index
            )
        except LightLost:
            raise
        except DeviceError as error:
            return self.given_up(point, correction_um, str(error))
        return replace(frame, attempts=attempts)

    def attempt(
        self, action: Callable[[], Result], point: int | None = None
    ) -> tuple[Result, int]:
        """Return what an action gives, and at which attempt; ``DeviceError`` if at none."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._stopping.breaking(StopLevel.NOW):
                    return action(), attempt
            except DeviceError as error:
                self._log.info(f"attempt {attempt}: {error}", point=point)
                self._recover()
                if attempt == self._timing.attempts:
                    raise

    def approach(self, point: ScanPoint, correction_um: tuple[float, float]) -> None:
        """Come up to a point in two steps as along a line, so that every point is alike."""
        plan = self.info.plan
        for steps in range(_LEAD_IN, 0, -1):
            lead_um = -steps * plan.x_direction * plan.pitch_nm / 1000
            place_um = _sum(_sum(point.target_um, correction_um), (lead_um, 0.0))
            low_um, high_um = self.instrument.stage.limits.x_um
            if not low_um <= place_um[0] <= high_um:
                return
            try:
                self.attempt(partial(self.move_and_verify, place_um, correction_um))
            except DeviceError as error:
                self._log.warning(f"coming up to row {point.row}: {error}")

    def sees_light(self, correction_um: tuple[float, float]) -> bool:
        """Say whether the brightest of the latest frames, taken again, is bright still."""
        point = self.checks.lit
        try:
            with self._stopping.breaking(StopLevel.NOW):
                if point is not None:
                    self.move_and_verify(_sum(point.target_um, correction_um), correction_um)
                return self.checks.is_lit(self.snap())
        except DeviceError as error:
            self._log.warning(f"looking for light: {error}")
            self._recover()
            return False

    def move_and_verify(
        self, commanded_um: tuple[float, float], correction_um: tuple[float, float]
    ) -> tuple[float, float]:
        """Move, wait until settled, and return the verified read-back.

        ``correction_um`` is what of it follows the sample.
        """
        readback_um = self._motion.move(commanded_um)
        self._on_sample_um = _sum(readback_um, (-correction_um[0], -correction_um[1]))
        self._guard.dose.beam_at(self._on_sample_um, self.seconds())
        return readback_um

    def move_focus(self, commanded_um: float) -> None:
        """Move the focus drive unless it is there, wait until settled, and verify."""
        focus, timing = self.instrument.focus, self._timing
        assert focus is not None, "only where there is one"
        if self._focus_holds and commanded_um == self._focus_target_um:
            return
        self._watchdog.expect("focus: move", ANSWER_S)
        # First: where a drive that refuses stays is not where a frame is taken.
        self._focus_target_um, self._focus_holds = commanded_um, False
        focus.move_to(commanded_um)
        self._watchdog.expect("focus: settle", timing.move_timeout_s)
        focus.wait_settled(timing.move_timeout_s)
        self._watchdog.expect("focus: read back", ANSWER_S)
        self.focus_um = focus.position()
        self._watchdog.answered()
        error_nm = 1000 * abs(self.focus_um - commanded_um)
        if not error_nm <= timing.focus_tolerance_nm:
            raise DeviceError(
                f"focus: expected to be within {timing.focus_tolerance_nm:g} nm of"
                f" {commanded_um} um, got {error_nm:.1f} nm away; check the servo or the"
                " tolerance"
            )
        self._focus_holds = True

    def snap_many(self, frames: int) -> NDArray[np.uint16]:
        """Return images of the expected kind, (frames, y, x), one right after another."""
        camera, timeout_s = self.instrument.camera, self._timing.frame_timeout_s
        exposure_s = self.info.plan.exposure_ms / 1000
        self._mind_dose(frames)
        self._watchdog.expect("camera: start a sequence", ANSWER_S)
        camera.start_sequence(frames)
        images = []
        for _ in range(frames):
            self._watchdog.expect("camera: expose", exposure_s + timeout_s)
            images.append(self.checks.check_kind(camera.read_frame(timeout_s)))
        self._watchdog.expect("camera: stop", timeout_s)
        camera.stop()
        self._watchdog.answered()
        return np.stack(images)

    def snap(self) -> Image:
        """Return an image of the expected kind."""
        timeout_s = self._timing.frame_timeout_s
        self._mind_dose(1)
        self._watchdog.expect("camera: expose", self.info.plan.exposure_ms / 1000 + timeout_s)
        image = self.instrument.camera.snap(timeout_s)
        self._watchdog.answered()
        return self.checks.check_kind(image)

    def _mind_dose(self, frames: int) -> None:
        if self._on_sample_um is not None:
            self._guard.check_exposure(self._on_sample_um, frames)

    def _take(self, point: ScanPoint, correction_um: tuple[float, float]) -> Frame:
        if not self._focus_holds:
            self.move_focus(self._focus_target_um)
        moved_s = self.seconds()
        readback_um = self.move_and_verify(_sum(point.target_um, correction_um), correction_um)
        started_s = self.seconds()
        image = self.snap()
        self.checks.check_light(point, image)
        return Frame(
            point,
            image,
            readback_um,
            started_s,
            1,
            Status.VALID,
            correction_um=correction_um,
            settling_s=started_s - moved_s,
            focus_um=self.focus_um,
        )

    def unmet(self, *, now: bool = False) -> Check | None:
        """Return what is not as it must be; a device that does not say is brought to answer."""
        self._watchdog.expect("looking at limits", _LOOK_S)
        try:
            with self._stopping.breaking(StopLevel.NOW):
                check = self._guard.look(is_lit=self.is_lit, now=now)
        finally:
            self._watchdog.answered()
        if check is not None and not check.is_answer:
            self._recover()
        return check

    def _recover(self) -> None:
        """Bring the devices to rest, and to answer, before the next attempt."""
        self._focus_holds = self.instrument.focus is None
        self._recovery.recover()

    def go_back(self) -> tuple[float, ...] | None:
        """Bring the drives to where they were found, or as near as their limits allow.

        Returns
        -------
        tuple of float, or None
            Where they are now, (x, y) or (x, y, z), um; ``None`` if they had not moved.
        """
        if self.found_um is None:
            return None
        x_um, y_um, *z_um = self.found_um
        place_um = within_limits(self.instrument.stage, x_um, y_um)
        readback_um: tuple[float, ...] = self.move_and_verify(place_um, (0.0, 0.0))
        if self.instrument.focus is not None:
            self._focus_holds = False  # it has been stopped since
            self.move_focus(float(np.clip(z_um[0], *self.instrument.focus.limits_um)))
        return readback_um if self.focus_um is None else (*readback_um, self.focus_um)

    def given_up(
        self, point: ScanPoint, correction_um: tuple[float, float], reason: str
    ) -> Frame:
        """Return the frame of a point that could not be taken."""
        self._log.warning(
            f"row {point.row}, column {point.column} is invalid: {reason}", point=point.index
        )
        return Frame(
            point,
            np.zeros(self.info.frame_shape, np.uint16),
            None,
            self.seconds(),
            self._timing.attempts,
            Status.INVALID,
            reason,
            correction_um,
            focus_um=self.focus_um,
        )


def _sum(a_um: tuple[float, float], b_um: tuple[float, float]) -> tuple[float, float]:
    return a_um[0] + b_um[0], a_um[1] + b_um[1]
