"""The frame network: one camera frame to the open squares under the beam.

A frame carries some fifty usable numbers, so a learned projection and a small
residual head hold all that it tells; there is nothing for convolutions to find. One
network serves all targets: the middle of 7 x 7 squares is as right as what a network of 3 x 3
says (docs/benchmarks.md).
"""

import torch
from torch import nn

from configs.grid import LARGEST_GRID, check_grid
from configs.value import PositiveInt, Value


class FrameArchitecture(Value):
    """Sizes of a frame network."""

    image_px: PositiveInt = 64
    """Side of a frame."""
    components: PositiveInt = 192
    """That frames are projected on."""
    width: PositiveInt = 512
    """Channels of a block."""
    blocks: PositiveInt = 3


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.contract(nn.functional.gelu(self.expand(self.norm(x))))
        return x + residual


class FrameNetwork(nn.Module):
    """Logits of the squares around the beam, as many as the largest target has."""

    def __init__(self, architecture: FrameArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        size = architecture
        self.projection = nn.Linear(size.image_px**2, size.components)
        self.enter = nn.Linear(size.components, size.width)
        self.trunk = nn.Sequential(*(_ResidualBlock(size.width) for _ in range(size.blocks)))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, LARGEST_GRID**2)

    def forward(self, amplitude: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (batch, y, x), to logits, (batch, 7, 7)."""
        x = self.enter(self.projection(amplitude.flatten(1)))
        logits: torch.Tensor = self.head(self.norm(self.trunk(x)))
        return logits.reshape(-1, LARGEST_GRID, LARGEST_GRID)


def centre(squares: torch.Tensor, grid: int) -> torch.Tensor:
    """Cut the middle (..., grid, grid) out of squares, (..., 7, 7)."""
    edge = (squares.shape[-1] - check_grid(grid)) // 2
    return squares[..., edge : edge + grid, edge : edge + grid]
