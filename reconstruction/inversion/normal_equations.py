"""Gauss-Newton: how the misfit changes with the light of the modes, frame by frame."""

from dataclasses import dataclass
from typing import Final, Self

import torch

from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

POWER_SPREAD: Final = 0.02
"""Prior standard deviation of the laser's power from frame to frame, relative."""
_BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Beam:
    """What is not in the sample: how much light there was.

    Attributes
    ----------
    electrons
        Photo-electrons of the whole beam in a frame.
    power
        (n,), relative, of each frame.
    stray_e
        Light that is everywhere, per pixel.
    """

    electrons: float
    power: torch.Tensor
    stray_e: float

    def expected_e(self, light: torch.Tensor, frames: slice) -> torch.Tensor:
        """Photo-electrons, (batch, pixels), of light that is a fraction of the beam's."""
        return light.flatten(1) * (self.electrons * self.power[frames, None]) + self.stray_e


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """Second-order expansion of the misfit in the amplitudes of the modes.

    The power of each frame, which follows from them, is eliminated.

    Attributes
    ----------
    curvature, slope
        (n, modes, modes), and (n, modes): the misfit falls along the slope.
    power_step, power_response
        (n,) and (n, modes): the change of power is the one less the other times a change of
        amplitudes.
    """

    curvature: torch.Tensor
    slope: torch.Tensor
    power_step: torch.Tensor
    power_response: torch.Tensor

    @classmethod
    @torch.inference_mode()
    def at(
        cls, photons: Photons, model: ForwardModel, amplitudes: torch.Tensor, beam: Beam
    ) -> Self:
        """Expand around amplitudes, (n, modes)."""
        parts = [
            _expand(photons, model, amplitudes, beam, slice(start, start + _BATCH))
            for start in range(0, len(photons), _BATCH)
        ]
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def misfit(self, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Change of the misfit with amplitudes, (n, modes), and its derivative by them."""
        bent = torch.bmm(self.curvature, change[:, :, None])[:, :, 0]
        return (change * (0.5 * bent - self.slope)).sum(), bent - self.slope


def _expand(
    photons: Photons, model: ForwardModel, amplitudes: torch.Tensor, beam: Beam, part: slice
) -> tuple[torch.Tensor, ...]:
    light = model.light(amplitudes[part])
    expected_e = beam.expected_e(light, part)
    weight = photons.weight(expected_e)
    full = light.flatten(1) * beam.electrons
    scale = beam.electrons * beam.power[part, None, None]
    gradient = model.light_gradient(amplitudes[part]).flatten(2) * scale
    weighted = gradient * weight[:, None]
    missing = (photons.electrons[part] - expected_e)[:, :, None]
    slope = torch.bmm(weighted, missing)[:, :, 0]
    curvature = torch.bmm(weighted, gradient.mT)
    # Power: its own curvature and slope, with a prior, and how it goes with the modes.
    mixed = torch.bmm(weighted, full[:, :, None])[:, :, 0]
    stiff = (weight * full.square()).sum(1) + POWER_SPREAD**-2
    pull = (weight * full * missing[:, :, 0]).sum(1)
    pull -= (beam.power[part] - 1) * POWER_SPREAD**-2
    response = mixed / stiff[:, None]
    step = pull / stiff
    curvature -= mixed[:, :, None] * response[:, None]
    return curvature, slope - mixed * step[:, None], step, response
