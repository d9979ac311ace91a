"""Noise in the frames of a landmark."""

import numpy as np
from numpy.typing import NDArray

from configs.instrument import Sensor

Float64 = NDArray[np.float64]
Images = NDArray[np.uint16]


def variance_of_mean(light_e: Float64, frames: int, added_e2: Float64 | float) -> Float64:
    """Variance of the mean of frames: photon noise and what is added, electrons squared."""
    variance: Float64 = (np.clip(light_e, 0, None) + added_e2) / frames
    return variance


def scatter(images: Images, sensor: Sensor) -> Float64:
    """Variance between frames, the axis before the last two, electrons squared."""
    adu2: Float64 = images.var(axis=-3, ddof=1, dtype=np.float64)
    return adu2 * sensor.gain_e_per_adu**2


def read_variance(images: Images, light_e: Float64, sensor: Sensor) -> Float64:
    """Return what read-out adds to the variance of every pixel, (y, x).

    Pixels differ: the scatter of the frames counts as far as it is more certain than that
    all are like the sensor, give or take as much.
    """
    usual = sensor.added_variance_e2
    expected = variance_of_mean(light_e, 1, usual)
    freedom = len(images) * (images.shape[1] - 1)
    if freedom == 0:
        return np.full_like(expected, usual)
    excess = scatter(images, sensor).mean(axis=0) - expected
    doubt = 2 * expected**2 / freedom
    read: Float64 = usual + excess * usual**2 / (usual**2 + doubt)
    return np.maximum(read, sensor.gain_e_per_adu**2 / 12)


def check_visit(images: Images, expected: tuple[int, ...], at_least: int = 1) -> None:
    """Raise ``ValueError`` unless a visit has frames of that shape, (y, x), and so many."""
    if images.ndim != 3 or images.shape[1:] != expected or len(images) < at_least:
        raise ValueError(
            f"visit: expected images (frames, {', '.join(map(str, expected))}), {at_least} or"
            f" more, got {images.shape}; take them with the window of the others"
        )
