"""The paper's transformer: an encoder like a U-Net's, with attention at every level.

Attention is linear where maps are large (Shen et al., "Efficient attention", WACV 2021) and
full at the deepest level; a perceptron reads the squares off what is left. The paper says no
more of it: widths and blocks here are those that diffusion models made common (Ho et al.,
NeurIPS 2020).
"""

from itertools import pairwise
from typing import Final

import torch
from torch import nn

_CHANNELS: Final = (64, 128, 256, 512)
_HEADS: Final = 4
_HEAD_WIDTH: Final = 32
_GROUPS: Final = 8
_HIDDEN: Final = 1024


class Transformer(nn.Module):
    """From (batch, 1, y, x) to (batch, outputs).

    Parameters
    ----------
    outputs
        Logits per frame.
    image_px
        Side of the frames.
    """

    def __init__(self, outputs: int, image_px: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, _CHANNELS[0], 7, padding=3)]
        for width, next_width in pairwise(_CHANNELS):
            layers += [_Block(width), _Block(width), _LinearAttention(width)]
            layers += [nn.Conv2d(width, next_width, 4, stride=2, padding=1)]
        width, side = _CHANNELS[-1], image_px >> (len(_CHANNELS) - 1)
        deepest = _Block(width), _FullAttention(width), _Block(width)
        self.encoder = nn.Sequential(*layers, *deepest)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * side**2, _HIDDEN),
            nn.GELU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.GELU(),
            nn.Linear(_HIDDEN, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Read the squares."""
        logits: torch.Tensor = self.head(self.encoder(x))
        return logits


class _Block(nn.Module):
    """Two convolutions, normed and activated before, and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """What both kinds of attention share: queries, keys and values of all places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = _HEADS * _HEAD_WIDTH
        self.norm = nn.GroupNorm(1, width)
        self.project = nn.Conv2d(width, 3 * inner, 1, bias=False)
        self.leave = nn.Conv2d(inner, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, rows, columns = x.shape
        projected = self.project(self.norm(x))  # (batch, 3 inner, rows, columns)
        query, key, value = projected.reshape(batch, 3, _HEADS, _HEAD_WIDTH, -1).unbind(1)
        attended = self.attend(query, key, value)  # (batch, heads, head width, places)
        attended = attended.reshape(batch, -1, rows, columns)
        return x + self.leave(attended)  # type: ignore[no-any-return]

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        raise NotImplementedError


class _LinearAttention(_Attention):
    """Every place asks one summary of all places, a matrix: linear in their number."""

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        summary = key.softmax(-1) @ value.transpose(-1, -2)
        return summary.transpose(-1, -2) @ query.softmax(-2)


class _FullAttention(_Attention):
    """Every place asks every place."""

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        attended = nn.functional.scaled_dot_product_attention(
            query.transpose(-1, -2), key.transpose(-1, -2), value.transpose(-1, -2)
        )
        return attended.transpose(-1, -2)
