"""Has the sample drifted? A landmark looked at again and again.

The beam is fixed, so a drift does not shift the camera image: it changes it.
Frames are therefore not registered but compared, pixel by pixel, in units of
their noise.
"""

import math

import numpy as np
from numpy.typing import NDArray

from configs.instrument import Sensor


def normalised_residual(
    first: NDArray[np.uint16], later: NDArray[np.uint16], sensor: Sensor
) -> float:
    """Return how much two visits differ, in units of noise.

    Parameters
    ----------
    first, later
        (frames, y, x), digital numbers; the frames of a visit are summed.
    sensor
        Gain, offset and read noise.

    Returns
    -------
    float
        Root mean square over the pixels of the difference divided by its standard
        deviation, after scaling ``later`` to the light of ``first``: about 1 for
        noise alone, whatever the power of the laser.
    """
    a, b = (_electrons(visit, sensor) for visit in (first, later))
    total = float(b.sum())
    scale = float(a.sum()) / total if total > 0 else 1.0
    if not 0.5 < scale < 2:
        scale = 1.0  # the light has gone or come: no power noise, let it show
    variance = _variance(a, len(first), sensor) + scale**2 * _variance(b, len(later), sensor)
    return math.sqrt(float(np.mean((a - scale * b) ** 2 / variance)))


def _electrons(visit: NDArray[np.uint16], sensor: Sensor) -> NDArray[np.float64]:
    summed = visit.sum(axis=0, dtype=np.float64)
    electrons: NDArray[np.float64] = (summed - len(visit) * sensor.offset_adu) * (
        sensor.gain_e_per_adu
    )
    return electrons


def _variance(
    electrons: NDArray[np.float64], frames: int, sensor: Sensor
) -> NDArray[np.float64]:
    """Variance of a sum of frames: photon, read and rounding noise, electrons squared."""
    constant = sensor.read_noise_e**2 + sensor.gain_e_per_adu**2 / 12
    variance: NDArray[np.float64] = np.clip(electrons, 0, None) + frames * constant
    return variance
