"""Contrast of a star, and correlation of two maps, against what can be worked out by hand."""

import numpy as np
import pytest

from configs.errors import ConfigError
from reconstruction.resolution import Contrast, RingCorrelation

SPOKES, PITCH_NM, SIDE = 36, 180.0, 65


def wave(amplitude):
    """A star whose spokes are a cosine of this amplitude, by radius in squares."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    return 0.5 + 0.5 * amplitude(radius) * np.cos(SPOKES * angle + 0.7)


def test_the_contrast_is_that_of_the_first_harmonic():
    contrast = Contrast.of_star(wave(lambda radius: 1.0 + 0 * radius), SPOKES, PITCH_NM)
    assert contrast.values == pytest.approx(np.pi / 4, abs=1e-6)
    assert contrast.errors == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(contrast.period_nm) < 0)
    assert contrast.period_nm[0] == pytest.approx(2 * np.pi * 31 * PITCH_NM / SPOKES)
    assert 2 * PITCH_NM <= contrast.period_nm[-1] < 2.2 * PITCH_NM
    assert contrast.said.endswith(" nm or less")


def test_it_is_resolved_where_contrast_falls_below_a_quarter():
    # Falls along the radius as a line does: 26 % of 4 / pi is where it is known to be.
    contrast = Contrast.of_star(wave(lambda radius: radius / 40), SPOKES, PITCH_NM)
    at = 0.26 * 4 / np.pi * 40
    assert contrast.resolved_nm == pytest.approx(2 * np.pi * at * PITCH_NM / SPOKES, rel=0.02)
    blind = Contrast.of_star(wave(lambda radius: 0.0 * radius), SPOKES, PITCH_NM)
    assert np.isnan(blind.resolved_nm)


def test_errors_are_what_noise_makes():
    star, random = wave(lambda radius: 0.5 + 0 * radius), np.random.default_rng(0)
    noisy = [
        Contrast.of_star(star + random.normal(0, 0.2, star.shape), SPOKES, PITCH_NM)
        for _ in range(60)
    ]
    values, errors = (
        np.array([getattr(one, name) for one in noisy]) for name in ("values", "errors")
    )
    ratio = errors.mean(axis=0) / values.std(axis=0)
    assert np.median(ratio) == pytest.approx(1, abs=0.25)
    assert values.mean(axis=0) == pytest.approx(0.5 * np.pi / 4, abs=0.04)


def test_noise_has_no_contrast_on_average():
    random = np.random.default_rng(1)
    values = [
        Contrast.of_star(random.uniform(size=(SIDE, SIDE)), SPOKES, PITCH_NM).values[-5:]
        for _ in range(40)
    ]
    assert np.mean(values) == pytest.approx(0, abs=0.03)  # a magnitude would not be


def test_what_is_not_known_does_not_count():
    star = wave(lambda radius: 0.8 + 0 * radius)
    star[:20, :20] = np.nan
    contrast = Contrast.of_star(star, SPOKES, PITCH_NM)
    assert contrast.values == pytest.approx(0.8 * np.pi / 4, abs=1e-6)


def test_a_map_that_is_too_small():
    with pytest.raises(ConfigError, match="got 12 x 12 squares"):
        Contrast.of_star(np.zeros((12, 12)), SPOKES, PITCH_NM)


def band_limited(random, cut):
    spectrum = np.fft.fft2(random.normal(size=(SIDE - 1, SIDE - 1)))
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(SIDE - 1)], indexing="ij"))
    return np.fft.ifft2(np.where(frequency < cut, spectrum, 0)).real


def test_two_maps_correlate_as_far_as_they_share():
    random = np.random.default_rng(2)
    shared = band_limited(random, 0.25)
    one, other = (shared + random.normal(0, 0.1, shared.shape) for _ in range(2))
    correlation = RingCorrelation.of_halves(one, other, PITCH_NM)
    # The window blurs the edge by a ring or two of 32.
    assert correlation.resolved_nm == pytest.approx(PITCH_NM / 0.25, rel=0.12)
    assert np.all(correlation.values[correlation.period_nm > 1000] > 0.9)
    assert RingCorrelation.of_halves(one, one, PITCH_NM).values == pytest.approx(1)
    assert RingCorrelation.of_halves(one, one, PITCH_NM).said == "360 nm or less"


def test_strangers_do_not_correlate():
    random = np.random.default_rng(3)
    one, other = random.normal(size=(2, 64, 64))
    values = RingCorrelation.of_halves(one, other, PITCH_NM).values
    assert np.abs(values[5:]).max() < 0.4
