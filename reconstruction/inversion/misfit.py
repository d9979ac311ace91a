"""How far measurement and model are apart."""

from functools import cached_property
from typing import Final

import torch

from reconstruction.inversion.normal_equations import POWER_SPREAD, Beam
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

_BATCH: Final = 128
_DARK_E: Final = 1e-6


class Misfit:
    """The likelihood, and where it suffers.

    Parameters
    ----------
    photons
        What was measured.
    expected_e
        (n, pixels), photo-electrons that were expected.
    power_penalty
        Of the prior of the power.

    Attributes
    ----------
    value
        Negative logarithm of the likelihood, up to a constant, with the prior of the power.
    stray_step_e
        By how much more stray light would fit better.
    """

    @torch.inference_mode()
    def __init__(
        self, photons: Photons, expected_e: torch.Tensor, power_penalty: float
    ) -> None:
        self._photons, self._expected_e = photons, expected_e
        self._power_penalty = power_penalty
        deviance, weights, missing = 0.0, 0.0, 0.0
        for start in range(0, len(photons), _BATCH):
            part = slice(start, start + _BATCH)
            weight = photons.weight(expected_e[part])
            difference = photons.electrons[part] - expected_e[part]
            deviance += float(photons.deviance(expected_e[part], part).sum(dtype=torch.float64))
            weights += float(weight.sum(dtype=torch.float64))
            missing += float((weight * difference).sum(dtype=torch.float64))
        self.value = deviance + power_penalty
        self.stray_step_e = missing / weights

    @torch.inference_mode()
    def with_more_stray(self, by_e: float) -> "Misfit":
        """Return the misfit with so much more light in every pixel."""
        return Misfit(self._photons, self._expected_e + by_e, self._power_penalty)

    @cached_property
    def of_frames(self) -> torch.Tensor:
        """(n,), chi-squared per degree of freedom."""
        return mean_by_light(self._of_values, self._expected_e, 1)

    @cached_property
    def of_pixels(self) -> torch.Tensor:
        """(pixels,), chi-squared per degree of freedom."""
        return mean_by_light(self._of_values, self._expected_e, 0)

    @cached_property
    def light_e(self) -> torch.Tensor:
        """(n,), photo-electrons expected of each frame, per pixel."""
        return self._expected_e.mean(1)

    @cached_property
    def chi_squared(self) -> float:
        """Of all, per degree of freedom: 1 where the model explains the photons.

        Frames and pixels count by their light: dark ones would hide that bright ones
        disagree, and they depend on a read noise that differs from pixel to pixel.
        """
        return float(mean_by_light(self.of_frames, self.light_e))

    @property
    def values(self) -> int:
        """Number of measured values."""
        return self._expected_e.numel()

    @property
    def _of_values(self) -> torch.Tensor:
        return self._photons.chi_squared(self._expected_e)


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
    expected_e = torch.cat(
        [
            beam.expected_e(model.light(amplitudes[part]), part)
            for part in (slice(n, n + _BATCH) for n in range(0, len(photons), _BATCH))
        ]
    )
    penalty = (beam.power - 1).square().sum() / (2 * POWER_SPREAD**2)
    return Misfit(photons, expected_e, float(penalty))
