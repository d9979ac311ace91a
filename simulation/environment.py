"""What disturbs a simulated microscope: a sample that moves, a laser that flickers, dust.

Drift is linear in time and carries a random walk, on the sample plane and in focus
alike; vibration and laser noise are new in every frame. Everything is a function of
the environment, the seed and the times, so a run's metadata say it all.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from configs.instrument import Environment
from simulation.streams import Stream, numpy_stream

Float64 = NDArray[np.float64]

_RADIUS_SPREAD: Final = 0.3


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The state of the microscope at the middle of each of n exposures.

    Attributes
    ----------
    displacement_nm
        (n, 2), by how much (x, y) the sample is displaced from where the stage has it.
    focus_nm
        (n,), the same along the axis, away from the nominal defocus.
    power
        (n,), laser power relative to its mean, at least 0.
    """

    displacement_nm: Float64
    focus_nm: Float64
    power: Float64


class Disturbances:
    """What happens to a microscope in the course of time.

    Parameters
    ----------
    environment
        How large each disturbance is.
    seed
        Every disturbance draws from its own stream of it.
    """

    def __init__(self, environment: Environment, seed: int) -> None:
        self._environment = environment
        self._walk = _Brownian(
            environment.random_walk_nm_per_sqrt_min, 2, numpy_stream(seed, Stream.RANDOM_WALK)
        )
        self._focus_walk = _Brownian(
            environment.focus_walk_nm_per_sqrt_min, 1, numpy_stream(seed, Stream.FOCUS_WALK)
        )
        self._vibration = numpy_stream(seed, Stream.VIBRATION)
        self._laser = numpy_stream(seed, Stream.LASER)

    def at(self, times_s: Float64) -> Disturbance:
        """Return the state at times since the start, (n,), frame after frame.

        However the frames of a scan are divided over calls, they get the same numbers.

        Raises
        ------
        ValueError
            If a time is before 0 or before one that was asked for already.
        """
        minutes = times_s / 60
        environment, frames = self._environment, len(times_s)
        drift = minutes[:, None] * np.array(environment.drift_nm_per_min)
        vibration = environment.vibration_nm * self._vibration.standard_normal((frames, 2))
        flicker = environment.laser_noise * self._laser.standard_normal(frames)
        return Disturbance(
            displacement_nm=drift + self._walk.at(minutes) + vibration,
            focus_nm=minutes * environment.focus_drift_nm_per_min
            + self._focus_walk.at(minutes)[:, 0],
            power=np.maximum(1 + flicker, 0),
        )


class _Brownian:
    """Brownian motion along some axes, at rest until time 0."""

    def __init__(self, nm_per_sqrt_min: float, axes: int, random: np.random.Generator) -> None:
        self._nm_per_sqrt_min = nm_per_sqrt_min
        self._random = random
        self._minute = 0.0
        self._nm = np.zeros((1, axes))

    def at(self, minutes: Float64) -> Float64:
        """Displacement, (n, axes), at times that never decrease, (n,)."""
        minutes = np.append(self._minute, minutes)
        passed = np.diff(minutes)
        if not (passed >= 0).all():
            raise ValueError(
                f"expected times that do not decrease, from {60 * self._minute:g} s on, got"
                f" {60 * minutes[1:].min():g} s; make new Disturbances to begin again"
            )
        normal = self._random.standard_normal((len(passed), self._nm.size))
        steps = self._nm_per_sqrt_min * np.sqrt(passed)[:, None] * normal
        # One sum from the beginning: the same bits, however the times are divided.
        path = np.cumsum(np.concatenate([self._nm, steps]), axis=0)
        self._minute, self._nm = float(minutes[-1]), path[-1:]
        return path[1:]


def dust_transmission(
    environment: Environment, image_px: int, seed: int
) -> NDArray[np.float32]:
    """Return what the dust on the camera's cover glass lets through.

    A speck is far out of focus, so its shadow is taken as a Gaussian; it hangs on the
    camera, so it stays where it is while sample and beam move. Shadows that overlap
    multiply.

    Parameters
    ----------
    environment
        Number, radius and depth of the shadows.
    image_px
        Side of the delivered image.
    seed
        Of their places, and of their radii: log-normal around the typical one.

    Returns
    -------
    NDArray
        (image_px, image_px), transmitted fraction, averaged over each pixel.
    """
    random = numpy_stream(seed, Stream.DUST)
    transmission = np.ones((image_px, image_px))
    for _ in range(environment.dust_specks):
        y, x = random.uniform(0, image_px, 2)
        spread = math.exp(_RADIUS_SPREAD * random.standard_normal())
        radius_px = environment.dust_radius_px * spread
        shadow = np.outer(_profile(y, radius_px, image_px), _profile(x, radius_px, image_px))
        transmission *= 1 - environment.dust_depth * shadow
    return transmission.astype(np.float32)


def _profile(middle: float, radius_px: float, image_px: int) -> Float64:
    """Mean over each pixel, (image_px,), of a Gaussian that falls to a half at the radius."""
    width = radius_px / math.sqrt(math.log(2))
    edges = (torch.arange(image_px + 1, dtype=torch.float64) - middle) / width
    mean: Float64 = torch.erf(edges).diff().numpy() * (width * math.sqrt(math.pi) / 2)
    return mean
