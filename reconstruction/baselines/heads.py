"""How what a network makes of a frame becomes one logit for every square."""

import torch
from torch import nn


class SquareHead(nn.Module):
    """Gives the frame its channel, and the outputs of a classifier their rows and columns.

    Parameters
    ----------
    network
        From (batch, 1, y, x) to (batch, grid * grid).
    grid
        Side of the target.
    """

    def __init__(self, network: nn.Module, grid: int) -> None:
        super().__init__()
        self.network = network
        self.grid = grid

    def forward(self, amplitude: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (batch, y, x), to logits, (batch, grid, grid)."""
        logits: torch.Tensor = self.network(amplitude[:, None])
        return logits.reshape(-1, self.grid, self.grid)


class MapHead(nn.Module):
    """Reads squares off the map that a U-Net draws, by one linear layer.

    The camera is defocused, so what it has to say of a square lies all over the frame, not
    where the square is. Neither the middle of the map nor blocks of it would be fair: a
    linear layer sees all, as it does at the end of a ResNet.

    Parameters
    ----------
    network
        From (batch, 1, y, x) to (batch, 1, y, x).
    grid
        Side of the target.
    image_px
        Side of the frames.
    """

    def __init__(self, network: nn.Module, grid: int, image_px: int) -> None:
        super().__init__()
        self.network = network
        self.grid = grid
        self.read = nn.Linear(image_px**2, grid**2)

    def forward(self, amplitude: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (batch, y, x), to logits, (batch, grid, grid)."""
        logits: torch.Tensor = self.read(self.network(amplitude[:, None]).flatten(1))
        return logits.reshape(-1, self.grid, self.grid)
