"""How far measurement and model are apart."""

from dataclasses import dataclass
from typing import Final

import torch

from reconstruction.inversion.normal_equations import POWER_SPREAD, Beam
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

_BATCH: Final = 128
_DARK_E: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Misfit:
    """The likelihood, and where it suffers.

    Attributes
    ----------
    value
        Negative logarithm of the likelihood, up to a constant, with the prior of the power.
    of_frames, of_pixels
        (n,) and (pixels,), chi-squared per degree of freedom.
    light_e
        (n,), photo-electrons expected of each frame, per pixel.
    stray_step_e
        By how much more stray light would fit better.
    """

    value: float
    of_frames: torch.Tensor
    of_pixels: torch.Tensor
    light_e: torch.Tensor
    stray_step_e: float

    @property
    def chi_squared(self) -> float:
        """Of all, per degree of freedom: 1 where the model explains the photons.

        Frames and pixels count by their light: dark ones would hide that bright ones
        disagree, and they depend on a read noise that differs from pixel to pixel.
        """
        return float(mean_by_light(self.of_frames, self.light_e))


def mean_by_light(
    chi_squared: torch.Tensor, light_e: torch.Tensor, over: int | None = None
) -> torch.Tensor:
    """Return the mean of chi-squared, along an axis or of all; NaN does not count."""
    weight = light_e.clamp(min=_DARK_E)
    return (chi_squared * weight).nansum(over) / weight.nansum(over)


@torch.inference_mode()
def misfit(
    photons: Photons, model: ForwardModel, amplitudes: torch.Tensor, beam: Beam
) -> Misfit:
    """Compare frames with what amplitudes, (n, modes), would give."""
    value, weights, missing = 0.0, 0.0, 0.0
    parts = []
    for start in range(0, len(photons), _BATCH):
        part = slice(start, start + _BATCH)
        expected_e = beam.expected_e(model.light(amplitudes[part]), part)
        weight = photons.weight(expected_e)
        difference = photons.electrons[part] - expected_e
        value += float(photons.deviance(expected_e, part).sum(dtype=torch.float64))
        weights += float(weight.sum(dtype=torch.float64))
        missing += float((weight * difference).sum(dtype=torch.float64))
        parts.append(expected_e)
    expected_e = torch.cat(parts)
    chi_squared = photons.chi_squared(expected_e)
    power = (beam.power - 1).square().sum() / (2 * POWER_SPREAD**2)
    return Misfit(
        value=value + float(power),
        of_frames=mean_by_light(chi_squared, expected_e, 1),
        of_pixels=mean_by_light(chi_squared, expected_e, 0),
        light_e=expected_e.mean(1),
        stray_step_e=missing / weights,
    )
