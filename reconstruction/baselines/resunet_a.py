"""ResUNet-a: a U-Net of atrous residual blocks with pyramid pooling.

Diakogiannis et al., ISPRS Journal of Photogrammetry and Remote Sensing 162 (2020) 94-114,
the network of six levels (d6). Left out: its further tasks (borders, distances, colours)
and its Tanimoto loss, since the benchmark has one task and one loss.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

_CHANNELS: Final = (32, 64, 128, 256, 512, 1024)
_DILATIONS: Final = ((1, 3, 15, 31), (1, 3, 15, 31), (1, 3, 15), (1, 3, 15), (1,), (1,))
_PYRAMID: Final = (1, 2, 4, 8)


class ResUNetA(nn.Module):
    """From (batch, 1, y, x) to (batch, 1, y, x).

    Parameters
    ----------
    image_px
        Side of the frames; dilations that reach beyond a level's map are not made.
    """

    def __init__(self, image_px: int) -> None:
        super().__init__()
        sides = [image_px >> level for level in range(len(_CHANNELS))]
        fitting = [
            [dilation for dilation in dilations if dilation < side]
            for side, dilations in zip(sides, _DILATIONS, strict=True)
        ]
        blocks = list(zip(_CHANNELS, fitting, strict=True))
        self.enter = nn.Conv2d(1, _CHANNELS[0], 1)
        self.encoder = nn.ModuleList(_AtrousBlock(*block) for block in blocks)
        self.down = nn.ModuleList(
            nn.Conv2d(width, 2 * width, 1, stride=2) for width in _CHANNELS[:-1]
        )
        self.middle = _PyramidPooling(_CHANNELS[-1], _CHANNELS[-1], sides[-1])
        self.combine = nn.ModuleList(_Combine(width) for width in _CHANNELS[-2::-1])
        self.decoder = nn.ModuleList(_AtrousBlock(*block) for block in blocks[-2::-1])
        self.last = _PyramidPooling(2 * _CHANNELS[0], _CHANNELS[0], sides[0])
        self.leave = nn.Conv2d(_CHANNELS[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Draw a map of the frame."""
        x = entered = self.enter(x)
        skips = []
        for block, down in zip(self.encoder, self.down, strict=False):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.middle(self.encoder[-1](x))
        for combine, block in zip(self.combine, self.decoder, strict=True):
            x = block(combine(x, skips.pop()))
        drawn: torch.Tensor = self.leave(self.last(torch.cat([x, entered], 1)).relu())
        return drawn


class _AtrousBlock(nn.Module):
    """Adds up two convolutions a branch, each branch with a dilation of its own, and x."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*_activated(width, dilation), *_activated(width, dilation))
            for dilation in dilations
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x
        for branch in self.branches:
            total = total + branch(x)
        return total


def _activated(width: int, dilation: int) -> list[nn.Module]:
    return [
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
    ]


def _normed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class _Combine(nn.Module):
    """Doubles a coarse map's side, and joins it with the encoder's map of that side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), _normed(2 * width, width))
        self.join = _normed(2 * width, width)

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        joined: torch.Tensor = self.join(torch.cat([self.up(coarse).relu(), fine], 1))
        return joined


class _PyramidPooling(nn.Module):
    """Shows every place the brightest of the whole map, of its quarter, and so on."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.parts = [parts for parts in _PYRAMID if parts <= side]
        width = inputs // len(_PYRAMID)
        self.levels = nn.ModuleList(_normed(inputs, width) for _ in self.parts)
        self.join = _normed(inputs + width * len(self.parts), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [x]
        for parts, level in zip(self.parts, self.levels, strict=True):
            pooled = level(nn.functional.adaptive_max_pool2d(x, parts))
            maps.append(nn.functional.interpolate(pooled, size=x.shape[-2:]))
        joined: torch.Tensor = self.join(torch.cat(maps, 1))
        return joined
