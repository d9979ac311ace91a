"""How well a place could tell where it is, before it is learnt."""

import numpy as np
from numpy.typing import NDArray

from acquisition.landmark_comparison import deviations
from acquisition.landmark_noise import check_visit, scatter, variance_of_mean
from configs.instrument import Sensor

Float64 = NDArray[np.float64]
Images = NDArray[np.uint16]


def expected_sd_um(
    here: Images, beside: Images, below: Images, step_um: float, frames: int, sensor: Sensor
) -> tuple[float, float]:
    """Return how well a place could tell where it is, from looks at it and its neighbours.

    Parameters
    ----------
    here, beside, below
        (frames, y, x) each, digital numbers: at the place, and a step along x and along y
        from it; on which side is the same. Two frames or more, to know their noise.
    step_um
        Length of the step.
    frames
        Of a later visit.
    sensor
        Gain, offset and read noise.

    Returns
    -------
    tuple
        Standard deviation (x, y) of an estimate that knows the model: the Cramér-Rao bound
        with the power unknown; infinite where the looks show nothing but noise.

    Raises
    ------
    ValueError
        If the images are not of one size, or fewer than two of a place.

    Notes
    -----
    With K = (here, beside, below), means of frames, and V the variance of a pixel in one,
    the information of n frames is n T G T^T with

        G_ij = sum_pixels (K_i K_j - delta_ij var K_i) / V:

    else noise in the differences would pass for contrast. T takes these, and the mean for
    the power; power that differs between looks puts some of the mean into the differences,
    where it carries no information.
    """
    looks = (here, beside, below)
    for look in looks:
        check_visit(look, here.shape[1:], at_least=2)
    light = np.stack([sensor.electrons(k.mean(axis=0, dtype=np.float64)) for k in looks])
    one_frame = variance_of_mean(light.mean(axis=0), 1, sensor.added_variance_e2)
    noise = [np.sum(scatter(k, sensor) / one_frame) / len(k) for k in looks]
    products = np.einsum("iyx,jyx->ij", light / one_frame, light) - np.diag(noise)
    step = 1 / step_um
    take = np.array([[-step, step, 0], [-step, 0, step], [1 / 3, 1 / 3, 1 / 3]])
    sd = deviations(frames * (take @ products @ take.T))
    return (float(sd[0]), float(sd[1]))
