"""The light: beam, sample film, collecting pupil and camera window."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.value import Fraction, NonNegative, Positive, PositiveInt, Value

Zernikes = Annotated[tuple[float, ...], Field(strict=False, max_length=36)]
"""Zernike coefficients of Noll index 1, 2, 3, ... over a pupil, waves rms."""


class GaussianBeam(Value):
    """The waist of a scalar Gaussian beam."""

    kind: Literal["gaussian"] = "gaussian"
    fwhm_nm: Positive = 540.0
    """Full width at half maximum of the intensity on the sample."""


class FocusedBeam(Value):
    """A Gaussian beam that fills the pupil of an objective, in its focus.

    Defaults: the width of ``GaussianBeam``, with the physics of a lens.
    """

    kind: Literal["focused"]
    na: Positive = 0.9
    """Numerical aperture of the objective that focuses."""
    filling: Positive = 0.488
    """Radius of the beam in the pupil, where its amplitude is 1/e, over the pupil's."""
    vectorial: bool = True
    """Richards and Wolf's vectorial focus; false: its scalar counterpart."""
    polarisation_deg: float = 0.0
    """Direction of the linear polarisation, from +x (right) towards +y (down)."""
    zernike_waves: Zernikes = ()
    """Aberrations of the objective that focuses."""

    @model_validator(mode="after")
    def _polarisation_is_seen(self) -> Self:
        if not self.vectorial and self.polarisation_deg:
            raise ValueError("polarisation_deg goes with vectorial = true only; remove it")
        return self


Beam = Annotated[GaussianBeam | FocusedBeam, Field(discriminator="kind")]


class Optics(Value):
    """What turns a sample into a camera image.

    The defaults are those of the OpticalNet paper (CVPR 2025): a 633 nm beam
    of 540 nm intensity FWHM on 130 nm gold, seen 10 wavelengths away.
    """

    wavelength_nm: Positive = 633.0
    """In vacuum."""
    medium_index: Annotated[float, Field(ge=1)] = 1.0
    """Refractive index around the sample: 1 is air."""
    beam: Beam = GaussianBeam()
    collection_na: Positive = 0.9
    """Numerical aperture of the collecting objective."""
    collection_zernike_waves: Zernikes = ()
    """Aberrations of the collecting objective."""
    defocus_wavelengths: NonNegative = 10.0
    """Distance from the sample to the plane that the camera sees, in vacuum wavelengths."""
    pixel_nm: Positive = 41.7
    """Camera pixel before binning, referred to the sample."""
    roi_px: PositiveInt = 256
    """Side of the square camera window, in unbinned pixels."""
    binning: PositiveInt = 4
    """Pixels summed along each axis into one."""
    film_amplitude: Fraction = 0.004
    """Amplitude transmittance of the closed film."""
    film_phase_rad: float = 0.0
    """Phase of the light through the closed film against that through an opening."""

    @model_validator(mode="after")
    def _roi_divides(self) -> Self:
        if self.roi_px % self.binning:
            raise ValueError(
                f"roi_px must be a multiple of binning, got {self.roi_px} and {self.binning}"
            )
        return self

    @model_validator(mode="after")
    def _apertures_fit_the_medium(self) -> Self:
        apertures = {"collection_na": self.collection_na}
        if isinstance(self.beam, FocusedBeam):
            apertures["beam.na"] = self.beam.na
        for name, na in apertures.items():
            if na > self.medium_index:
                raise ValueError(
                    f"{name} must be at most medium_index, {self.medium_index:g}, got {na:g}"
                )
        return self

    @property
    def beam_fwhm_nm(self) -> float:
        """Full width at half maximum of the intensity on the sample.

        Of a lens, the width of a Gaussian beam that its pupil does not cut, or of Airy's disc
        where the pupil cuts more: 0.51 wavelengths over the numerical aperture.
        """
        if isinstance(self.beam, GaussianBeam):
            return self.beam.fwhm_nm
        na = self.beam.na
        uncut = math.sqrt(2 * math.log(2)) / math.pi / (na * self.beam.filling)
        return self.wavelength_nm * max(uncut, 0.51 / na)

    @property
    def image_px(self) -> int:
        """Side of the delivered image, in binned pixels."""
        return self.roi_px // self.binning

    @property
    def binned_pixel_nm(self) -> float:
        """Side of a binned pixel, referred to the sample."""
        return self.pixel_nm * self.binning

    @property
    def window_um(self) -> float:
        """Side of the camera's window, referred to the sample."""
        return self.roi_px * self.pixel_nm / 1000

    def at_wavelength(self, wavelength_nm: float) -> "Optics":
        """Return the same instrument with another laser: planes and pupils stay."""
        values = self.model_dump()
        scale = wavelength_nm / self.wavelength_nm
        values["wavelength_nm"] = wavelength_nm
        values["defocus_wavelengths"] = self.defocus_wavelengths / scale
        if isinstance(self.beam, GaussianBeam):
            values["beam"]["fwhm_nm"] = self.beam.fwhm_nm * scale
        for zernikes in (values, values["beam"]):
            for name in ("zernike_waves", "collection_zernike_waves"):
                if name in zernikes:
                    zernikes[name] = tuple(waves / scale for waves in zernikes[name])
        return Optics.checked(f"optics at {wavelength_nm} nm", values)
