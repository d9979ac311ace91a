"""One axis of the simulated GCS controller, and the errors that refuse a command."""

import math
from enum import IntEnum

import numpy as np

from configs.instrument import SimulatedStageConfig
from simulation.piezo import PiezoAxis


class ErrorCode(IntEnum):
    """Error codes of GCS 2.0 that the simulated controller sets."""

    SYNTAX = 1
    UNKNOWN_COMMAND = 2
    TOO_LONG = 3
    SERVO_OFF = 5
    POSITION_LIMIT = 7
    VELOCITY_LIMIT = 8
    STOPPED = 10
    BAD_AXIS = 15
    OUT_OF_RANGE = 17
    DUPLICATE_AXIS = 22
    PARAMETER_COUNT = 24
    UNKNOWN_PARAMETER = 54
    AUTOZERO_RUNNING = 61
    SERVO_ON = 79


class Refusal(Exception):
    """A command line that cannot run; none of it does."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(f"GCS error {code:d}")
        self.code = code


class GcsAxis:
    """Mechanics, servo, velocity control and autozero of one axis.

    Parameters
    ----------
    mechanics
        Settling, slew and noise.
    travel_um
        Where the axis may be sent.
    reach_um
        Where the ceramic gets to.
    random
        Fixes the noise.
    """

    def __init__(
        self,
        mechanics: SimulatedStageConfig,
        travel_um: tuple[float, float],
        reach_um: tuple[float, float],
        random: np.random.Generator,
    ) -> None:
        self.travel_um = travel_um
        self.velocity_um_per_s = mechanics.slew_um_per_s
        self.velocity_control = True
        self.servo = False
        self.piezo = PiezoAxis(
            settling_ms=mechanics.settling_ms,
            slew_um_per_s=mechanics.slew_um_per_s,
            noise_nm=mechanics.noise_nm,
            reach_um=reach_um,
            start_um=min(max(sum(travel_um) / 2, reach_um[0]), reach_um[1]),
            random=random,
        )
        self._lowest_um = max(travel_um[0], reach_um[0])
        self._autozero_until_s = -math.inf
        self._autozeroed = False

    def on_target(self, now_s: float) -> bool:
        """Inside the window for the settling time, under servo."""
        return self.servo and now_s >= self.piezo.settled_s()

    def overflow(self, now_s: float) -> bool:
        """Whether the closed loop asks for more than the ceramic has."""
        return self.servo and self.piezo.saturated(now_s)

    def set_servo(self, on: bool, now_s: float) -> None:
        """Close the loop where the axis is, or leave its voltage as it is."""
        if on != self.servo:
            self.piezo.hold(now_s)
            self.piezo.stop(now_s)
            self.servo = on

    def limit_slew(self, velocity_um_per_s: float, control: bool, now_s: float) -> None:
        """Set the velocity, and whether it limits the reference at all."""
        self.velocity_um_per_s, self.velocity_control = velocity_um_per_s, control
        self.piezo.set_slew(velocity_um_per_s if control else math.inf, now_s)

    def autozero(self, now_s: float) -> None:
        """Start a sweep to the low end of the range."""
        self.piezo.command(self._lowest_um, now_s)
        self._autozero_until_s = self.piezo.settled_s()
        self._autozeroed = True

    def autozeroing(self, now_s: float) -> bool:
        """Whether that sweep is under way."""
        return now_s < self._autozero_until_s

    def autozeroed(self, now_s: float) -> bool:
        """Whether the last sweep came to its end."""
        return self._autozeroed and not self.autozeroing(now_s)

    def stop(self, now_s: float) -> None:
        """Halt, also an autozero."""
        if self.autozeroing(now_s):
            self._autozero_until_s, self._autozeroed = now_s, False
        self.piezo.stop(now_s)
