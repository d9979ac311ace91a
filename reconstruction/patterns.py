"""Random windows of squares to train on: random squares and random smooth shapes.

Nothing here is a star or a glyph. A smooth shape is where a sum of random plane
waves exceeds a random level: from blots through labyrinths to bent stripes,
depending on the period and the spread of directions, both drawn anew each time.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

_WAVES: Final = 12
_POINTS_PER_SQUARE: Final = 6
_PERIOD_SQUARES: Final = (1.5, 20.0)
_DENSITY: Final = (0.05, 0.65)
_SHARE_OF_SQUARES: Final = 0.6
_SHARE_WITH_EDGE: Final = 0.2


@dataclass(frozen=True, slots=True)
class PatternMaker:
    """Draws batches of windows.

    Attributes
    ----------
    squares
        Side of the window.
    generator
        Source of all randomness.
    """

    squares: int
    generator: torch.Generator

    def draw(self, batch: int) -> torch.Tensor:
        """Return milled fractions, (batch, squares, squares), float32."""
        random = int(batch * _SHARE_OF_SQUARES)
        windows = torch.cat([self._random_squares(random), self._smooth(batch - random)])
        closed = self._rand(batch) < _SHARE_WITH_EDGE
        windows[closed] *= self._half_planes(int(closed.sum()))
        return windows

    def _rand(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def _random_squares(self, batch: int) -> torch.Tensor:
        low, high = _DENSITY
        density = self._rand(batch, 1, 1, low=low, high=high)
        return (self._rand(batch, self.squares, self.squares) < density).float()

    def _smooth(self, batch: int) -> torch.Tensor:
        low, high = (math.log(p) for p in _PERIOD_SQUARES)
        period = self._rand(batch, 1, low=low, high=high).exp()
        frequency = self._rand(batch, _WAVES, low=0.7, high=1.3) / period
        spread = self._rand(batch, 1) ** 2 * math.pi
        direction = self._rand(batch, 1, high=2 * math.pi)
        direction = direction + spread * self._rand(batch, _WAVES, low=-1)
        phase = self._rand(batch, _WAVES, high=2 * math.pi)
        points = self.squares * _POINTS_PER_SQUARE
        axis = (torch.arange(points) + 0.5) / _POINTS_PER_SQUARE - self.squares / 2
        turns = 2 * math.pi * frequency[..., None] * axis
        x = torch.polar(torch.ones(()), turns * direction.cos()[..., None] + phase[..., None])
        y = torch.polar(torch.ones(()), turns * direction.sin()[..., None])
        # Re(x y) as one real product: (batch, points, 2 waves) @ (batch, 2 waves, points)
        height = torch.cat([y.real, -y.imag], 1).transpose(1, 2) @ torch.cat(
            [x.real, x.imag], 1
        )
        level = self._rand(batch, 1, 1, low=-0.9, high=1.3) * math.sqrt(_WAVES / 2)
        return _area(height > level, self.squares)

    def _half_planes(self, batch: int) -> torch.Tensor:
        """Film on one side of a straight edge, as at the rim of every sample."""
        direction = self._rand(batch, 1, 1, high=2 * math.pi)
        distance = self._rand(batch, 1, 1, low=-self.squares / 3, high=self.squares / 3)
        points = self.squares * _POINTS_PER_SQUARE
        axis = (torch.arange(points) + 0.5) / _POINTS_PER_SQUARE - self.squares / 2
        along = direction.cos() * axis + direction.sin() * axis[:, None]
        return _area(along < distance, self.squares)


def _area(inside: torch.Tensor, squares: int) -> torch.Tensor:
    """(batch, points, points) bool to (batch, squares, squares) fraction."""
    n = _POINTS_PER_SQUARE
    return inside.view(-1, squares, n, squares, n).float().mean(dim=(2, 4))
