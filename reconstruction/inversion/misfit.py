"""How far measurement and model are apart."""

from dataclasses import dataclass
from typing import Final

import torch

from reconstruction.inversion.normal_equations import POWER_SPREAD, Beam
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class Misfit:
    """The likelihood, and where it suffers.

    Attributes
    ----------
    value
        Negative logarithm of the likelihood, up to a constant, with the prior of the power.
    of_frames, of_pixels
        (n,) and (pixels,), chi-squared per degree of freedom.
    stray_step_e
        By how much more stray light would fit better.
    """

    value: float
    of_frames: torch.Tensor
    of_pixels: torch.Tensor
    stray_step_e: float

    @property
    def chi_squared(self) -> float:
        """Of all, per degree of freedom: 1 where the model explains the photons."""
        return float(self.of_frames.mean())


@torch.inference_mode()
def misfit(
    photons: Photons, model: ForwardModel, amplitudes: torch.Tensor, beam: Beam
) -> Misfit:
    """Compare frames with what amplitudes, (n, modes), would give."""
    value, weights, missing = 0.0, 0.0, 0.0
    of_frames = []
    of_pixels = torch.zeros_like(photons.electrons[0])
    for start in range(0, len(photons), _BATCH):
        part = slice(start, start + _BATCH)
        expected_e = beam.expected_e(model.light(amplitudes[part]), part)
        weight = photons.weight(expected_e)
        difference = photons.electrons[part] - expected_e
        chi = photons.chi_squared(expected_e, part)
        value += float(photons.deviance(expected_e, part).sum(dtype=torch.float64))
        weights += float(weight.sum(dtype=torch.float64))
        missing += float((weight * difference).sum(dtype=torch.float64))
        of_frames.append(chi.mean(1))
        of_pixels += chi.sum(0)
    power = (beam.power - 1).square().sum() / (2 * POWER_SPREAD**2)
    return Misfit(
        value + float(power), torch.cat(of_frames), of_pixels / len(photons), missing / weights
    )
