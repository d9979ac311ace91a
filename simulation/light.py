"""Optical parameters as tensors, so that any of them can have a gradient."""

import cmath
import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch

from configs.optics import FocusedBeam, GaussianBeam, Optics


@dataclass(frozen=True, slots=True)
class Light:
    """Optics as double-precision tensors; scalars where no shape is given.

    Attributes
    ----------
    optics
        Where the values came from. It also fixes what is no number: the kind of the
        beam, the pixels, and how finely pupils are sampled.
    wavelength_um, medium_index, distance_um
        Vacuum wavelength, medium, and distance from the sample to the camera's plane.
    focus_um
        By how much the sample lies before the waist of the beam, which stays.
    beam_um
        1/e radius of the amplitude of a Gaussian beam.
    focusing_na, filling, polarisation_rad
        Of a focused beam.
    focusing_waves, collection_waves
        (n,), Zernike coefficients of the two objectives, Noll order, waves rms.
    collection_na, pixel_um
        Collecting aperture, and side of a binned pixel referred to the sample.
    film
        Complex amplitude transmittance of the closed film.
    """

    optics: Optics
    wavelength_um: torch.Tensor
    medium_index: torch.Tensor
    distance_um: torch.Tensor
    focus_um: torch.Tensor
    beam_um: torch.Tensor
    focusing_na: torch.Tensor
    filling: torch.Tensor
    polarisation_rad: torch.Tensor
    focusing_waves: torch.Tensor
    collection_waves: torch.Tensor
    collection_na: torch.Tensor
    pixel_um: torch.Tensor
    film: torch.Tensor

    @classmethod
    def of(cls, optics: Optics) -> Self:
        """Take the values of some optics; what its beam does not have is NaN."""
        beam = optics.beam
        radius_um = gaussian_radius_um(beam) if isinstance(beam, GaussianBeam) else math.nan
        # What a Gaussian waist does not have is NaN.
        lens = beam if isinstance(beam, FocusedBeam) else None
        wavelength_um = optics.wavelength_nm / 1000
        film = cmath.rect(optics.film_amplitude, optics.film_phase_rad)
        return cls(
            optics=optics,
            wavelength_um=_real(wavelength_um),
            medium_index=_real(optics.medium_index),
            distance_um=_real(optics.defocus_wavelengths * wavelength_um),
            focus_um=_real(0.0),
            beam_um=_real(radius_um),
            focusing_na=_real(lens.na if lens else math.nan),
            filling=_real(lens.filling if lens else math.nan),
            polarisation_rad=_real(math.radians(lens.polarisation_deg) if lens else math.nan),
            focusing_waves=_real(lens.zernike_waves if lens else ()),
            collection_waves=_real(optics.collection_zernike_waves),
            collection_na=_real(optics.collection_na),
            pixel_um=_real(optics.binned_pixel_nm / 1000),
            film=torch.tensor(film, dtype=torch.complex128),
        )

    def refocused(self, focus_um: float) -> Self:
        """Return the light with the sample moved towards the source; the beam stays."""
        return replace(
            self,
            distance_um=self.distance_um + focus_um,
            focus_um=self.focus_um + focus_um,
        )

    def to(self, device: torch.device | str) -> Self:
        """Return the same on a device."""
        tensors = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "optics"
        }
        return replace(self, **tensors)


def gaussian_radius_um(beam: GaussianBeam) -> float:
    """Radius at which the amplitude of the beam falls to 1/e."""
    return beam.fwhm_nm / 1000 / math.sqrt(2 * math.log(2))


def _real(value: float | tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)
