"""Coefficients of images, freed of noise by spatial frequency."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Coefficients by spatial frequency, with less noise: see ``cleaned``.

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


def cleaned(terms: Float64, noise: Float64) -> Cleaned:
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
    return Cleaned(share * terms, spread, overfit, share)


def _rings(rows: int, columns: int) -> NDArray[np.intp]:
    """Return the ring of each spatial frequency, (y, x): two rings per doubling of it."""
    distance = np.hypot(np.arange(rows)[:, None], np.arange(columns))
    octaves = (2 * np.log2(1 + distance)).astype(np.intp)
    return np.unique(octaves, return_inverse=True)[1].reshape(octaves.shape)


def frequencies_of(images: Float64) -> Float64:
    """Return the orthonormal cosine transform of images, (..., y, x)."""
    rows, columns = images.shape[-2:]
    return _cosines(rows) @ images @ _cosines(columns).T


def images_of(frequencies: Float64) -> Float64:
    """Return what ``frequencies_of`` makes these of."""
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
