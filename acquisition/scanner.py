"""Taking single points: move, settle, verify, expose, check, try again, give up."""

import math
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
from acquisition.plan import ScanPoint
from acquisition.stopping import StopLevel, Stopping
from acquisition.store import RunInfo
from acquisition.watchdog import Watchdog
from configs.errors import DeviceError
from drivers.protocols import Image, Reconnectable

Result = TypeVar("Result")

_ANSWER_S: Final = 2.0
"""For a device to take a command or to answer a question."""
_LEAD_IN: Final = 2
_STEP_S: Final = 0.05
"""Of a long move, where the speed is limited."""
_RECONNECT_S: Final = 120.0
"""For a device to be opened again; some load firmware."""


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
        self.is_lit = False
        self._timing = info.instrument.timing
        self._log = log
        self._stopping = stopping
        self._watchdog = watchdog
        self._guard = guard
        self._began_s = began_s
        self._on_sample_um: tuple[float, float] | None = None
        self.focus_um: float | None = None
        self._focus_target_um = 0.0
        self._focus_holds = True

    def seconds(self) -> float:
        """Return the time since the scan began."""
        return self.instrument.clock.now() - self._began_s

    def configure(self) -> None:
        """Set window and exposure of the camera; learn where the focus drive is."""
        optics = self.info.instrument.optics
        self._watchdog.expect("camera: configure", _RECONNECT_S)
        self.instrument.camera.configure(
            optics.image_px, optics.binning, self.info.plan.exposure_ms
        )
        if self.instrument.focus is not None:
            self._watchdog.expect("focus: tell its position", _ANSWER_S)
            self.focus_um = self._focus_target_um = self.instrument.focus.position()
        self._watchdog.answered()

    def light(self, *, on: bool) -> None:
        """Open or close the shutter, and assert it; one that fails is connected anew once.

        It is not opened any more once the scan is to stop.
        """
        if on:
            self._stopping.check()
        self._watchdog.expect("shutter: move", 2 * _ANSWER_S)
        try:
            self.instrument.light(on=on)
        except DeviceError as error:
            self._log.warning(f"once more: {error}", device="shutter")
            self._reconnect("shutter", self.instrument.shutter)
            self._watchdog.expect("shutter: move", 2 * _ANSWER_S)
            self.instrument.light(on=on)
        self._watchdog.answered()
        self.is_lit = on
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
        stage, timing = self.instrument.stage, self._timing
        self._walk_towards(commanded_um)
        self._watchdog.expect("stage: move", _ANSWER_S)
        stage.move_to(*commanded_um)
        self._watchdog.expect("stage: settle", timing.move_timeout_s)
        stage.wait_settled(timing.move_timeout_s)
        self._watchdog.expect("stage: read back", _ANSWER_S)
        readback_um = stage.position()
        self._watchdog.answered()
        error_nm = 1000 * math.dist(readback_um, commanded_um)
        if not error_nm <= timing.position_tolerance_nm:
            raise DeviceError(
                f"stage: expected to be within {timing.position_tolerance_nm:g} nm of"
                f" {commanded_um}, got {error_nm:.1f} nm away; check the servo or the tolerance"
            )
        self._on_sample_um = _sum(readback_um, (-correction_um[0], -correction_um[1]))
        self._guard.dose.beam_at(self._on_sample_um, self.seconds())
        return readback_um

    def _walk_towards(self, commanded_um: tuple[float, float]) -> None:
        """Take the steps before the last one, where a move in one would be too fast."""
        speed_um_per_s = self.info.instrument.limits.speed_um_per_s
        if speed_um_per_s is None:
            return
        stage = self.instrument.stage
        self._watchdog.expect("stage: read back", _ANSWER_S)
        from_um = stage.position()
        if not all(map(math.isfinite, from_um)):
            raise DeviceError(f"stage: expected a position, got {from_um}; check its servo")
        low_um, high_um = zip(stage.limits.x_um, stage.limits.y_um, strict=True)
        steps = math.ceil(math.dist(from_um, commanded_um) / (speed_um_per_s * _STEP_S))
        for step in range(1, steps):
            self._watchdog.expect("stage: move", _ANSWER_S + _STEP_S)
            place_um = np.array(from_um) + step / steps * np.subtract(commanded_um, from_um)
            # It may begin beyond its limits, if somebody else has moved it there.
            x_um, y_um = np.clip(place_um, low_um, high_um).tolist()
            stage.move_to(x_um, y_um)
            self.instrument.clock.sleep(_STEP_S)
        self._watchdog.answered()

    def move_focus(self, commanded_um: float) -> None:
        """Move the focus drive unless it is there, wait until settled, and verify."""
        focus, timing = self.instrument.focus, self._timing
        assert focus is not None, "only where there is one"
        if self._focus_holds and commanded_um == self._focus_target_um:
            return
        self._watchdog.expect("focus: move", _ANSWER_S)
        # First: where a drive that refuses stays is not where a frame is taken.
        self._focus_target_um, self._focus_holds = commanded_um, False
        focus.move_to(commanded_um)
        self._watchdog.expect("focus: settle", timing.move_timeout_s)
        focus.wait_settled(timing.move_timeout_s)
        self._watchdog.expect("focus: read back", _ANSWER_S)
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
        self._watchdog.expect("camera: start a sequence", _ANSWER_S)
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
        self._watchdog.expect("looking at limits", 3 * _ANSWER_S)
        try:
            with self._stopping.breaking(StopLevel.NOW):
                check = self._guard.look(now=now)
        finally:
            self._watchdog.answered()
        if check is not None and not check.is_answer:
            self._recover()
        return check

    def _recover(self) -> None:
        """Bring the devices to rest, and to answer, before the next attempt."""
        self._focus_holds = self.instrument.focus is None
        for name in ("stage", "camera", "focus"):
            device = getattr(self.instrument, name)
            if device is None:
                continue
            try:
                self._watchdog.expect("stopping after a failure", self._timing.frame_timeout_s)
                device.stop()
            except DeviceError as error:
                self._log.warning(f"stopping after a failure: {error}", device=name)
                self._reconnect(name, device)
            finally:
                self._watchdog.answered()

    def _reconnect(self, name: str, device: object) -> None:
        if not isinstance(device, Reconnectable):
            return
        try:
            self._watchdog.expect("reconnecting", _RECONNECT_S)
            device.reconnect()
        except DeviceError as error:
            self._log.warning(f"reconnecting: {error}", device=name)
        else:
            self._log.warning(f"{name}: connected again", device=name)

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
