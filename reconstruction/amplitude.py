"""What reconstruction sees of a frame: the root of its light."""

import torch

from configs.instrument import Sensor


def relative_amplitude(adu: torch.Tensor, sensor: Sensor, open_peak_e: float) -> torch.Tensor:
    """Root of the light in each pixel, relative to the brightest of an open sample.

    Parameters
    ----------
    adu
        (..., y, x), digital numbers.
    sensor
        Gain and offset.
    open_peak_e
        Photo-electrons at the brightest pixel of an all-open sample.

    Returns
    -------
    torch.Tensor
        (..., y, x), float32; light below the offset counts as none.
    """
    electrons = sensor.electrons(adu.to(torch.float32))
    return (electrons / open_peak_e).clamp_(min=0).sqrt_()
