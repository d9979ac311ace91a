"""How far has the sample moved? A model of a landmark's light against the position.

The beam is fixed and the sample moves, so a drift does not shift the camera image: it
changes it. A dither pattern around the landmark teaches how, once; every later visit
then has its displacement estimated by maximum likelihood, with an uncertainty, and with
a reduced chi-squared that says whether a displacement explains what was seen.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from acquisition.landmark_comparison import Comparison
from acquisition.landmark_noise import check_visit, read_variance, variance_of_mean
from acquisition.polynomials import Polynomials
from acquisition.spatial_frequencies import cleaned, frequencies_of, images_of
from configs.errors import AcquisitionError
from configs.instrument import Sensor

Float64 = NDArray[np.float64]
Images = NDArray[np.uint16]

_POWERS: Final = (0.5, 2.0)
"""Light beyond these, relative to the dither's, has gone or come: no laser noise."""
_MARGIN: Final = 0.25
"""How far the search goes beyond the dither on each side, relative to its width."""
_PLACES: Final = 5
"""Places along an axis of the search before the refinement."""
_ITERATIONS: Final = 20
_CONVERGED_UM: Final = 1e-6
_SIGMAS: Final = 2
"""By how many standard deviations a shift must lie within the dither."""
_LIT_SIGMAS: Final = 5


@dataclass(frozen=True, slots=True)
class Shift:
    """Where a landmark appears to be.

    Attributes
    ----------
    shift_um
        (x, y), or (x, y, z) where the focus was dithered too: the offset of the drives from
        the nominal place at which the model looks like the images: s - d for images taken
        at offset s of a sample that has moved by d, both in coordinates of the drives. Moving
        them by its negative brings the landmark back.
    sd_um
        The same axes, one standard deviation of noise, that of the dither included; infinite
        where nothing is known. It holds where ``is_inside`` and ``chi_squared`` is near 1.
    chi_squared
        Reduced: 1 where noise explains the difference from the model, more where the focus,
        the sample or the light has changed. Noise spreads it by 0.1.
    power
        Light relative to that of the dither at the same place, 0.5 to 2: beyond, it is no
        laser noise and shows in ``chi_squared``.
    is_inside
        Whether the shift lies within the dithered range by two standard deviations.
        Otherwise it is a direction and a least size at best, not a measurement.
    """

    shift_um: tuple[float, ...]
    sd_um: tuple[float, ...]
    chi_squared: float
    power: float
    is_inside: bool


