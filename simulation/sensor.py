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
        Source of the maps and of all noise.

    Attributes
    ----------
    response, dark_e_per_s, read_noise_e
        (image_px, image_px).
    """

    def __init__(
        self, sensor: Sensor, maps: SensorMaps, image_px: int, generator: torch.Generator
    ) -> None:
        self.sensor = sensor
        self._generator = generator
        shape = (image_px, image_px)
        # A log-normal of this median and sigma has the wanted root mean square.
        sigma = math.sqrt(max(math.log(sensor.read_noise_e / maps.median_read_noise_e), 0.0))
        median = min(maps.median_read_noise_e, sensor.read_noise_e)
        self.read_noise_e = median * torch.exp(sigma * self._normal(*shape))
        self.response = (1 + maps.response_nonuniformity * self._normal(*shape)).clamp(min=0)
        hot = torch.rand(*shape, generator=generator) < maps.hot_pixels
        self.dark_e_per_s = torch.where(hot, maps.hot_pixel_e_per_s, maps.dark_e_per_s)

    def expose(self, electrons: torch.Tensor, exposure_ms: float) -> torch.Tensor:
        """Record expected photo-electrons, (..., y, x), as digital numbers, int32."""
        expected = self.response * electrons + self.dark_e_per_s * (exposure_ms / 1000)
        collected = torch.poisson(expected, generator=self._generator)
        collected = collected.clamp(max=self.sensor.full_well_e)
        read = collected + self.read_noise_e * self._normal(*electrons.shape)
        adu = read / self.sensor.gain_e_per_adu + self.sensor.offset_adu
        return adu.round().clamp(0, _LARGEST_ADU).to(torch.int32)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator)
