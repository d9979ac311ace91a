"""Has the sample drifted? A landmark looked at again and again.

The beam is fixed, so a drift does not shift the camera image: it changes it.
Frames are therefore not registered but compared, pixel by pixel.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from configs.instrument import Sensor

_SIGMAS: Final = 4


def normalised_residual(
    first: NDArray[np.uint16], later: NDArray[np.uint16], sensor: Sensor
) -> float:
    """Return how much the light of two visits differs, relative to the light.

    Parameters
    ----------
    first, later
        (frames, y, x), digital numbers; the frames of a visit are summed.
    sensor
        Gain, offset and read noise.

    Returns
    -------
    float
        Root of the summed squares of the difference, less what noise contributes at
        four standard deviations, over that of ``first``; after scaling ``later`` to the
        light of ``first``. 0 is nothing that noise could not explain, whatever the
        exposure and the power of the laser.
    """
    a, b = (_electrons(visit, sensor) for visit in (first, later))
    total = float(b.sum())
    scale = float(a.sum()) / total if total > 0 else 1.0
    if not 0.5 < scale < 2:
        scale = 1.0  # the light has gone or come: no power noise, let it show
    noise = _variance(a, len(first), sensor) + scale**2 * _variance(b, len(later), sensor)
    # The sum of squares of a normal variable has twice its squared variance as variance.
    expected = float(noise.sum()) + _SIGMAS * math.sqrt(2 * float(np.sum(noise**2)))
    excess = float(np.sum((a - scale * b) ** 2)) - expected
    light = max(float(np.sum(a**2)), float(np.sum(noise)))
    return math.sqrt(max(excess, 0.0) / light)


def _electrons(visit: NDArray[np.uint16], sensor: Sensor) -> NDArray[np.float64]:
    electrons: NDArray[np.float64] = sensor.electrons(visit.astype(np.float64)).sum(axis=0)
    return electrons


def _variance(
    electrons: NDArray[np.float64], frames: int, sensor: Sensor
) -> NDArray[np.float64]:
    """Variance of a sum of frames: photon, read and rounding noise, electrons squared."""
    added = frames * sensor.added_variance_e2
    variance: NDArray[np.float64] = np.clip(electrons, 0, None) + added
    return variance