@dataclass(frozen=True, slots=True)
class LandmarkModel:
    """Light of a landmark against the offset of the drives: make one with ``fit``.

    Attributes
    ----------
    light_e
        (terms, y, x), coefficients of the polynomials, photo-electrons per frame.
    noise_e2
        (y, x), variance of a pixel in the mean of the frames of one dither position.
    read_e2
        (y, x), what read-out adds to the variance of a pixel of one frame.
    spread, overfit
        (terms, y, x), per spatial frequency and in units of the noise: variance of the
        coefficients, and the products of the coefficients with their own errors.
    band
        (y, x), weight of each spatial frequency in ``chi_squared`` of a visit: the share of
        signal in the slopes.
    low_um, high_um
        (axes,), the dithered range, (x, y) or (x, y, z).
    chi_squared
        Reduced, of the dither about its own polynomials: above 1 where the sample moved or
        changed meanwhile, or where the steps are too large.

    Notes
    -----
    The light at offset s is M(s) = sum_t light_t p_t(s), with polynomials p_t that are
    orthonormal over the dither. A visit of n frames with mean D is compared with it
    pixel by pixel, in units of its noise, and then by spatial frequency f, because the
    uncertainty of the model is not the same in all of them:

        u = F (D - a M(s)) / sqrt(V),   V = (a M(s) + read) / n,
        var u_f = 1 + a^2 <noise / V> sum_t p_t(s)^2 spread_tf,

    where a is the power of the laser and F the cosine transform. A sample that repeats
    itself, such as a grating, looks the same a period on: nothing here can tell.
    """

    light_e: Float64
    noise_e2: Float64
    read_e2: Float64
    spread: Float64
    overfit: Float64
    band: Float64
    low_um: Float64
    high_um: Float64
    chi_squared: float
    _sensor: Sensor
    _polynomials: "Polynomials"

    @classmethod
    def fit(cls, images: Images, offsets_um: Float64, sensor: Sensor) -> Self:
        """Learn the light around a landmark.

        Parameters
        ----------
        images
            (positions, frames, y, x), digital numbers.
        offsets_um
            (positions, axes), (x, y) or (x, y, z), from the nominal place: 5 x 5, 0.03 apart.
        sensor
            Gain, offset and read noise.

        Raises
        ------
        ValueError
            If shapes do not belong together or positions do not determine polynomials.
        AcquisitionError
            If there is no light.

        Notes
        -----
        Power at a position is whatever makes the total light a polynomial. It may take a
        part of M(s) for power; in ``estimate``, where power is free, that part tells nothing.
        A pixel's variance is averaged over the positions, so coefficients are independent.
        """
        offsets_um = np.asarray(offsets_um, dtype=np.float64)
        _check_dither(images, offsets_um)
        polynomials = Polynomials.over(offsets_um)
        at = polynomials.values(offsets_um)
        seen = sensor.electrons(images.mean(axis=1, dtype=np.float64))
        noise = variance_of_mean(seen.mean(axis=0), images.shape[1], sensor.added_variance_e2)
        steady = _steadying(seen, at, noise)[:, None, None] * seen
        white = frequencies_of(steady / np.sqrt(noise))  # (positions, y, x), variance 1
        terms = np.tensordot(at.T, white, axes=1)
        left = white - np.tensordot(at, terms, axes=1)
        freedom = len(white) - len(terms)
        found = cleaned(terms, np.sum(left**2, axis=0) / freedom)
        return cls(
            light_e=images_of(found.terms) * np.sqrt(noise),
            noise_e2=noise,
            read_e2=read_variance(images, seen.mean(axis=0), sensor),
            spread=found.spread,
            overfit=found.overfit,
            band=found.share[1 : 1 + offsets_um.shape[1]].mean(axis=0),
            low_um=offsets_um.min(axis=0),
            high_um=offsets_um.max(axis=0),
            chi_squared=float(np.mean(left**2)) * len(white) / freedom,
            _sensor=sensor,
            _polynomials=polynomials,
        )

    def estimate(self, images: Images) -> Shift:
        """Return where the landmark is in the images of a visit, (frames, y, x).

        The likelihood is searched on a grid that reaches beyond the dither by a quarter of
        its width, and refined from the best place by Gauss-Newton steps.

        Raises
        ------
        ValueError
            If the images are not of the dither's size.
        """
        check_visit(images, self.noise_e2.shape)
        seen = self._sensor.electrons(images.mean(axis=0, dtype=np.float64))
        at_um, power = self._refined(seen, len(images), self._nearest(seen, len(images)))
        found = self._compare(seen, len(images), at_um, power)
        sd_um = found.sd_um()
        inside = (self.low_um + _SIGMAS * sd_um <= at_um) & (
            at_um <= self.high_um - _SIGMAS * sd_um
        )
        misfit = float(np.sum(self.band * found.residual**2 / found.expected))
        return Shift(
            shift_um=tuple(at_um.tolist()),
            sd_um=tuple(sd_um.tolist()),
            chi_squared=misfit / max(float(self.band.sum()) - len(found.slopes), 1.0),
            power=power,
            is_inside=bool(inside.all()),
        )

    def precision_um(self, frames: int) -> tuple[float, ...]:
        """Return the standard deviation per axis of a visit of so many frames, undisturbed.

        A place is of use where this is below a twentieth of the dithered range. Beyond, a
        drift out of the range may pass for one inside, and a place without any contrast
        promises a sixth.
        """
        nominal = np.zeros_like(self.low_um)
        sd_um = self._compare(self._light(nominal[None])[0], frames, nominal, 1.0).sd_um()
        return tuple(sd_um.tolist())

    def _light(self, at_um: Float64) -> Float64:
        """Light per frame at offsets, (n, axes), at the dither's power: (n, y, x)."""
        light: Float64 = np.tensordot(self._polynomials.values(at_um), self.light_e, axes=1)
        return light

    def _compare(self, seen: Float64, frames: int, at_um: Float64, power: float) -> Comparison:
        """Compare the mean of a visit's frames, (y, x), with the model at a place, (axes,)."""
        values = self._polynomials.values(at_um[None])
        # Derivatives with respect to the place and the power, (axes + 1, terms), and those
        # of the light, (axes + 1, y, x).
        terms = np.concatenate([power * self._polynomials.slopes(at_um), values])
        slopes = np.tensordot(terms, self.light_e, axes=1)
        variance = variance_of_mean(power * slopes[-1], frames, self.read_e2)
        ratio = float(np.mean(self.noise_e2 / variance))
        unsure = np.tensordot(values[0] ** 2, self.spread, axes=1)
        expected = 1 + power**2 * ratio * unsure
        overfit = ratio * np.sum(self.overfit / expected, axis=(1, 2))
        return Comparison(
            residual=frequencies_of((seen - power * slopes[-1]) / np.sqrt(variance)),
            expected=expected,
            slopes=slopes / np.sqrt(variance),
            overfit=(terms * overfit) @ terms.T,
        )

    def _nearest(self, seen: Float64, frames: int) -> Float64:
        """Return the most likely of the places searched, (axes,)."""
        axes = np.linspace(*self._reach_um(), _PLACES)
        places_um = np.stack(np.meshgrid(*axes.T), axis=-1).reshape(-1, len(self.low_um))
        values, light = self._polynomials.values(places_um), self._light(places_um)
        power = _power(seen, light.sum(axis=(1, 2)))[:, None, None]
        variance = variance_of_mean(power * light, frames, self.read_e2)
        ratio = np.mean(self.noise_e2 / variance, axis=(1, 2), keepdims=True)
        expected = 1 + power**2 * ratio * np.tensordot(values**2, self.spread, axes=1)
        residual = frequencies_of((seen - power * light) / np.sqrt(variance))
        costs = residual**2 / expected + np.log(expected * variance)
        nearest: Float64 = places_um[np.argmin(costs.sum(axis=(1, 2)))]
        return nearest

    def _refined(self, seen: Float64, frames: int, at_um: Float64) -> tuple[Float64, float]:
        """Return the most likely place (axes,) around one, and the power there."""
        power = float(_power(seen, self._light(at_um[None]).sum()))
        for _ in range(_ITERATIONS):
            before_um = at_um
            step = self._compare(seen, frames, at_um, power).step()
            at_um = np.clip(at_um + step[:-1], *self._reach_um())
            power = float(np.clip(power + step[-1], *_POWERS))
            if np.abs(at_um - before_um).max() < _CONVERGED_UM:
                break
        return at_um, power

    def _reach_um(self) -> tuple[Float64, Float64]:
        """Lowest and highest place that is searched, (axes,) each."""
        margin_um = _MARGIN * (self.high_um - self.low_um)
        return self.low_um - margin_um, self.high_um + margin_um


