"""The light: source, sample film, collecting pupil and camera window."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.value import Fraction, NonNegative, Positive, PositiveInt, Value


class Optics(Value):
    """What turns a sample into a camera image.

    The defaults are those of the OpticalNet paper (CVPR 2025): a 633 nm beam
    of 540 nm intensity FWHM on 130 nm gold, seen 10 wavelengths away.
    """

    wavelength_nm: Positive = 633.0
    """Vacuum wavelength; the medium is air."""
    beam_fwhm_nm: Positive = 540.0
    """Full width at half maximum of the intensity on the sample."""
    collection_na: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Numerical aperture of the collecting objective, in air."""
    defocus_wavelengths: NonNegative = 10.0
    """Distance from the sample to the plane that the camera sees."""
    pixel_nm: Positive = 41.7
    """Camera pixel before binning, referred to the sample."""
    roi_px: PositiveInt = 256
    """Side of the square camera window, in unbinned pixels."""
    binning: PositiveInt = 4
    """Pixels summed along each axis into one."""
    film_amplitude: Fraction = 0.004
    """Amplitude transmittance of the closed film."""

    @model_validator(mode="after")
    def _roi_divides(self) -> Self:
        if self.roi_px % self.binning:
            raise ValueError(
                f"roi_px must be a multiple of binning, got {self.roi_px} and {self.binning}"
            )
        return self

    @property
    def image_px(self) -> int:
        """Side of the delivered image, in binned pixels."""
        return self.roi_px // self.binning

    @property
    def binned_pixel_nm(self) -> float:
        """Side of a binned pixel, referred to the sample."""
        return self.pixel_nm * self.binning
