"""The sCMOS sensor: photo-electrons in, digital numbers out.

``N = Poisson(response * electrons + dark * t)``, clipped at full well, then
``ADU = clip(round(N / gain + offset + Normal(0, read / gain)), 0, 65535)``, with
response, dark current and read noise of every pixel its own. A pixel is a pixel of
the delivered, binned image: docs/decisions/0002-binned-pixels.md.
"""

import math

import torch

from configs.instrument import Sensor, SensorMaps

_LARGEST_ADU = 65_535


class SensorModel:
    """A sensor with one draw of its per-pixel maps.

    Parameters
    ----------
    sensor, maps
        Common values, and the spread of the pixels around them.
    image_px
        Side of the delivered image.
    generator
        Source of the maps.

    Attributes
    ----------
    response, dark_e_per_s, read_noise_e
        (image_px, image_px).
    """

    def __init__(
        self, sensor: Sensor, maps: SensorMaps, image_px: int, generator: torch.Generator
    ) -> None:
        self.sensor = sensor
        shape = (image_px, image_px)
        # A log-normal of this median and sigma has the wanted root mean square.
        sigma = math.sqrt(math.log(max(sensor.read_noise_e / maps.median_read_noise_e, 1.0)))
        median = min(maps.median_read_noise_e, sensor.read_noise_e)
        self.read_noise_e = median * torch.exp(sigma * torch.randn(shape, generator=generator))
        response = 1 + maps.response_nonuniformity * torch.randn(shape, generator=generator)
        self.response = response.clamp(min=0)
        hot = torch.rand(shape, generator=generator) < maps.hot_pixels
        self.dark_e_per_s = torch.where(hot, maps.hot_pixel_e_per_s, maps.dark_e_per_s)

    def expose(
        self, electrons: torch.Tensor, exposure_ms: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Record expected photo-electrons as digital numbers.

        Parameters
        ----------
        electrons
            (..., y, x), expected photo-electrons per pixel, without the dark current.
        exposure_ms
            How long the dark current has flown.
        generator
            Source of photon and read noise: the same one, the same noise.

        Returns
        -------
        torch.Tensor
            (..., y, x), int32.
        """
        expected = self.response * electrons + self.dark_e_per_s * (exposure_ms / 1000)
        collected = torch.poisson(expected, generator=generator)
        collected = collected.clamp(max=self.sensor.full_well_e)
        normal = torch.randn(electrons.shape, generator=generator)
        read = collected + self.read_noise_e * normal
        adu = read / self.sensor.gain_e_per_adu + self.sensor.offset_adu
        return adu.round().clamp(0, _LARGEST_ADU).to(torch.int32)