def _steadying(seen: Float64, at: Float64, noise: Float64) -> Float64:
    """Return factors, (positions,), that make total light the polynomial of the positions."""
    totals = seen.sum(axis=(1, 2))
    dark = _LIT_SIGMAS * math.sqrt(float(noise.sum()))
    if totals.min() <= dark:
        raise AcquisitionError(
            f"landmark: expected light at every position of the dither, more than {dark:.0f}"
            f" electrons per frame, got {totals.min():.0f}; check laser and shutter, or choose"
            " another place"
        )
    factors: Float64 = at @ (at.T @ totals) / totals
    return factors


def _power(seen: Float64, light: Float64) -> Float64:
    """Return the powers that explain the total light, (places,), as far as it may vary."""
    power: Float64 = np.clip(seen.sum() / np.maximum(light, np.finfo(float).tiny), *_POWERS)
    return power


def _check_dither(images: Images, offsets_um: Float64) -> None:
    if (
        images.ndim != 4
        or 0 in images.shape
        or offsets_um.shape
        not in (
            (len(images), 2),
            (len(images), 3),
        )
    ):
        raise ValueError(
            "dither: expected images (positions, frames, y, x) and offsets (positions, 2) or"
            f" (positions, 3), got {images.shape} and {offsets_um.shape}; stack the frames by"
            " position"
        )
