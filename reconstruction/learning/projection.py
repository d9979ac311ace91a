"""What frames are projected on: the principal components of fresh ones."""

from typing import Final

import torch
from torch import nn

from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.symmetry import SYMMETRIES, transformed
from simulation.streams import Stream, torch_stream

_SCANS: Final = 48
_EVERY: Final = 12
"""One frame in so many counts."""


@torch.no_grad()
def start_from_components(projection: nn.Linear, maker: ScanMaker, seed: int) -> None:
    """Let a layer give the whitened principal components of frames.

    The frames count in all eight symmetries, so the components span what is symmetric.
    """
    random = torch_stream(seed, Stream.TRAINING)
    some = torch.cat([maker.draw(random).amplitude[::_EVERY] for _ in range(_SCANS)])
    frames = torch.cat([transformed(some, symmetry) for symmetry in range(SYMMETRIES)])
    frames = frames.flatten(1)
    mean = frames.mean(dim=0)
    scatter = (frames - mean).T @ (frames - mean) / len(frames)
    variance, components = torch.linalg.eigh(scatter)
    count = projection.out_features
    strongest = components[:, -count:].flip(1) / variance[-count:].flip(0).sqrt()
    projection.weight.copy_(strongest.T)
    projection.bias.copy_(-strongest.T @ mean)
