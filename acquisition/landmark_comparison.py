"""A visit to a landmark beside what its model expects at a place."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.spatial_frequencies import frequencies_of

Float64 = NDArray[np.float64]

_SINGULAR: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """A visit and a model at one place, in units of the visit's noise.

    Attributes
    ----------
    residual
        (y, x), the visit less the model, by spatial frequency.
    expected
        (y, x), variance of ``residual`` where the place is right; 1 is the visit's own.
    slopes
        (axes + 1, y, x), derivatives of the model with respect to place and power, by pixel.
    overfit
        (axes + 1, axes + 1), what noise of the dither adds to the weighted products of
        ``slopes``.
    """

    residual: Float64
    expected: Float64
    slopes: Float64
    overfit: Float64

    def step(self) -> Float64:
        """Return the Gauss-Newton step in place and power, with the variance held."""
        slopes = frequencies_of(self.slopes)
        pull = np.einsum("iyx,yx->i", slopes, self.residual / self.expected)
        step: Float64 = np.linalg.pinv(self._products(slopes), _SINGULAR, hermitian=True) @ pull
        return step

    def sd_um(self) -> Float64:
        """Return the standard deviation of the place, (axes,): infinite where unknown.

        Slopes of noise would pass for information on the place; they are subtracted.
        """
        return deviations(self._products(frequencies_of(self.slopes)) - self.overfit)[:-1]

    def _products(self, slopes: Float64) -> Float64:
        """Products, (slopes, slopes), by spatial frequency, weighted with the variance."""
        products: Float64 = np.einsum("iyx,jyx->ij", slopes / self.expected, slopes)
        return products


def deviations(information: Float64) -> Float64:
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
