"""Moving the stage: no faster than it may, every call with a deadline, verified."""

import math
from typing import Final

import numpy as np

from acquisition.instrument import Instrument
from acquisition.watchdog import Watchdog
from configs.errors import DeviceError
from configs.instrument import InstrumentConfig
from drivers.protocols import XYStage

ANSWER_S: Final = 2.0
"""For a device to take a command or to answer a question."""
STEP_S: Final = 0.05
"""Of a long move, where the speed is limited."""

Place = tuple[float, float]


class Motion:
    """Moves a stage.

    Where its speed is limited, a move goes in steps of ``STEP_S``, and no move ends sooner
    than the limit lets it: that is its mean speed. How fast the stage goes within a step is
    a matter of its controller.

    Parameters
    ----------
    config
        Timing and limits.
    instrument, watchdog
        The stage and its clock, and who looks after calls that hang.
    """

    def __init__(
        self, config: InstrumentConfig, instrument: Instrument, watchdog: Watchdog
    ) -> None:
        self._timing, self._speed_um_per_s = config.timing, config.limits.speed_um_per_s
        self._stage, self._clock = instrument.stage, instrument.clock
        self._watchdog = watchdog
        self._read_um, self._read_s = (0.0, 0.0), 0.0

    def move(self, commanded_um: Place) -> Place:
        """Move, wait until settled, and return the verified read-back.

        Raises
        ------
        DeviceError
            If the stage refuses, does not settle in time, was too fast or is elsewhere.
        """
        leg_s = self._walk_towards(commanded_um)
        began_s = self._clock.now()
        self._start(commanded_um)
        self._watchdog.expect("stage: settle", self._timing.move_timeout_s)
        self._stage.wait_settled(self._timing.move_timeout_s)
        if leg_s:
            self._clock.sleep(max(began_s + leg_s - self._clock.now(), 0.0))
        readback_um = self._readback()
        if self._speed_um_per_s is not None:
            self._check_speed(readback_um, self._speed_um_per_s)
        error_nm = 1000 * math.dist(readback_um, commanded_um)
        if not error_nm <= self._timing.position_tolerance_nm:
            raise DeviceError(
                "stage: expected to be within"
                f" {self._timing.position_tolerance_nm:g} nm of {commanded_um}, got"
                f" {error_nm:.1f} nm away; check the servo or the tolerance"
            )
        return readback_um

    def _walk_towards(self, commanded_um: Place) -> float:
        """Take the steps before the last one; return how long that is to take at least."""
        if self._speed_um_per_s is None:
            return 0.0
        from_um = self._readback()
        if not all(map(math.isfinite, from_um)):
            raise DeviceError(f"stage: expected a position, got {from_um}; check its servo")
        self._read_um, self._read_s = from_um, self._clock.now()
        distance_um = math.dist(from_um, commanded_um)
        steps = max(math.ceil(distance_um / (self._speed_um_per_s * STEP_S)), 1)
        for step in range(1, steps):
            place_um = np.array(from_um) + step / steps * np.subtract(commanded_um, from_um)
            # It may begin beyond its limits, if somebody else has moved it there.
            self._start(within_limits(self._stage, place_um[0], place_um[1]))
            self._clock.sleep(STEP_S)
            self._check_speed(self._readback(), self._speed_um_per_s)
        return distance_um / steps / self._speed_um_per_s

    def _start(self, place_um: Place) -> None:
        self._watchdog.expect("stage: move", ANSWER_S + STEP_S)
        self._stage.move_to(*place_um)

    def _readback(self) -> Place:
        self._watchdog.expect("stage: read back", ANSWER_S)
        readback_um = self._stage.position()
        self._watchdog.answered()
        return readback_um

    def _check_speed(self, readback_um: Place, speed_um_per_s: float) -> None:
        """Raise where the stage has gone farther since it was last read than it may.

        It may lag one step behind and catch up, and a read-back tells no better than the
        tolerance.
        """
        now_s = self._clock.now()
        seconds, moved_um = now_s - self._read_s, math.dist(readback_um, self._read_um)
        self._read_um, self._read_s = readback_um, now_s
        tolerance_um = 2 * self._timing.position_tolerance_nm / 1000
        if not moved_um <= speed_um_per_s * (seconds + STEP_S) + tolerance_um:
            raise DeviceError(
                f"stage: expected at most {speed_um_per_s:g} um/s, got {moved_um:.2f} um in"
                f" {1000 * seconds:.0f} ms; let its controller go slower, or raise"
                " limits.speed_um_per_s"
            )


def within_limits(stage: XYStage, x_um: float, y_um: float) -> Place:
    """Return the place nearest to one to which the stage may go."""
    (x_low_um, x_high_um), (y_low_um, y_high_um) = stage.limits.x_um, stage.limits.y_um
    return (
        float(np.clip(x_um, x_low_um, x_high_um)),
        float(np.clip(y_um, y_low_um, y_high_um)),
    )
