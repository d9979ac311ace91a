"""What a scan may not exceed, by what is so now: before the first move, and during it."""

import math
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from acquisition.creation import run_bytes
from acquisition.dose import Dose
from acquisition.instrument import Instrument
from acquisition.log import ScanLog
from acquisition.motion import STEP_S
from acquisition.store import RunInfo
from configs.errors import AcquisitionError, DeviceError, LimitError
from drivers.protocols import Thermometer

_LOOK_EVERY_S: Final = 1.0
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so.

    Attributes
    ----------
    name
        What is looked at.
    expected, got
        In words, with units.
    is_met
        Whether it is so.
    remedy
        What to do if not.
    passes
        Whether it may become so by waiting.
    without_end
        Whether it is then waited for without end: nothing is lost meanwhile.
    is_answer
        Whether the device said so; else it did not answer.
    device
        Who was asked: stage, camera, focus or shutter; nobody where it is empty.
    """

    name: str
    expected: str
    got: str
    is_met: bool
    remedy: str
    passes: bool = False
    without_end: bool = False
    is_answer: bool = True
    device: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.name}: expected {self.expected}, got {self.got}{remedy}"


class DoseReached(AcquisitionError):
    """A place has had as much light as it may get."""


class Guard:
    """Compares an instrument with its limits.

    Parameters
    ----------
    info, instrument
        What to scan, and with what.
    path
        Where the run is, or would be; ``None``: the disk is not looked at.

    Attributes
    ----------
    dose
        How much light the sample has had.
    """

    def __init__(self, info: RunInfo, instrument: Instrument, path: Path | None) -> None:
        self.dose = Dose(info)
        self._info, self._instrument, self._path = info, instrument, path
        self._plan, self._limits = info.plan, info.instrument.limits
        self._exposure_s = info.plan.exposure_ms / 1000
        self._looked_s = time.monotonic()

    def checks(self, missing: float = 1.0) -> list[Check]:
        """Return everything that can be said before the first move.

        Parameters
        ----------
        missing
            Share of the points that are to be taken.
        """
        room_mb = self._missing_mb(missing)
        room = [] if self._path is None else [self._room(self._path, room_mb)]
        return [
            *self._travel(),
            self._speed(),
            *self._focus(),
            self._planned_dose(),
            *room,
            *self._temperatures(),
            self._shutter(is_lit=False),
        ]

    def look(self, *, is_lit: bool, now: bool = False) -> Check | None:
        """Return what is not as it must be; looks at devices and disk once a second, or now.

        Parameters
        ----------
        is_lit
            Whether the shutter was told to be open.
        now
            Whatever the time since the last look.

        Raises
        ------
        AcquisitionError
            If the shutter is open though it was told to be closed.
        """
        seconds = time.monotonic()
        if not now and seconds < self._looked_s + _LOOK_EVERY_S:
            return None
        self._looked_s = seconds
        room = [] if self._path is None else [self._room(self._path, 0.0)]
        shutter = self._shutter(is_lit=is_lit)
        if not (is_lit or shutter.is_met) and shutter.is_answer:
            raise AcquisitionError(str(shutter))
        now_so = (shutter, *self._focus(), *room, *self._temperatures())
        unmet = (check for check in now_so if not check.is_met)
        return next(unmet, None)

    def check_exposure(self, place_um: tuple[float, float], frames: int = 1) -> None:
        """Raise ``DoseReached`` where frames at a place would exceed the dose.

        Parameters
        ----------
        place_um
            Stage position (x, y), less the drift of the sample.
        """
        limit = self._limits.dose_j_per_cm2
        if limit is None:
            return
        after = self.dose.after_j_per_cm2(place_um, frames * self._exposure_s)
        if after > limit:
            raise DoseReached(
                f"dose: expected at most {limit:g} J/cm2 anywhere, got {after:.3g} after the"
                " next exposure there; the run up to there is safe: attenuate the beam, or"
                " raise limits.dose_j_per_cm2"
            )

    def allows(self, place_um: tuple[float, float]) -> bool:
        """Say whether a place may be exposed once more."""
        limit = self._limits.dose_j_per_cm2
        return limit is None or self.dose.after_j_per_cm2(place_um, self._exposure_s) <= limit

    def _travel(self) -> list[Check]:
        """Say how far the scan reaches; its first and last points are its corners."""
        plan, limits = self._plan, self._instrument.stage.limits
        first, last = plan.point(0, 0), plan.point(plan.rows - 1, plan.columns - 1)
        found = []
        for axis, (low, high), ends in zip(
            "xy",
            (limits.x_um, limits.y_um),
            zip(first.target_um, last.target_um, strict=True),
            strict=True,
        ):
            room_um = min(min(ends) - low, high - max(ends))
            found.append(
                Check(
                    f"travel in {axis}",
                    f"{low:g} to {high:g} um",
                    f"{min(ends):.2f} to {max(ends):.2f} um, {room_um:.1f} um to follow drift",
                    room_um >= 0,
                    "centre [travel] on the sample or scan less",
                    device="stage",
                )
            )
        return found

    def _speed(self) -> Check:
        """Say how the longest way is gone: from one corner of the scan to another."""
        limit_um_per_s, plan = self._limits.speed_um_per_s, self._plan
        corners = plan.point(0, 0), plan.point(plan.rows - 1, plan.columns - 1)
        longest_um = math.dist(*(corner.target_um for corner in corners))
        ways = f"moves of up to {longest_um:.2f} um"
        if limit_um_per_s is None:
            return Check("speed", "any", f"{ways}, each in one go", True, "")
        # Kept by taking steps, so that no plan exceeds it.
        step_um = min(limit_um_per_s * STEP_S, longest_um)
        steps = f"in steps of {step_um:.3g} um, {1000 * STEP_S:.0f} ms each"
        got = f"{ways} in {longest_um / limit_um_per_s:.3g} s, {steps}"
        return Check("speed", f"at most {limit_um_per_s:g} um/s", got, True, "")

    def _focus(self) -> list[Check]:
        focus = self._instrument.focus
        if focus is None:
            return []
        low_um, high_um = focus.limits_um
        expected = f"{low_um:g} to {high_um:g} um"
        remedy = "focus by hand with the drive in the middle, or widen range_um in [focus]"
        try:
            z_um = focus.position()
        except DeviceError as error:
            return [Check("focus", expected, str(error), False, "", True, is_answer=False)]
        off_um = self._info.instrument.timing.focus_tolerance_nm / 1000
        is_met = low_um - off_um <= z_um <= high_um + off_um
        got = f"{z_um:.3f} um"
        return [Check("focus", expected, got, is_met, remedy, device="focus")]

    def _planned_dose(self) -> Check:
        """Say what every square and the landmark get at least, settling not counted."""
        limit, power_w, plan = self._limits.dose_j_per_cm2, self._info.power_w, self._plan
        expected = "any" if limit is None else f"at most {limit:g} J/cm2"
        if power_w is None:
            unknown = "one that is not known, for want of the beam's power"
            return Check("dose", expected, unknown, limit is None, "calibrate the camera")
        each = self.dose.of_raster_j_per_cm2(self._exposure_s)
        seconds = plan.landmark_frames * self._exposure_s
        landmark = self.dose.after_j_per_cm2(plan.centre_um, seconds)
        return Check(
            "dose",
            expected,
            f"{each:.3g} J/cm2 by the raster, {each + landmark:.3g} J/cm2 at the landmark",
            limit is None or each + landmark <= limit,
            "expose less, attenuate the beam, or raise limits.dose_j_per_cm2",
        )

    def _missing_mb(self, missing: float) -> float:
        return missing * run_bytes(self._plan, self._info.instrument.optics.image_px) / _MB

    def _room(self, path: Path, needed_mb: float) -> Check:
        needed_mb += self._limits.free_mb
        expected = f"{needed_mb:.0f} MB free"
        try:
            free_mb = shutil.disk_usage(path).free / _MB
        except OSError as error:
            remedy = f"bring back {path}"
            return Check("disk", expected, str(error), False, remedy, True, without_end=True)
        return Check(
            "disk",
            expected,
            f"{free_mb:.0f} MB",
            free_mb >= needed_mb,
            f"make room at {path}",
            passes=True,
            without_end=True,
        )

    def _temperatures(self) -> list[Check]:
        allowed = self._limits.temperature_c
        expected = "any" if allowed is None else f"{allowed[0]:g} to {allowed[1]:g} C"
        found = []
        for name in ("stage", "camera", "focus"):
            device = getattr(self._instrument, name)
            if not isinstance(device, Thermometer):
                continue
            about = f"temperature of the {name}"
            try:
                degrees_c = device.temperature_c()
            except DeviceError as error:
                is_met = allowed is None
                found.append(
                    Check(about, expected, str(error), is_met, "", True, is_answer=False)
                )
                continue
            if degrees_c is None:
                continue
            is_met = allowed is None or allowed[0] <= degrees_c <= allowed[1]
            got, remedy = f"{degrees_c:.1f} C", "see to its cooling"
            found.append(Check(about, expected, got, is_met, remedy, passes=True, device=name))
        if allowed is not None and not found:
            return [Check("temperature", expected, "told by none", True, "", device="camera")]
        return found

    def _shutter(self, *, is_lit: bool) -> Check:
        """Say whether the shutter is as it was told to be."""
        shutter, expected = self._instrument.shutter, "open" if is_lit else "closed"
        if shutter is None:
            return Check("shutter", "any", "none: the light is always on", True, "")
        asked = partial(Check, "shutter", expected, device="shutter")
        try:
            is_open = shutter.is_open()
        except DeviceError as error:
            return asked(str(error), False, "", True, is_answer=False)
        got = "open" if is_open else "closed"
        remedy = "see what has closed it" if is_lit else "close it, and mind the beam"
        return asked(got, is_open is is_lit, remedy, passes=is_lit)


def require(checks: list[Check], log: ScanLog) -> None:
    """Raise ``LimitError`` with all that is not as it must be."""
    for check in checks:
        log.info(f"checked: {check.name}: expected {check.expected}, got {check.got}")
    if unmet := [str(check) for check in checks if not check.is_met]:
        raise LimitError(f"nothing moved: {'; '.join(unmet)}")
