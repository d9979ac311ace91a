"""Gauss-Newton: how the misfit changes with the light of the modes, frame by frame."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import torch

from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

POWER_SPREAD: Final = 0.02
"""Prior standard deviation of the laser's power from frame to frame, relative."""
_EVERY: Final = 2
"""Pixels whose light makes up the curvature: the camera samples light twice as finely as
light varies, so that the others repeat it."""
_BATCH: Final = 8
_ROUGH_BATCH: Final = 32
"""Frames at once, as many as stay in a processor's cache."""


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
        cls,
        photons: Photons,
        model: ForwardModel,
        amplitudes: torch.Tensor,
        beam: Beam,
        *,
        rough: bool,
    ) -> Self:
        """Expand around amplitudes, (n, modes), to the second order only roughly if told so."""
        gradient = model.rough_gradient if rough else model.light_gradient
        batch = _ROUGH_BATCH if rough else _BATCH
        parts = [
            _expand(photons, model, gradient, amplitudes, beam, slice(start, start + batch))
            for start in range(0, len(photons), batch)
        ]
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def misfit(self, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Change of the misfit with amplitudes, (n, modes), and its derivative by them."""
        bent = torch.bmm(self.curvature, change[:, :, None])[:, :, 0]
        return (change * (0.5 * bent - self.slope)).sum(), bent - self.slope


def _expand(
    photons: Photons,
    model: ForwardModel,
    light_gradient: Callable[[torch.Tensor, int], torch.Tensor],
    amplitudes: torch.Tensor,
    beam: Beam,
    part: slice,
) -> tuple[torch.Tensor, ...]:
    amplitudes = amplitudes[part]
    light = model.light(amplitudes)
    expected_e = beam.expected_e(light, part)
    weight = photons.weight(expected_e)
    full = light.flatten(1) * beam.electrons
    missing = photons.electrons[part] - expected_e
    scale = beam.electrons * beam.power[part, None, None]

    def pull(e: torch.Tensor) -> torch.Tensor:
        return model.light_pull(amplitudes, (weight * e).view_as(light) * scale)

    gradient = light_gradient(amplitudes, _EVERY) * scale[..., None]
    thin = weight.view_as(light)[:, None, ::_EVERY, ::_EVERY] * _EVERY**2
    curvature = torch.bmm((gradient * thin).flatten(2), gradient.flatten(2).mT)
    # Power: its own curvature and slope, with a prior, and how it goes with the modes.
    mixed = pull(full)
    stiff = (weight * full.square()).sum(1) + POWER_SPREAD**-2
    rise = (weight * full * missing).sum(1) - (beam.power[part] - 1) * POWER_SPREAD**-2
    response = mixed / stiff[:, None]
    step = rise / stiff
    curvature -= mixed[:, :, None] * response[:, None]
    return curvature, pull(missing) - mixed * step[:, None], step, response
