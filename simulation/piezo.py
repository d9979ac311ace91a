"""One piezo axis: where it is at any time, given what it was told.

The controller runs its reference r(t) from where it is to the target at the slew
rate, and the axis follows as a critically damped second-order system,

    x'' + 2 w x' + w^2 x = w^2 r(t).

Between two commands r is a ramp and then constant, so x(t) has a closed form and
does not depend on when, or how often, anybody looks. x is r seen through a filter
with a positive impulse response: the axis never moves faster than the reference.

Open loop, the axis goes where its voltage takes it: with the hysteresis and the creep
of a piezo ceramic.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from configs.geometry import SQUARE_NM

ON_TARGET_WINDOW_UM: Final = 0.002
"""An axis counts as on target inside this distance ..."""
ON_TARGET_DWELL_S: Final = 0.001
"""... once it has stayed there for this long."""

_SETTLED_NM: Final = 1.0
_NOISE_TONES: Final = 16
# Full-stroke hysteresis is 2 * sum(share * width) = 12 % of the range, and creep 1.5 % of a
# step per decade of time: typical of PZT.
_HYSTERESIS: Final = ((0.1, 0.1), (0.1, 0.2), (0.1, 0.3))
_CREEP_PER_DECADE: Final = 0.015
_CREEP_ONSET_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Decay:
    """How a critically damped axis forgets: ``(a + b t) exp(-rate t)``."""

    a: float
    b: float
    rate: float

    @classmethod
    def starting(cls, offset: float, slope: float, rate: float) -> Self:
        """Make the decay that has this value and this derivative at t = 0."""
        return cls(offset, slope + rate * offset, rate)

    def value(self, t: float) -> float:
        return (self.a + self.b * t) * math.exp(-self.rate * t)

    def slope(self, t: float) -> float:
        return (self.b - self.rate * (self.a + self.b * t)) * math.exp(-self.rate * t)

    def time_within(self, size: float) -> float:
        """Time from which on the decay stays within +-size, to a millionth of 1 / rate."""
        turn = 1 / self.rate - self.a / self.b if self.b else 0.0
        low = max(turn, 0.0)
        if abs(self.value(low)) > size:
            step = 1 / self.rate
            while abs(self.value(low + step)) > size:
                low, step = low + step, 2 * step
            high = low + step
        elif abs(self.a) > size:
            low, high = 0.0, -self.a / self.b  # through zero, and back by no more than size
        else:
            return 0.0
        while (high - low) * self.rate > 1e-6:
            middle = (low + high) / 2
            low, high = (middle, high) if abs(self.value(middle)) > size else (low, middle)
        return high


# Settling time times rate, for a step of one square: the root of (1 + s) exp(-s) = 1 / 180.
_SETTLING_RADIANS: Final = _Decay.starting(SQUARE_NM, 0.0, 1.0).time_within(_SETTLED_NM)


@dataclass(frozen=True, slots=True)
class _Motion:
    """What follows one command, in closed form."""

    begun_s: float
    reference_um: float
    target_um: float
    slew_um_per_s: float  # signed; 0 where the reference jumps
    ramp_s: float
    ramp: _Decay  # axis less its steady lag behind the ramp
    rest: _Decay  # axis less target, from the end of the ramp

    @classmethod
    def at_rest(cls, position_um: float, now_s: float, rate: float) -> Self:
        still = _Decay(0.0, 0.0, rate)
        return cls(now_s, position_um, position_um, 0.0, 0.0, still, still)

    def towards(self, target_um: float, now_s: float, slew_um_per_s: float) -> "_Motion":
        """Leave this motion at ``now_s`` for another target; position and speed go on."""
        reference, rate = self.reference(now_s), self.rest.rate
        position, velocity = self.position(now_s), self.velocity(now_s)
        distance = target_um - reference
        ramp_s = abs(distance) / slew_um_per_s
        slew = math.copysign(slew_um_per_s, distance) if ramp_s > 0 else 0.0
        lag = 2 * slew / rate
        ramp = _Decay.starting(position - (reference - lag), velocity - slew, rate)
        rest = (
            _Decay.starting(ramp.value(ramp_s) - lag, slew + ramp.slope(ramp_s), rate)
            if ramp_s > 0
            else _Decay.starting(position - target_um, velocity, rate)
        )
        return _Motion(now_s, reference, target_um, slew, ramp_s, ramp, rest)

    def reference(self, now_s: float) -> float:
        elapsed = now_s - self.begun_s
        if elapsed >= self.ramp_s:
            return self.target_um
        return self.reference_um + self.slew_um_per_s * elapsed

    def position(self, now_s: float) -> float:
        elapsed = now_s - self.begun_s
        if elapsed >= self.ramp_s:
            return self.target_um + self.rest.value(elapsed - self.ramp_s)
        lag = 2 * self.slew_um_per_s / self.ramp.rate
        return self.reference(now_s) - lag + self.ramp.value(elapsed)

    def velocity(self, now_s: float) -> float:
        elapsed = now_s - self.begun_s
        if elapsed >= self.ramp_s:
            return self.rest.slope(elapsed - self.ramp_s)
        return self.slew_um_per_s + self.ramp.slope(elapsed)


class _Noise:
    """Stationary noise as a function of time: tones of random frequency and phase."""

    def __init__(self, rms_um: float, bandwidth_hz: float, random: np.random.Generator) -> None:
        # One tone per equal slice of the band: no slice is empty, and nothing repeats.
        slices = np.arange(_NOISE_TONES) + random.random(_NOISE_TONES)
        radians_per_s = 2 * np.pi * bandwidth_hz * slices / _NOISE_TONES
        phases = 2 * np.pi * random.random(_NOISE_TONES)
        self._amplitude_um = rms_um * math.sqrt(2 / _NOISE_TONES)
        self._tones = tuple(zip(radians_per_s.tolist(), phases.tolist(), strict=True))

    def at(self, now_s: float) -> float:
        if self._amplitude_um == 0:
            return 0.0
        return self._amplitude_um * sum(math.sin(w * now_s + p) for w, p in self._tones)


class _Hysteresis:
    """Prandtl-Ishlinskii operator: a weighted sum of plays (Kuhnen, Eur. J. Control 2003)."""

    def __init__(self, position_um: float, range_um: float) -> None:
        self._plays = [(share, width * range_um, position_um) for share, width in _HYSTERESIS]

    def drive(self, value_um: float) -> float:
        """Where the ceramic goes when its voltage stands for ``value_um``."""
        self._plays = [
            (share, width, max(value_um - width, min(value_um + width, held)))
            for share, width, held in self._plays
        ]
        follows = 1 - sum(share for share, _, _ in self._plays)
        return follows * value_um + sum(share * held for share, _, held in self._plays)


@dataclass(frozen=True, slots=True)
class _Creep:
    """Slow logarithmic motion after a step of the voltage."""

    begun_s: float
    past_um: float
    step_um: float

    def at(self, now_s: float) -> float:
        elapsed = max(now_s - self.begun_s, 0.0)
        decades = math.log10(1 + elapsed / _CREEP_ONSET_S)
        return self.past_um + _CREEP_PER_DECADE * self.step_um * decades


class PiezoAxis:
    """A closed-loop piezo axis, a pure function of time given its commands.

    Parameters
    ----------
    settling_ms
        Until a step of 180 nm has come to rest within a nanometre, the time that the
        reference needs for the step apart.
    slew_um_per_s
        Speed of the reference; ``inf`` lets it jump.
    noise_nm
        Root mean square. What the axis does and what its sensor reads differ from the
        mean motion by this much each, independently: a loop hides its sensor's noise
        from the sensor, not from the sample.
    reach_um
        Lowest and highest position that the ceramic gets to at all.
    start_um
        Position and target at the beginning.
    random
        Fixes the noise.
    """

    def __init__(
        self,
        *,
        settling_ms: float,
        slew_um_per_s: float,
        noise_nm: float,
        reach_um: tuple[float, float],
        start_um: float,
        random: np.random.Generator,
    ) -> None:
        rate = _SETTLING_RADIANS / settling_ms * 1000
        self._reach_um = reach_um
        self._slew_um_per_s = slew_um_per_s
        self._motion = _Motion.at_rest(start_um, 0.0, rate)
        self._target_um = start_um
        self._open_loop: _Hysteresis | None = None
        self._creep = _Creep(0.0, 0.0, 0.0)
        # The loop's bandwidth, with which its noise dies down.
        self._jitter = _Noise(noise_nm / 1000, rate / (2 * math.pi), random)
        self._sensor = _Noise(noise_nm / 1000, rate / (2 * math.pi), random)

    @property
    def target_um(self) -> float:
        """The last target; after a stop, where the reference stood; open loop, the value."""
        return self._target_um

    def command(self, target_um: float, now_s: float) -> None:
        """Start towards a target, closed loop."""
        if self._open_loop is not None:
            self.hold(now_s)
        self._motion = self._motion.towards(target_um, now_s, self._slew_um_per_s)
        self._target_um = target_um

    def hold(self, now_s: float) -> None:
        """Close the loop, if it is open, on the present position."""
        if self._open_loop is not None:
            self._motion = _Motion.at_rest(self.mean_um(now_s), now_s, self._motion.rest.rate)
            self._open_loop, self._creep = None, _Creep(0.0, 0.0, 0.0)
            self._target_um = self._motion.target_um

    def drive(self, value_um: float, now_s: float) -> None:
        """Set the open-loop value: the position a linear piezo would have."""
        if self._open_loop is None:
            low, high = self._reach_um
            self._open_loop = _Hysteresis(self.mean_um(now_s), high - low)
        goal = self._open_loop.drive(value_um)
        step = goal - self._motion.target_um
        self._creep = _Creep(now_s, self._creep.at(now_s), step)
        self._motion = self._motion.towards(goal, now_s, math.inf)
        self._target_um = value_um

    def stop(self, now_s: float) -> None:
        """Stop the reference where it is; the axis comes to rest there."""
        if self._open_loop is None:
            self.command(self._motion.reference(now_s), now_s)

    def mean_um(self, now_s: float) -> float:
        """Where the mechanics are, without noise."""
        low, high = self._reach_um
        return min(max(self._wanted_um(now_s), low), high)

    def actual_um(self, now_s: float) -> float:
        """Where the mechanics are, with what the loop's noise makes of them."""
        return self.mean_um(now_s) + self._jitter.at(now_s)

    def measured_um(self, now_s: float) -> float:
        """Position that the sensor reads."""
        return self.mean_um(now_s) + self._sensor.at(now_s)

    def moving(self, now_s: float) -> bool:
        """Whether the reference is under way; the axis settles after that."""
        return now_s < self._motion.begun_s + self._motion.ramp_s

    def saturated(self, now_s: float) -> bool:
        """Whether the axis is asked to go beyond its reach."""
        low, high = self._reach_um
        return not low <= self._wanted_um(now_s) <= high

    def settled_s(self) -> float:
        """When the axis has been on target for the dwell, and for good.

        The mean motion decides: controllers filter their sensor's noise here. Never
        before the reference has arrived; ``inf`` where the target is beyond the reach.
        """
        low, high = self._reach_um
        window_um, motion = ON_TARGET_WINDOW_UM, self._motion
        if not low - window_um <= motion.target_um <= high + window_um:
            return math.inf
        arrived_s = motion.begun_s + motion.ramp_s
        return arrived_s + motion.rest.time_within(window_um) + ON_TARGET_DWELL_S

    def _wanted_um(self, now_s: float) -> float:
        return self._motion.position(now_s) + self._creep.at(now_s)
