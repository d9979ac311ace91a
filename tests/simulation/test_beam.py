"""The focus of a lens against the integrals of the textbook."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import jv

from configs.optics import FocusedBeam, GaussianBeam, Optics
from simulation.beam import beam_field, focus_field, light_outside
from simulation.light import Light

WAVENUMBER = 2 * np.pi / 0.633


def light(**values):
    return Light.of(Optics(beam=FocusedBeam(kind="focused", **values)))


def axis(*points):
    return torch.tensor(points, dtype=torch.float64)


def integral(order, weight, radius_um, na, filling):
    """I0, I1 or I2 of Novotny & Hecht, equations 3.58-3.60 (cosines left out as there)."""

    def integrand(theta):
        sine, cosine = np.sin(theta), np.cos(theta)
        apodised = np.exp(-((sine / (filling * na)) ** 2)) * np.sqrt(cosine)
        wave = jv(order, WAVENUMBER * radius_um * sine)
        return apodised * weight(sine, cosine) * sine * wave

    return quad(integrand, 0, np.arcsin(na))[0]


@pytest.mark.parametrize("radius_um", [0.0, 0.2, 0.45, 0.9])
def test_vectorial_focus_is_that_of_richards_and_wolf(radius_um):
    na, filling, azimuth = 0.9, 0.8, 0.6
    x, y = radius_um * np.cos(azimuth), radius_um * np.sin(azimuth)
    field = focus_field(light(na=na, filling=filling), axis(x), axis(y))[:, 0, 0].numpy()
    along = integral(0, lambda s, c: 1 + c, radius_um, na, filling)
    axial = integral(1, lambda s, c: s, radius_um, na, filling)
    across = integral(2, lambda s, c: 1 - c, radius_um, na, filling)
    expected = np.array(
        [
            along + across * np.cos(2 * azimuth),
            across * np.sin(2 * azimuth),
            -2j * axial * np.cos(azimuth),
        ]
    )
    # The constant in front is fixed by the power, tested below.
    centre = focus_field(light(na=na, filling=filling), axis(0), axis(0))[0, 0, 0]
    scale = complex(centre) / integral(0, lambda s, c: 1 + c, 0.0, na, filling)
    np.testing.assert_allclose(field, scale * expected, atol=1e-9 * abs(centre))


def test_vectorial_spot_is_long_along_the_polarisation_and_turns_with_it():
    points = torch.linspace(-0.7, 0.7, 281, dtype=torch.float64)

    def widths(degrees):
        field = focus_field(light(filling=2.0, polarisation_deg=degrees), points, points)
        total = field.abs().square().sum(dim=0)
        return [int((line > total.max() / 2).sum()) for line in (total[140], total[:, 140])]

    along, across = widths(0.0)
    assert along > 1.2 * across
    assert widths(90.0) == [across, along]


def test_a_weakly_filled_lens_makes_a_gaussian_waist():
    # 1/e radius in the pupil f NA: waist of 1/e amplitude wavelength / (pi f NA).
    lens = light(na=0.3, filling=0.2, vectorial=False)
    waist_um = 0.633 / (np.pi * 0.2 * 0.3)
    points = torch.linspace(-8, 8, 33, dtype=torch.float64)
    fwhm_nm = 1000 * waist_um * np.sqrt(2 * np.log(2))
    waist = Light.of(Optics(beam=GaussianBeam(fwhm_nm=fwhm_nm)))
    expected = beam_field(waist, points, points)
    field = beam_field(lens, points, points)
    assert float((field - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("vectorial", [True, False])
def test_a_beam_has_power_one(vectorial):
    # Low aperture: power is the squared field. A strong beam in the pupil's rim is cut.
    lens = light(na=0.05, filling=0.7, vectorial=vectorial)
    points = torch.linspace(-120, 120, 481, dtype=torch.float64)
    field = beam_field(lens, points, points)
    assert float(field.abs().square().sum()) * 0.25 == pytest.approx(1, abs=5e-3)


def test_light_outside_a_window_is_what_is_missing_inside():
    lens = light(filling=0.6)
    points = torch.linspace(-10, 10, 801, dtype=torch.float64)
    squared = beam_field(lens, points, points).abs().square().sum(dim=0)
    inside = (points.abs() <= 0.5).double()
    inside[(points.abs() - 0.5).abs() < 1e-9] = 0.5
    share = 1 - float(inside @ squared @ inside / squared.sum())
    assert light_outside(lens, 0.5) == pytest.approx(share, rel=0.02)
    gaussian = Light.of(Optics())
    assert light_outside(gaussian, 0.27) == pytest.approx(1 - 0.761**2, abs=1e-3)
