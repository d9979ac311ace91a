"""The whole field by fast Fourier transforms: slow, plain, and the reference.

K. Matsushima and T. Shimobaba, "Band-limited angular spectrum method", Opt. Express 17,
19662 (2009). The grid repeats the field with its period, so padding and sampling
change the answer: docs/simulation.md has the study. Arrays have row (+y) before
column (+x).
"""

import math

import torch

from configs.errors import ConfigError
from simulation.beam import beam_field
from simulation.camera_plane import collection
from simulation.light import Light
from simulation.pupil import Disc
from simulation.window import LARGEST_LOSS, check_window


class AngularSpectrum:
    """Frames of arbitrary masks, as fractions of the incident power.

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

    def frames(self, coverage: torch.Tensor) -> torch.Tensor:
        """Return camera images, (batch, image_px, image_px), of (batch, cells, cells)."""
        return torch.cat([self._pixels(self._camera_field(mask)) for mask in coverage.double()])

    def _camera_field(self, mask: torch.Tensor) -> torch.Tensor:
        """Field at the camera's plane, (1, components, side, side), for (cells, cells)."""
        fine = mask.repeat_interleave(self._repeat, 0).repeat_interleave(self._repeat, 1)
        beam = beam_field(self._light, self._x, self._x)
        film = self._light.film
        pad = self._side - len(self._x)
        exit_field = torch.nn.functional.pad(
            beam * (film + (1 - film) * fine), (pad // 2, pad - pad // 2) * 2
        )
        return propagate(exit_field[None], self._spacing_um, self._light)

    def _pixels(self, field: torch.Tensor) -> torch.Tensor:
        """Integrate the intensity over the pixels, exactly: it is band-limited."""
        light, side = self._light, self._side
        spectrum = torch.fft.fft2((field.real.square() + field.imag.square()).sum(dim=1))
        index, frequency = _low_frequencies(
            side, self._spacing_um, 2 * light.collection_na / light.wavelength_um
        )
        pixels = light.optics.image_px
        centres = (torch.arange(pixels).to(frequency) - (pixels - 1) / 2) * light.pixel_um
        # The padding may be one sample longer behind the window than before it.
        first_um = self._x[0] - (side - len(self._x)) // 2 * self._spacing_um
        turns = frequency * (centres[:, None] - first_um)
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
    step = 1 / (side * spacing_um)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    # Softened over a step of the grid, the pupil has the right area and a derivative.
    pupil = ((cutoff - radius) / step + 0.5).clamp(0, 1)
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
