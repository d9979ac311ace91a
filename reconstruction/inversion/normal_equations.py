"""Gauss-Newton: how the misfit changes with the light of the modes, frame by frame.

What every frame has of its own, its power and where the beam was, is eliminated: it takes the
values that suit the light of the modes best.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import torch

from reconstruction.inversion.photons import Photons
from reconstruction.inversion.scene import Scene

POWER_SPREAD: Final = 0.02
"""Prior standard deviation of the laser's power from frame to frame, relative."""
_EVERY: Final = 2
"""Pixels whose light makes up the curvature: the camera samples light twice as finely as
light varies, so that the others repeat it."""
_BATCH: Final = 32
"""Frames at once, as many as stay in a processor's cache."""
_MOVE_UM: Final = 0.02
"""Of the beam, between which light is compared."""


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
class Own:
    """What each of some frames has of its own: power, and where the beam was if that is unsure.

    Attributes
    ----------
    light_e
        (n, own, pixels), how expected electrons change with it.
    held
        (own,), inverse variance that it has by itself.
    short
        (n, own), by how much it is below what it would be by itself.
    """

    light_e: torch.Tensor
    held: torch.Tensor
    short: torch.Tensor

    @classmethod
    def of(
        cls,
        photons: Photons,
        scene: Scene,
        amplitudes: torch.Tensor,
        moves: torch.Tensor | None,
        beam: Beam,
        part: slice,
    ) -> Self:
        """Look at frames whose modes have amplitudes, (n, modes), and change so with places."""
        model, power = scene.model, beam.power[part]
        light_e = [model.light(amplitudes).flatten(1) * beam.electrons]
        held, short = [POWER_SPREAD**-2], [1 - power]
        if moves is not None:
            for move in moves[part].unbind(1):
                # Light is quadratic in amplitudes: a difference of any size is a derivative.
                step = _MOVE_UM * move
                change = model.light(amplitudes + step) - model.light(amplitudes - step)
                scale = beam.electrons * power[:, None] / (2 * _MOVE_UM)
                light_e.append(change.flatten(1) * scale)
            held += [photons.place_spread_um**-2] * 2
            short += (photons.off_um - scene.off_um)[part].unbind(1)
        prior = torch.tensor(held, device=power.device)
        return cls(torch.stack(light_e, dim=1), prior, torch.stack(short, dim=1))

    def covariance(self, weight: torch.Tensor) -> torch.Tensor:
        """Return (n, own, own), where electrons count by weights, (n, pixels)."""
        curvature = (self.light_e * weight[:, None]) @ self.light_e.mT
        covariance: torch.Tensor = torch.linalg.inv(curvature + torch.diag(self.held))
        return covariance


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """Second-order expansion of the misfit in the amplitudes of the modes.

    What is each frame's own follows from them and is eliminated: its power and, if the stage
    is not sure of it, the place (x, y) of the beam.

    Attributes
    ----------
    curvature, slope
        (n, modes, modes), and (n, modes): the misfit falls along the slope.
    own_step, own_response
        (n, own) and (n, own, modes): the change of a frame's own is the one less the other
        times a change of amplitudes.
    own_spread
        (n, own), standard deviations of a frame's own, the sample known.
    """

    curvature: torch.Tensor
    slope: torch.Tensor
    own_step: torch.Tensor
    own_response: torch.Tensor
    own_spread: torch.Tensor

    @classmethod
    @torch.inference_mode()
    def at(cls, photons: Photons, scene: Scene, cells: torch.Tensor, beam: Beam) -> Self:
        """Expand around the cells of a scene, to the second order roughly."""
        amplitudes = scene.amplitudes(cells)
        moves = scene.moves(cells) if photons.place_spread_um else None
        expand = partial(_expand, photons, scene, amplitudes, moves, beam)
        parts = [
            expand(slice(start, start + _BATCH)) for start in range(0, len(photons), _BATCH)
        ]
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def bent(self, change: torch.Tensor) -> torch.Tensor:
        """Return by how much the slope falls with a change of amplitudes, (n, modes)."""
        return torch.bmm(self.curvature, change[:, :, None])[:, :, 0]

    def own_change(self, change: torch.Tensor) -> torch.Tensor:
        """Return the change of each frame's own, (n, own), with that of amplitudes."""
        return self.own_step - torch.bmm(self.own_response, change[:, :, None])[:, :, 0]


def _expand(
    photons: Photons,
    scene: Scene,
    amplitudes: torch.Tensor,
    moves: torch.Tensor | None,
    beam: Beam,
    part: slice,
) -> tuple[torch.Tensor, ...]:
    model, amplitudes = scene.model, amplitudes[part]
    light = model.light(amplitudes)
    expected_e = beam.expected_e(light, part)
    weight = photons.weight(expected_e)
    missing = photons.electrons[part] - expected_e
    scale = beam.electrons * beam.power[part, None, None]

    def pull(e: torch.Tensor) -> torch.Tensor:
        return model.light_pull(amplitudes, (weight * e).view_as(light) * scale)

    gradient = model.rough_gradient(amplitudes, _EVERY) * scale[..., None]
    thin = weight.view_as(light)[:, None, ::_EVERY, ::_EVERY] * _EVERY**2
    curvature = torch.bmm((gradient * thin).flatten(2), gradient.flatten(2).mT)

    own = Own.of(photons, scene, amplitudes, moves, beam, part)
    weighted = own.light_e * weight[:, None]
    mixed = torch.stack([pull(e) for e in own.light_e.unbind(1)], dim=1)
    covariance = own.covariance(weight)
    rise = (weighted @ missing[:, :, None])[:, :, 0] + own.short * own.held
    response = covariance @ mixed
    step = (covariance @ rise[:, :, None])[:, :, 0]
    curvature -= mixed.mT @ response
    slope = pull(missing) - (mixed * step[:, :, None]).sum(1)
    return curvature, slope, step, response, covariance.diagonal(dim1=1, dim2=2).sqrt()
