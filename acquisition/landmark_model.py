"""How far has the sample moved? A model of a landmark's light against the position.

The beam is fixed and the sample moves, so a drift does not shift the camera image: it
changes it. A dither pattern around the landmark teaches how, once; every later visit
then has its displacement estimated by maximum likelihood, with an uncertainty, and with
a reduced chi-squared that says whether a displacement explains what was seen.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from configs.errors import AcquisitionError
from configs.instrument import Sensor

Float64 = NDArray[np.float64]
Images = NDArray[np.uint16]

_DEGREE: Final = 3
"""Over +-60 nm without noise, degree 2 is off by up to 2 nm, 3 by up to 0.4 nm at the rim
and 0.1 nm within +-45 nm, 4 by 0.03 nm; but 4 costs more in noise than it gains below some
1e7 photons per visit."""
_POWERS: Final = (0.5, 2.0)
"""Light beyond these, relative to the dither's, has gone or come: no laser noise."""
_MARGIN: Final = 0.25
"""How far the search goes beyond the dither on each side, relative to its width."""
_PLACES: Final = 7
"""Places along an axis of the search before the refinement."""
_ITERATIONS: Final = 20
_CONVERGED_UM: Final = 1e-6
_SIGMAS: Final = 2
"""By how many standard deviations a shift must lie within the dither."""
_LIT_SIGMAS: Final = 5
_SINGULAR: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Shift:
    """Where a landmark appears to be.

    Attributes
    ----------
    shift_um
        (x, y), the stage offset from the nominal place at which the model looks like the
        images: s - d for images taken at offset s of a sample that has moved by d, both in
        stage coordinates. Moving the stage by its negative brings the landmark back.
    sd_um
        (x, y), one standard deviation of noise, that of the dither included; infinite where
        nothing is known. It holds where ``is_inside`` and ``chi_squared`` is near 1.
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

    shift_um: tuple[float, float]
    sd_um: tuple[float, float]
    chi_squared: float
    power: float
    is_inside: bool


@dataclass(frozen=True, slots=True)
class LandmarkModel:
    """Light of a landmark against the stage's offset: make one with ``fit``.

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
        (2,), the dithered range, (x, y).
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
    _polynomials: "_Polynomials"

    @classmethod
    def fit(cls, images: Images, offsets_um: Float64, sensor: Sensor) -> Self:
        """Learn the light around a landmark.

        Parameters
        ----------
        images
            (positions, frames, y, x), digital numbers.
        offsets_um
            (positions, 2), stage offsets (x, y) from the landmark's nominal place, for
            example 5 x 5 of them 0.03 apart.
        sensor
            Gain, offset and read noise.

        Raises
        ------
        ValueError
            If the shapes do not belong together, or if the positions do not determine
            the polynomials.
        AcquisitionError
            If there is no light.

        Notes
        -----
        The power at each position is whatever makes the total light a polynomial. That
        may take a smooth part of M(s) for power; but power is free in ``estimate``, so
        this part carries no information on the shift in either case.

        Least squares are weighted by the mean of a pixel's variance over the positions,
        which differs little between them and leaves the coefficients independent.
        """
        offsets_um = np.asarray(offsets_um, dtype=np.float64)
        _check_dither(images, offsets_um)
        polynomials = _Polynomials.over(offsets_um)
        at = polynomials.values(offsets_um)
        seen = sensor.electrons(images.mean(axis=1, dtype=np.float64))
        noise = _variance(seen.mean(axis=0), images.shape[1], sensor.added_variance_e2)
        steady = _steadying(seen, at, noise)[:, None, None] * seen
        white = _frequencies(steady / np.sqrt(noise))  # (positions, y, x), variance 1
        terms = np.tensordot(at.T, white, axes=1)
        left = white - np.tensordot(at, terms, axes=1)
        freedom = len(white) - len(terms)
        cleaned = _cleaned(terms, np.sum(left**2, axis=0) / freedom)
        return cls(
            light_e=_images(cleaned.terms) * np.sqrt(noise),
            noise_e2=noise,
            read_e2=_read_variance(images, seen.mean(axis=0), sensor),
            spread=cleaned.spread,
            overfit=cleaned.overfit,
            band=cleaned.share[1:3].mean(axis=0),
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
        _check_visit(images, self.noise_e2.shape)
        seen = self._sensor.electrons(images.mean(axis=0, dtype=np.float64))
        at_um, power = self._refined(seen, len(images), self._nearest(seen, len(images)))
        found = self._compare(seen, len(images), at_um, power)
        sd_um = found.sd_um()
        inside = (self.low_um + _SIGMAS * sd_um <= at_um) & (
            at_um <= self.high_um - _SIGMAS * sd_um
        )
        misfit = float(np.sum(self.band * found.residual**2 / found.expected))
        return Shift(
            shift_um=(float(at_um[0]), float(at_um[1])),
            sd_um=(float(sd_um[0]), float(sd_um[1])),
            chi_squared=misfit / (float(self.band.sum()) - len(found.slopes)),
            power=power,
            is_inside=bool(inside.all()),
        )

    def precision_um(self, frames: int) -> tuple[float, float]:
        """Return the standard deviation (x, y) of a visit of so many frames, undisturbed.

        A place is of use where this is below a twentieth of the dithered range. Beyond, a
        drift out of the range may pass for one inside, and a place without any contrast
        promises a sixth.
        """
        nominal = np.zeros(2)
        sd_um = self._compare(self._light(nominal[None])[0], frames, nominal, 1.0).sd_um()
        return (float(sd_um[0]), float(sd_um[1]))

    def _light(self, at_um: Float64) -> Float64:
        """Light per frame at offsets, (n, 2), at the dither's power: (n, y, x)."""
        light: Float64 = np.tensordot(self._polynomials.values(at_um), self.light_e, axes=1)
        return light

    def _compare(
        self, seen: Float64, frames: int, at_um: Float64, power: float
    ) -> "_Comparison":
        """Compare the mean of a visit's frames, (y, x), with the model at a place, (2,)."""
        values = self._polynomials.values(at_um[None])
        # Derivatives with respect to (x, y, power), (3, terms), and of the light, (3, y, x).
        terms = np.concatenate([power * self._polynomials.slopes(at_um), values])
        slopes = np.tensordot(terms, self.light_e, axes=1)
        variance = _variance(power * slopes[2], frames, self.read_e2)
        ratio = float(np.mean(self.noise_e2 / variance))
        unsure = np.tensordot(values[0] ** 2, self.spread, axes=1)
        expected = 1 + power**2 * ratio * unsure
        overfit = ratio * np.sum(self.overfit / expected, axis=(1, 2))
        return _Comparison(
            residual=_frequencies((seen - power * slopes[2]) / np.sqrt(variance)),
            slopes=_frequencies(slopes / np.sqrt(variance)),
            expected=expected,
            overfit=(terms * overfit) @ terms.T,
            log_variance=float(np.sum(np.log(variance))),
        )

    def _nearest(self, seen: Float64, frames: int) -> Float64:
        """Return the most likely of the places searched, (2,)."""
        axes = np.linspace(*self._reach_um(), _PLACES)
        places_um = np.stack(np.meshgrid(*axes.T), axis=-1).reshape(-1, 2)
        totals = self._light(places_um).sum(axis=(1, 2))
        costs = [
            self._compare(seen, frames, at_um, _power(seen, total)).cost()
            for at_um, total in zip(places_um, totals, strict=True)
        ]
        nearest: Float64 = places_um[np.argmin(costs)]
        return nearest

    def _refined(self, seen: Float64, frames: int, at_um: Float64) -> tuple[Float64, float]:
        """Return the most likely place (2,) around one, and the power there."""
        power = _power(seen, float(self._light(at_um[None]).sum()))
        for _ in range(_ITERATIONS):
            before_um = at_um
            step = self._compare(seen, frames, at_um, power).step()
            at_um = np.clip(at_um + step[:2], *self._reach_um())
            power = float(np.clip(power + step[2], *_POWERS))
            if np.abs(at_um - before_um).max() < _CONVERGED_UM:
                break
        return at_um, power

    def _reach_um(self) -> tuple[Float64, Float64]:
        """Lowest and highest place that is searched, (2,) each."""
        margin_um = _MARGIN * (self.high_um - self.low_um)
        return self.low_um - margin_um, self.high_um + margin_um


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
    With K = (here, beside, below), means of their frames, and V the variance of a pixel
    in one frame, the information of n frames is n T G T^T with

        G_ij = sum_pixels (K_i K_j - delta_ij var K_i) / V:

    without the subtraction, noise in the differences would pass for contrast. T takes the
    differences, and the mean for the power; where the power differs between the
    looks, a part of the mean gets into the differences, and carries no information there.
    """
    looks = (here, beside, below)
    for look in looks:
        _check_visit(look, here.shape[1:], at_least=2)
    light = np.stack([sensor.electrons(k.mean(axis=0, dtype=np.float64)) for k in looks])
    one_frame = _variance(light.mean(axis=0), 1, sensor.added_variance_e2)
    noise = [np.sum(_scatter(k, sensor) / one_frame) / len(k) for k in looks]
    products = np.einsum("iyx,jyx->ij", light / one_frame, light) - np.diag(noise)
    step = 1 / step_um
    take = np.array([[-step, step, 0], [-step, 0, step], [1 / 3, 1 / 3, 1 / 3]])
    sd = _deviations(frames * (take @ products @ take.T))
    return (float(sd[0]), float(sd[1]))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A visit and a model at one place, by spatial frequency, in units of the noise.

    Attributes
    ----------
    residual
        (y, x), the visit less the model.
    slopes
        (3, y, x), derivatives of the model with respect to (x, y, power).
    expected
        (y, x), variance of ``residual`` where the place is right; 1 is the visit's own.
    overfit
        (3, 3), what noise of the dither adds to the weighted products of ``slopes``.
    log_variance
        Sum of the logarithms of the pixels' variances.
    """

    residual: Float64
    slopes: Float64
    expected: Float64
    overfit: Float64
    log_variance: float

    def cost(self) -> float:
        """Minus twice the logarithm of the likelihood, but for a constant."""
        misfit = np.sum(self.residual**2 / self.expected + np.log(self.expected))
        return float(misfit) + self.log_variance

    def step(self) -> Float64:
        """Return the Gauss-Newton step in (x, y, power), with the variance held."""
        pull = np.einsum("iyx,yx->i", self.slopes / self.expected, self.residual)
        step: Float64 = np.linalg.pinv(self._products(), _SINGULAR, hermitian=True) @ pull
        return step

    def sd_um(self) -> Float64:
        """Return the standard deviation of the place, (2,): infinite where unknown.

        Slopes of noise would pass for information on the place; they are subtracted.
        """
        return _deviations(self._products() - self.overfit)[:2]

    def _products(self) -> Float64:
        """Products of the slopes, (3, 3), weighted with the variance."""
        products: Float64 = np.einsum("iyx,jyx->ij", self.slopes / self.expected, self.slopes)
        return products


@dataclass(frozen=True, slots=True)
class _Polynomials:
    """Polynomials of (x, y) up to a total degree, orthonormal over some positions.

    Attributes
    ----------
    middle_um, reach_um
        (2,), what is scaled to 0 and to 1.
    mixing
        (monomials, terms), upper triangular: the first term is constant, then come two
        linear ones.
    """

    middle_um: Float64
    reach_um: Float64
    mixing: Float64

    @classmethod
    def over(cls, offsets_um: Float64) -> Self:
        """Make them orthonormal over offsets, (positions, 2)."""
        low_um, high_um = offsets_um.min(axis=0), offsets_um.max(axis=0)
        middle_um = (low_um + high_um) / 2
        reach_um = np.maximum((high_um - low_um) / 2, np.finfo(float).tiny)
        monomials = _monomials((offsets_um - middle_um) / reach_um)
        positions, terms = monomials.shape
        triangle = np.linalg.qr(monomials, mode="r")
        if positions <= terms or np.abs(np.diag(triangle)).min() < _SINGULAR:
            raise ValueError(
                f"offsets: expected more than {terms} positions that determine a polynomial"
                f" of degree {_DEGREE} in x and y, got {positions}; dither over 5 x 5"
            )
        return cls(middle_um, reach_um, np.linalg.inv(triangle))

    def values(self, at_um: Float64) -> Float64:
        """Values at (n, 2): (n, terms)."""
        return _monomials((at_um - self.middle_um) / self.reach_um) @ self.mixing

    def slopes(self, at_um: Float64) -> Float64:
        """Return derivatives along x and y at (2,), per um: (2, terms)."""
        x, y = (at_um - self.middle_um) / self.reach_um
        slopes = [
            (i * x ** max(i - 1, 0) * y**j, j * x**i * y ** max(j - 1, 0))
            for i, j in _exponents()
        ]
        return (np.array(slopes) / self.reach_um).T @ self.mixing


def _exponents() -> list[tuple[int, int]]:
    """Powers of x and y in the monomials, by rising total degree."""
    return [(total - j, j) for total in range(_DEGREE + 1) for j in range(total + 1)]


def _monomials(at: Float64) -> Float64:
    """Monomials at (n, 2): (n, terms)."""
    return np.stack([at[:, 0] ** i * at[:, 1] ** j for i, j in _exponents()], axis=1)


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


@dataclass(frozen=True, slots=True)
class _Cleaned:
    """Coefficients by spatial frequency, with less noise: see ``_cleaned``.

    Attributes
    ----------
    terms, spread, overfit, share
        (terms, y, x): estimates, their variance, the products of estimates and errors, and
        how much of what was seen was kept.
    """

    terms: Float64
    spread: Float64
    overfit: Float64
    share: Float64


def _cleaned(terms: Float64, noise: Float64) -> _Cleaned:
    """Free coefficients of noise, by spatial frequency.

    Parameters
    ----------
    terms
        (terms, y, x), spatial frequencies of the coefficients.
    noise
        (y, x), variance of each as the residuals of the fit have it.

    Notes
    -----
    Far from focus, the light has no fine detail, and the slope of a single pixel is mostly
    noise. With S the signal-to-noise ratio in a ring of spatial frequencies, the best linear
    estimate is 1 - k times what was seen, k = 1 / (S + 1), with 1 - k of the variance
    (Wiener). The errors of such estimates are not correlated with themselves, as those
    of least squares are: slopes of noise are not taken for slopes of light.

    Of k, the ring's n frequencies c of mean square P, in units of the noise, say
    k^(n/2) exp(-k n P / 2), for k between 0 and 1; its mean is taken, and its variance
    times c^2 is more spread. How much the estimates still have in common with their errors
    follows from Stein's lemma, without bias,

        E sum (1 - k) c ((1 - k) c - signal)
            = E sum ((1 - k) + c^2 var k - k (1 - k) c^2),

    as 1 - k grows with P at the rate n / 2 var k.
    """
    rings = _rings(*noise.shape)
    size = np.bincount(rings.ravel())

    def by_ring(squares: Float64) -> Float64:
        return np.bincount(rings.ravel(), squares.ravel()) / size

    level = by_ring(noise)
    power = np.stack([by_ring(one**2) for one in terms]) / level
    k = np.geomspace(1e-9, 1, 4000)
    likelihood = (size / 2)[:, None] * (np.log(k) - k * power[..., None]) + np.log(k)
    weight = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
    weight /= weight.sum(axis=-1, keepdims=True)
    mean = weight @ k
    variance = weight @ k**2 - mean**2
    share = (1 - mean)[:, rings]
    spread = share * level[rings] + variance[:, rings] * terms**2
    overfit = spread - share * (1 - share) * terms**2
    return _Cleaned(share * terms, spread, overfit, share)


def _rings(rows: int, columns: int) -> NDArray[np.intp]:
    """Return the ring of each spatial frequency, (y, x): two rings per doubling of it."""
    distance = np.hypot(np.arange(rows)[:, None], np.arange(columns))
    octaves = (2 * np.log2(1 + distance)).astype(np.intp)
    return np.unique(octaves, return_inverse=True)[1].reshape(octaves.shape)


def _frequencies(images: Float64) -> Float64:
    """Return the orthonormal cosine transform of images, (..., y, x)."""
    rows, columns = images.shape[-2:]
    return _cosines(rows) @ images @ _cosines(columns).T


def _images(frequencies: Float64) -> Float64:
    """Return what ``_frequencies`` makes these of."""
    rows, columns = frequencies.shape[-2:]
    return _cosines(rows).T @ frequencies @ _cosines(columns)


@cache
def _cosines(count: int) -> Float64:
    """Return the matrix of the orthonormal discrete cosine transform of type II."""
    n = np.arange(count)
    matrix = math.sqrt(2 / count) * np.cos(np.pi / count * np.outer(n, n + 0.5))
    matrix[0] /= math.sqrt(2)
    matrix.flags.writeable = False
    return matrix


def _variance(light_e: Float64, frames: int, added_e2: Float64 | float) -> Float64:
    """Variance of the mean of frames: photon noise and what is added, electrons squared."""
    variance: Float64 = (np.clip(light_e, 0, None) + added_e2) / frames
    return variance


def _scatter(images: Images, sensor: Sensor) -> Float64:
    """Variance between frames, the axis before the last two, electrons squared."""
    adu2: Float64 = images.var(axis=-3, ddof=1, dtype=np.float64)
    return adu2 * sensor.gain_e_per_adu**2


def _read_variance(images: Images, light_e: Float64, sensor: Sensor) -> Float64:
    """Return what read-out adds to the variance of every pixel, (y, x).

    Pixels differ: the scatter of the frames counts as far as it is more certain than that
    all are like the sensor, give or take as much.
    """
    usual = sensor.added_variance_e2
    expected = _variance(light_e, 1, usual)
    freedom = len(images) * (images.shape[1] - 1)
    if freedom == 0:
        return np.full_like(expected, usual)
    excess = _scatter(images, sensor).mean(axis=0) - expected
    doubt = 2 * expected**2 / freedom
    read: Float64 = usual + excess * usual**2 / (usual**2 + doubt)
    return np.maximum(read, sensor.gain_e_per_adu**2 / 12)


def _power(seen: Float64, light: float) -> float:
    """Return the power that explains the total light, as far as it may vary."""
    return float(np.clip(seen.sum() / max(light, np.finfo(float).tiny), *_POWERS))


def _deviations(information: Float64) -> Float64:
    """Return standard deviations, (n,), of (n, n); infinite unless it is positive definite."""
    diagonal = np.diag(information)
    unknown = np.full(len(diagonal), math.inf)
    if diagonal.min() <= 0:
        return unknown
    scale = np.sqrt(diagonal)
    relative = information / np.outer(scale, scale)
    if np.linalg.eigvalsh(relative).min() < _SINGULAR:
        return unknown
    deviations: Float64 = np.sqrt(np.diag(np.linalg.inv(relative))) / scale
    return deviations


def _check_dither(images: Images, offsets_um: Float64) -> None:
    if images.ndim != 4 or 0 in images.shape or offsets_um.shape != (len(images), 2):
        raise ValueError(
            "dither: expected images (positions, frames, y, x) and offsets (positions, 2), got"
            f" {images.shape} and {offsets_um.shape}; stack the frames by position"
        )


def _check_visit(images: Images, expected: tuple[int, ...], at_least: int = 1) -> None:
    if images.ndim != 3 or images.shape[1:] != expected or len(images) < at_least:
        raise ValueError(
            f"visit: expected images (frames, {', '.join(map(str, expected))}), {at_least} or"
            f" more, got {images.shape}; take them with the window of the others"
        )
