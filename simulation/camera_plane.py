"""From the sample's far side to the pixels: pupil, defocus, pixel integration."""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.optics import GaussianBeam, Optics
from simulation.beam import beam_spectrum, components, direction
from simulation.light import Light
from simulation.pupil import Disc, PupilTransform, gauss_disc, lattice_disc
from simulation.zernike import aberration, steepest

Float64 = NDArray[np.float64]

# Convergence is measured by benchmarks/forward_model.py.
PUPIL_MARGIN: Final = 8
PIXEL_TAPS: Final = 6
_MOST_NODES: Final = 1000  # 2 GB of matrices, and a minute


class CameraPlane:
    """What the camera sees of light that leaves the sample.

    Parameters
    ----------
    light
        Optical parameters; gradients flow into all of them.
    reach_um
        Half the side of the window on the sample that the light leaves from.
    period_um
        ``None`` integrates over the pupil. A number sums over the frequencies that a fast
        Fourier transform padded to that period has: for comparison with grids.
    dtype
        Complex type of the fields.

    Attributes
    ----------
    taps
        (image_px, points), integrate intensity along an axis over the pixels.

    Raises
    ------
    ConfigError
        If the camera's plane is too far, or the lenses too bad, to be computed.
    """

    def __init__(
        self, light: Light, reach_um: float, period_um: float | None, dtype: torch.dtype
    ) -> None:
        self.light = light
        self._period_um = period_um
        self._reach_um = reach_um
        self._dtype = dtype
        self._disc = self._new_disc(light.collection_na / light.wavelength_um)
        weight = self._disc.weight[..., None, None]
        self._collection = (collection(light, self._disc) * weight).to(dtype)
        steps, taps = (torch.from_numpy(a).to(weight) for a in pixel_filter(light.optics))
        self._position = steps * light.pixel_um
        self.taps = taps * light.pixel_um
        self._camera = PupilTransform(self._disc, self._position, self._position, dtype)

    def _new_disc(self, cutoff: torch.Tensor) -> Disc:
        if self._period_um is None:
            return gauss_disc(cutoff, _pupil_nodes(self.light, self._reach_um))
        return lattice_disc(cutoff, self._period_um)

    def transform(self, x: torch.Tensor, y: torch.Tensor) -> PupilTransform:
        """Return the transform from points (x, y) of the sample to the pupil."""
        return PupilTransform(self._disc, x, y, self._dtype)

    def displacement(self, offset_um: torch.Tensor) -> torch.Tensor:
        """Return the factor, (i, j, batch), of displacing a plane by (batch, 2), (x, y)."""
        x, y = offset_um.to(self._position).unbind(dim=1)
        turns = self._disc.fx[:, None, None] * x + self._disc.fy[..., None] * y
        return torch.polar(torch.ones_like(turns), -2 * torch.pi * turns).to(self._dtype)

    def field(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Carry spectra on the pupil, (i, j, batch, components), to the camera's plane.

        Returns
        -------
        torch.Tensor
            (batch, components, y, x), at the points that ``pixels`` integrates over.
        """
        batch, parts = spectrum.shape[2:]
        mixed = spectrum @ self._collection.mT  # symmetric, so either side would do
        field = self._camera.from_pupil(mixed.reshape(*mixed.shape[:2], -1))
        return field.view(batch, parts, *field.shape[1:])

    def pixels(self, intensity: torch.Tensor) -> torch.Tensor:
        """Integrate intensity at the points, (batch, y, x), over the pixels."""
        taps = self.taps.to(intensity)
        return taps @ intensity @ taps.T

    def whole_beam(self) -> torch.Tensor:
        """Field at the camera's points, (components, y, x), with nothing in the way."""
        light = self.light
        disc = self._new_disc(passed_na(light) / light.wavelength_um)
        spectrum = beam_spectrum(light, disc) * disc.weight[..., None]
        mixed = (collection(light, disc) @ spectrum[..., None])[..., 0]
        camera = PupilTransform(disc, self._position, self._position, torch.complex128)
        return camera.from_pupil(mixed).to(self._dtype)


def passed_na(light: Light) -> torch.Tensor:
    """Return the numerical aperture of the beam's waves that the camera gets."""
    if isinstance(light.optics.beam, GaussianBeam):
        return light.collection_na
    return torch.minimum(light.collection_na, light.focusing_na)


def collection(light: Light, disc: Disc) -> torch.Tensor:
    """Describe what becomes of the sample's plane waves on the way to the camera.

    Returns (i, j, components, components): defocus, aberrations and, for vectorial
    light, the aplanatic objective that turns transverse waves into flat ones. From the
    tangential field, Maxwell's equations give the normal one.
    """
    ux, uy, cosine = direction(light, disc)
    middle = (1 + (1 - (light.collection_na / light.medium_index) ** 2).sqrt()) / 2
    # Measured from the middle of its range: the rest is a phase that no camera sees.
    path = light.distance_um * (cosine - middle) * light.medium_index / light.wavelength_um
    rim = light.collection_na / light.wavelength_um
    waves = path + aberration(light.collection_waves, disc.fx[:, None] / rim, disc.fy / rim)
    transfer = torch.polar(torch.ones_like(waves), 2 * torch.pi * waves)[..., None, None]
    if components(light) == 1:
        return transfer
    root = cosine.sqrt()[..., None, None]
    across = torch.stack([ux, uy], dim=-1)
    turned = across[..., :, None] * across[..., None, :] / (root * (1 + root.square()))
    return transfer * (root * torch.eye(2).to(root) + turned)


def _pupil_nodes(light: Light, reach_um: float) -> int:
    """Half the number of radians that the integrand turns through, and a margin."""
    optics = light.optics
    wavelength_um = optics.wavelength_nm / 1000
    distance_um = optics.defocus_wavelengths * wavelength_um
    turned_um = optics.window_um / 2 + reach_um + distance_um / 2
    # The whole beam brings the aberrations of the lens that focuses it.
    waves = turned_um * optics.collection_na / wavelength_um
    waves += steepest(light.collection_waves) + steepest(light.focusing_waves)
    nodes = int(2 * math.pi * waves) + PUPIL_MARGIN
    if nodes > _MOST_NODES:
        raise ConfigError(
            f"optics: expected a pupil of at most {_MOST_NODES} nodes along an axis, got"
            f" {nodes}; take fewer defocus_wavelengths, a smaller window or weaker aberrations"
        )
    return nodes


def pixel_filter(optics: Optics) -> tuple[Float64, Float64]:
    """How to integrate over binned pixels what is known at few points.

    The intensity has no frequency above ``2 NA / wavelength``, so samples just
    finer than that hold all of it. The weights of ``2 PIXEL_TAPS + 1`` of them or one
    more approximate the pixel's response, a sinc, over that band by least squares,
    favouring low frequencies as the intensity does.

    Returns
    -------
    steps, weights
        (n,) places of the samples along an axis, in pixels from the middle, and
        (image_px, n) their share in the mean over each pixel.
    """
    highest = 2 * optics.collection_na * optics.binned_pixel_nm / optics.wavelength_nm
    per_pixel = math.ceil(2.05 * highest)  # two per period, and room for the filter to fall
    count = 2 * PIXEL_TAPS + per_pixel
    reach = (np.arange(count) - (count - 1) / 2) / per_pixel
    frequency = np.linspace(0, highest, 400)
    favour = (1 - frequency / highest) ** 2 + 1e-4
    waves = np.cos(2 * np.pi * frequency[:, None] * reach)
    response = np.sinc(frequency) * favour
    taps = np.linalg.lstsq(waves * favour[:, None], response, rcond=None)[0]
    samples = (optics.image_px - 1) * per_pixel + count
    weights = np.zeros((optics.image_px, samples))
    for pixel in range(optics.image_px):
        weights[pixel, pixel * per_pixel : pixel * per_pixel + count] = taps
    steps = (np.arange(samples) - (samples - 1) / 2) / per_pixel
    return steps, weights
