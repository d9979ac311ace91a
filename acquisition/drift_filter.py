"""Where the sample is now, from looks at its landmark now and then.

Each axis is followed by itself, with a position p and a rate v that a random walk changes:

    p(t + dt) = p + v dt,   v(t + dt) = v,   plus variance  q_p dt  and  q_v dt,

and looks that measure p with a standard deviation of their own (Kalman, J. Basic Eng. 82, 35,
1960). A look that is farther from the prediction than chance allows is a jump: the position
begins anew there, the rate is kept.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_ANYWHERE_NM: Final = 1e4
"""Standard deviation of a position that nobody knows."""

_JUMP_SIGMAS: Final = 5.0
_SURE_SIGMAS: Final = 6.0
"""A drift this far beyond its error is one; less than that is not followed at all."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How restless a sample is along some axes; see above.

    Attributes
    ----------
    axes
        How many.
    walk_nm2_per_min, rate_walk_nm2_per_min3
        q_p and q_v.
    rate_sd_nm_per_min
        Standard deviation of the rate at the beginning.
    """

    axes: int
    walk_nm2_per_min: float
    rate_walk_nm2_per_min3: float
    rate_sd_nm_per_min: float


ACROSS: Final = Motion(2, 4.0, 0.25, 10.0)
"""Along x and y."""
ALONG: Final = Motion(1, 25.0, 1.0, 20.0)
"""Along the beam, where mounts and objectives expand as well."""


class DriftFilter:
    """Follows the drift of a sample along some axes, in nanometres.

    Parameters
    ----------
    motion
        What to expect of it.

    Attributes
    ----------
    has_moved
        Whether any look so far left no doubt that the sample moves.
    """

    def __init__(self, motion: Motion) -> None:
        self.has_moved = False
        self._motion = motion
        self._state = np.zeros((motion.axes, 2))  # axis; position nm, rate nm/min
        self._covariance = self._doubt(0.0)
        self._minutes = 0.0

    def forget(self) -> None:
        """Let the next look say where the sample is: for an unknown time nobody has looked.

        Position and rate stay what they were until then.
        """
        self._covariance = self._doubt(_ANYWHERE_NM)

    def look(self, time_s: float, drift_nm: Float64, sd_nm: Float64) -> Float64:
        """Take a look at the landmark.

        Parameters
        ----------
        time_s
            Of the look; looks come in the order of their times.
        drift_nm, sd_nm
            (axes,), measured drift since the beginning, and its standard deviation.

        Returns
        -------
        (axes,), how far the sample has jumped, nm; 0 along an axis where it has not.
        """
        self._advance(time_s / 60)
        jump_nm = np.zeros(self._motion.axes)
        self.has_moved |= bool((np.abs(drift_nm) > _SURE_SIGMAS * sd_nm).any())
        for axis in range(self._motion.axes):
            state, covariance = self._state[axis], self._covariance[axis]
            innovation = drift_nm[axis] - state[0]
            variance = covariance[0, 0] + sd_nm[axis] ** 2
            if innovation**2 > _JUMP_SIGMAS**2 * variance:
                state[0], jump_nm[axis] = drift_nm[axis], innovation
                self._covariance[axis] = np.diag([sd_nm[axis] ** 2, covariance[1, 1]])
                continue
            gain = covariance[:, 0] / variance
            state += gain * innovation
            self._covariance[axis] = covariance - np.outer(gain, covariance[0])
        return jump_nm

    def at(self, time_s: float) -> tuple[float, ...]:
        """Return the drift along each axis in nanometres at a time after the last look."""
        minutes = max(time_s / 60 - self._minutes, 0.0)
        return tuple((self._state[:, 0] + self._state[:, 1] * minutes).tolist())

    def _doubt(self, position_sd_nm: float) -> Float64:
        """Return covariances, (axes, 2, 2), of a sample of which nothing else is known."""
        sd = np.array([position_sd_nm, self._motion.rate_sd_nm_per_min])
        return np.array([np.diag(sd**2)] * self._motion.axes)

    def _advance(self, minutes: float) -> None:
        passed = max(minutes - self._minutes, 0.0)
        self._state[:, 0] += self._state[:, 1] * passed
        for axis in range(self._motion.axes):
            self._covariance[axis] = _grown(self._covariance[axis], passed, self._motion)
        self._minutes = max(minutes, self._minutes)


def _grown(covariance: Float64, minutes: float, motion: Motion) -> Float64:
    """Return the covariance of position and rate some time later."""
    step = np.array([[1.0, minutes], [0.0, 1.0]])
    walks = (motion.walk_nm2_per_min, motion.rate_walk_nm2_per_min3)
    added = np.diag(walks) * minutes
    grown: Float64 = step @ covariance @ step.T + added
    return grown
