"""The whole field by fast Fourier transforms: slow, plain, and the reference.

K. Matsushima and T. Shimobaba, "Band-limited angular spectrum method", Opt. Express 17,
19662 (2009). The grid repeats the field with its period, so padding and sampling
change the answer: docs/simulation.md has the study. Arrays have row (+y) before
column (+x).
"""

import math

import torch

from configs.errors import ConfigError
from simulation.beam import beam_field, beam_spectrum
from simulation.camera_plane import collection, passed_na
from simulation.light import Light
from simulation.pupil import Disc
from simulation.window import LARGEST_LOSS, check_window


class AngularSpectrum:
    """Frames of masks with film around them, as fractions of the incident power.

    Parameters
    ----------
    light
        Optical parameters; gradients flow into all of them.
    cells, cell_nm
        Side of the window of cells on the sample, and of a cell.
    samples_per_cell
        Samples of the exit field along a cell.
    period_um
        Side of the plane that the field is padded to.

    Raises
    ------
    ConfigError
        If the window is too small for the beam or the period for the camera.
    """

    def __init__(
        self, light: Light, cells: int, cell_nm: float, samples_per_cell: int, period_um: float
    ) -> None:
        check_window(light.optics, cells, cell_nm)
        if light.optics.collection_na > 0.95 * light.optics.medium_index:
            # The softened rim would reach evanescent waves.
            raise ConfigError(
                "full angular spectrum: expected collection_na up to 0.95 medium_index, got"
                f" {light.optics.collection_na:g}; take the cropped spectrum"
            )
        self._light = light
        self._repeat = samples_per_cell
        self._spacing_um = cell_nm / 1000 / samples_per_cell
        self._side = 2 * round(period_um / self._spacing_um / 2)
        camera_um = light.optics.window_um
        if self._side * self._spacing_um < camera_um:
            raise ConfigError(
                f"period: expected more than the camera's window, {camera_um:.1f} um,"
                f" got {period_um:g} um"
            )
        count = cells * samples_per_cell
        steps = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
        self._x = (steps * self._spacing_um).to(light.distance_um)
        # The padding may be one sample longer behind the window than before it.
        self._first_um = self._x[0] - (self._side - count) // 2 * self._spacing_um

    def frames(self, coverage: torch.Tensor) -> torch.Tensor:
        """Return camera images, (batch, image_px, image_px), of (batch, cells, cells)."""
        return torch.cat([self._pixels(self._camera_field(mask)) for mask in coverage.double()])

    def _camera_field(self, mask: torch.Tensor) -> torch.Tensor:
        """Field at the camera's plane, (1, components, side, side), for (cells, cells)."""
        fine = mask.repeat_interleave(self._repeat, 0).repeat_interleave(self._repeat, 1)
        light, pad = self._light, self._side - len(self._x)
        opened = (1 - light.film) * fine * beam_field(light, self._x, self._x)
        exit_field = torch.nn.functional.pad(opened, (pad // 2, pad - pad // 2) * 2)
        exit_field = exit_field + light.film * self._whole_beam()
        return propagate(exit_field[None], self._spacing_um, light)

    def _whole_beam(self) -> torch.Tensor:
        """Field, (components, side, side), of the beam's waves that reach the camera."""
        light, side, spacing_um = self._light, self._side, self._spacing_um
        passed, collected = (
            na / light.wavelength_um for na in (passed_na(light), light.collection_na)
        )
        index, frequency = _low_frequencies(side, spacing_um, collected)
        # Nothing narrower than the collecting pupil: that one has its own rim.
        rim = _softened(frequency, passed) if passed < collected else torch.tensor(1.0)
        disc = Disc(frequency, frequency[None], rim.to(frequency))
        waves = beam_spectrum(light, disc) * disc.weight[..., None]  # (x, y, components)
        turns = (frequency[:, None] + frequency) * self._first_um
        spectrum = torch.zeros(waves.shape[-1], side, side, dtype=waves.dtype)
        spectrum = spectrum.to(waves.device)
        spectrum[:, index[:, None], index] = waves.permute(2, 1, 0) * torch.polar(
            torch.ones_like(turns), 2 * torch.pi * turns
        )
        beam: torch.Tensor = torch.fft.ifft2(spectrum) / spacing_um**2
        return beam

    def _pixels(self, field: torch.Tensor) -> torch.Tensor:
        """Integrate the intensity over the pixels, exactly: it is band-limited."""
        light, side = self._light, self._side
        spectrum = torch.fft.fft2((field.real.square() + field.imag.square()).sum(dim=1))
        index, frequency = _low_frequencies(
            side, self._spacing_um, 2 * light.collection_na / light.wavelength_um
        )
        pixels = light.optics.image_px
        centres = (torch.arange(pixels).to(frequency) - (pixels - 1) / 2) * light.pixel_um
        turns = frequency * (centres[:, None] - self._first_um)
        response = light.pixel_um * torch.sinc(frequency * light.pixel_um) / side
        along = torch.polar(response.expand_as(turns), 2 * torch.pi * turns)
        low = spectrum[:, index[:, None], index]
        images: torch.Tensor = (along @ low @ along.T).real
        return images


def propagate(field: torch.Tensor, spacing_um: float, light: Light) -> torch.Tensor:
    """Carry a field from the sample to the camera's plane, on the same periodic grid.

    Parameters
    ----------
    field
        (batch, components, side, side), complex.
    spacing_um
        Of the grid.
    light
        Pupil, distance, aberrations; gradients flow into them.

    Returns
    -------
    torch.Tensor
        Like ``field``.

    Raises
    ------
    ConfigError
        If more than 1 % of the light that passes the pupil is beyond the band limit: it
        would come out beyond the grid.
    """
    side = field.shape[-1]
    cutoff = light.collection_na / light.wavelength_um
    index, frequency = _low_frequencies(side, spacing_um, cutoff)
    pupil = _softened(frequency, cutoff)
    spectrum = torch.fft.fft2(field)[..., index[:, None], index] * pupil
    band = frequency.abs() <= _band_limit(light, side * spacing_um)
    limited = spectrum * (band[:, None] & band)
    _check_band(spectrum, limited, side * spacing_um)
    along = collection(light, Disc(frequency, frequency[None], pupil))  # (x, y, c, c)
    carried = torch.einsum("xycd,bdyx->bcyx", along, limited)
    whole = torch.zeros_like(field)
    whole[..., index[:, None], index] = carried
    there: torch.Tensor = torch.fft.ifft2(whole)
    return there


def _softened(frequency: torch.Tensor, cutoff: torch.Tensor) -> torch.Tensor:
    """Sample a disc, (n, n), softened over a step: right area, and a derivative."""
    step = frequency[1] - frequency[0]
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    return ((cutoff - radius) / step + 0.5).clamp(0, 1)


def _low_frequencies(
    side: int, spacing_um: float, cutoff: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places in a discrete spectrum, and values, of the frequencies up to a cutoff."""
    period_um = side * spacing_um
    highest = min(int(cutoff.detach() * period_um) + 1, (side - 1) // 2)
    steps = torch.arange(-highest, highest + 1, device=cutoff.device)
    return steps % side, steps.to(cutoff) / period_um


def _band_limit(light: Light, period_um: float) -> float:
    """Highest frequency whose wave still comes out on the grid: equation 21."""
    wavelength_um = float(light.wavelength_um.detach() / light.medium_index.detach())
    slope = 2 * float(light.distance_um.detach()) / period_um
    return 1 / (wavelength_um * math.hypot(slope, 1))


def _check_band(passed: torch.Tensor, limited: torch.Tensor, period_um: float) -> None:
    power, kept = (float(s.detach().abs().square().sum()) for s in (passed, limited))
    if power - kept > LARGEST_LOSS * power:
        raise ConfigError(
            f"period of {period_um:.1f} um is too small for the distance: expected at most"
            f" {LARGEST_LOSS:.0%} of the light beyond the grid, got {1 - kept / power:.1%};"
            " pad more"
        )
