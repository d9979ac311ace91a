"""How fine a structure a map shows: contrast of a star, and correlation of two half scans."""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError

Float64 = NDArray[np.float64]

LEAST_CONTRAST: Final = 0.26
"""Of two points at the distance that Rayleigh calls resolved."""
LEAST_CORRELATION: Final = 1 / 7
"""Source: Rosenthal and Henderson, J. Mol. Biol. 333, 721 (2003)."""
_SQUARE_WAVE: Final = 4 / np.pi
"""First harmonic of a square wave between 0 and 1, relative to its mean."""
_SECTORS: Final = 12
_FEWEST_RINGS: Final = 3


@dataclass(frozen=True, slots=True)
class Contrast:
    """Contrast of a star against its period, from the coarsest to the finest.

    Attributes
    ----------
    period_nm
        (n,), circumference over number of spokes.
    values, errors
        (n,), 1 for a perfect star with edges as sharp as can be, and standard deviations.
    resolved_nm, error_nm
        Where it falls below 26 %, and the standard deviation; the finest period where it
        never does, NaN where always.
    """

    period_nm: Float64
    values: Float64
    errors: Float64
    resolved_nm: float
    error_nm: float

    @property
    def said(self) -> str:
        """The resolved period, for people."""
        if math.isnan(self.resolved_nm):
            return "not resolved"
        if self.resolved_nm == self.period_nm[-1]:
            return f"{self.resolved_nm:.0f} nm or less"
        return f"{self.resolved_nm:.0f} \u00b1 {self.error_nm:.0f} nm"

    @classmethod
    def of_star(cls, coverage: Float64, spokes: int, pitch_nm: float) -> Self:
        """Measure the contrast of a star in the middle of a map.

        The first harmonic of the spokes in rings of a square's width, in phase with that of
        the outer half. Errors are a jackknife over twelve sectors.

        Parameters
        ----------
        coverage
            (rows, columns), milled fractions; NaN where nothing is known.
        spokes
            Open ones.
        pitch_nm
            Side of a square.

        Raises
        ------
        ConfigError
            If the map holds too few squares to tell so many spokes.
        """
        rows, columns = coverage.shape
        y, x = np.mgrid[:rows, :columns]
        y, x = y - (rows - 1) / 2, x - (columns - 1) / 2
        radius, angle = np.hypot(y, x), np.arctan2(y, x)
        known = np.isfinite(coverage)
        largest = min(rows, columns) / 2 - 1
        # Fewer than two squares in a period cannot show it.
        rings = np.arange(int(largest), 2 * spokes / (2 * np.pi), -1.0)
        if len(rings) < _FEWEST_RINGS:
            raise ConfigError(
                f"star: expected a map that shows periods of {spokes} spokes, got {rows} x"
                f" {columns} squares; give the number of open spokes"
            )
        parts = [known & (np.abs(radius - ring) <= 0.5) for ring in rings]
        wave = np.exp(-1j * spokes * angle)
        sector = ((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS

        def measure(kept: NDArray[np.bool_]) -> Float64:
            harmonic = np.array([_harmonic(coverage, wave, part & kept) for part in parts])
            phase = np.exp(-1j * np.angle(harmonic[: len(harmonic) // 2].sum()))
            values: Float64 = (harmonic * phase).real / _SQUARE_WAVE
            return values

        values = measure(known)
        without = np.array([measure(sector != left_out) for left_out in range(_SECTORS)])
        period_nm = 2 * np.pi * rings * pitch_nm / spokes
        crossings = np.array([_crossing(period_nm, one, LEAST_CONTRAST) for one in without])
        return cls(
            period_nm,
            values,
            _jackknife(without),
            _crossing(period_nm, values, LEAST_CONTRAST),
            float(_jackknife(crossings)),
        )


def _harmonic(
    coverage: Float64, wave: NDArray[np.complex128], part: NDArray[np.bool_]
) -> complex:
    """Return the harmonic of a ring, relative to its mean, by least squares."""
    columns = np.stack([np.ones(part.sum()), wave[part].real, wave[part].imag], axis=1)
    (mean, even, odd), *_ = np.linalg.lstsq(columns, coverage[part], rcond=None)
    return complex(even, odd) / mean if mean > 0 else 0j


def _jackknife(without: Float64) -> Float64:
    spread = without - without.mean(axis=0)
    error: Float64 = np.sqrt((len(without) - 1) * np.square(spread).mean(axis=0))
    return error


def _crossing(period_nm: Float64, values: Float64, least: float) -> float:
    """Return the period at which values, from the coarsest, first fall below the least."""
    below = np.flatnonzero(~(values >= least))
    if not len(below):
        return float(period_nm[-1])
    first = int(below[0])
    if first == 0:
        return float("nan")
    share = (values[first - 1] - least) / (values[first - 1] - values[first])
    return float(period_nm[first - 1] + share * (period_nm[first] - period_nm[first - 1]))


@dataclass(frozen=True, slots=True)
class RingCorrelation:
    """Correlation of two maps of the same sample, ring by ring of their spectra.

    Attributes
    ----------
    period_nm
        (n,), from the coarsest to the finest, two squares.
    values
        (n,), 1 where both are the same.
    resolved_nm
        Where it falls below one seventh; the finest where it never does, NaN where always.
    """

    period_nm: Float64
    values: Float64
    resolved_nm: float

    @property
    def said(self) -> str:
        """The resolved period, for people."""
        if math.isnan(self.resolved_nm):
            return "none"
        finest = " or less" if self.resolved_nm == self.period_nm[-1] else ""
        return f"{self.resolved_nm:.0f} nm{finest}"

    @classmethod
    def of_halves(cls, one: Float64, other: Float64, pitch_nm: float) -> Self:
        """Correlate two maps, (rows, columns); what is not known in either is left out.

        Source: Nieuwenhuizen et al., Nature Methods 10, 557 (2013).
        """
        known = np.isfinite(one) & np.isfinite(other)
        window = np.multiply.outer(*(np.hanning(length + 2)[1:-1] for length in one.shape))
        spectra = [
            np.fft.fft2(
                window * np.where(known, half - (half[known].mean() if known.any() else 0.0), 0)
            )
            for half in (one, other)
        ]
        frequency = np.hypot(
            *np.meshgrid(*(np.fft.fftfreq(n) for n in one.shape), indexing="ij")
        )
        count = min(one.shape) // 2
        ring = np.rint(frequency * 2 * count).astype(int).ravel()

        def total(values: Float64) -> Float64:
            summed = np.bincount(ring, values.ravel(), minlength=count + 1)
            return summed[1 : count + 1].astype(np.float64)

        a, b = spectra
        cross = total((a * b.conj()).real)
        power = total(np.abs(a) ** 2) * total(np.abs(b) ** 2)
        values = cross / np.sqrt(np.where(power > 0, power, np.inf))
        period_nm = pitch_nm * 2 * count / np.arange(1, count + 1)
        return cls(period_nm, values, _crossing(period_nm, values, LEAST_CORRELATION))
