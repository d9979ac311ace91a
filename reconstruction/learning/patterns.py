"""Random fields of cells to train on: random squares and random smooth shapes.

Nothing here is a star or a glyph. A smooth shape is where a sum of random plane waves
exceeds a random level: from blots through labyrinths to bent stripes whose period changes
along the field. Some fields end at a straight edge, as every sample does.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

_WAVES: Final = 12
"""Plane waves that a smooth shape is the sum of."""
_POINTS_PER_CELL: Final = 2
"""Points along a side of a cell, that areas are counted by."""
_PERIOD_SQUARES: Final = (1.2, 16.0)
"""Shortest and longest mean period of the waves."""
_DENSITY: Final = (0.05, 0.65)
"""Least and largest fraction of random squares that are open."""
_SHARE_OF_SQUARES: Final = 0.45
"""Fraction of the fields that show random squares."""
_SHARE_OF_LARGE_SQUARES: Final = 0.15
"""Of these, the fraction whose squares are larger."""
_LARGE_SQUARES: Final = (2, 5)
"""Sides of larger ones, in squares, the last left out."""
_SHARE_BENT: Final = 0.5
"""Fraction of the smooth shapes that are bent."""
_SHARE_WITH_EDGE: Final = 0.3
"""Fraction of all fields that end at a straight edge."""


@dataclass(frozen=True, slots=True)
class PatternMaker:
    """Draws fields.

    Attributes
    ----------
    squares, cells_per_square
        Squares along a side of the field, and cells along a side of a square.
    generator
        What all randomness comes from.
    """

    squares: int
    cells_per_square: int
    generator: torch.Generator

    def draw(self) -> torch.Tensor:
        """Return the milled fraction of every cell of a field, (rows, columns), float32."""
        if self._happens(_SHARE_OF_SQUARES):
            field = self._random_squares()
        else:
            field = self._area(self._smooth())
        if self._happens(_SHARE_WITH_EDGE):
            field = field * self._area(self._half_plane())
        return field

    def _random_squares(self) -> torch.Tensor:
        """Draw open squares of 180 nm, or of a few times that."""
        size = 1
        if self._happens(_SHARE_OF_LARGE_SQUARES):
            size = int(torch.randint(*_LARGE_SQUARES, (1,), generator=self.generator))
        count = -(-self.squares // size)
        is_open = (self._rand(count, count) < self._rand(1, range_=_DENSITY)).float()
        cells = size * self.cells_per_square
        side = self.squares * self.cells_per_square
        return is_open.repeat_interleave(cells, 0).repeat_interleave(cells, 1)[:side, :side]

    def _smooth(self) -> torch.Tensor:
        """Compare plane waves with a level, at points."""
        low, high = (math.log(period) for period in _PERIOD_SQUARES)
        frequency = (
            self._rand(_WAVES, range_=(0.7, 1.3)) / self._rand(1, range_=(low, high)).exp()
        )
        spread = self._rand(1) ** 2 * math.pi
        direction = self._rand(1, range_=(0, 2 * math.pi))
        direction = direction + spread * self._rand(_WAVES, range_=(-1, 1))
        phase = self._rand(_WAVES, range_=(0, 2 * math.pi))
        x, y = self._bent() if self._happens(_SHARE_BENT) else self._points()
        turns = torch.stack([direction.cos(), direction.sin()]) * frequency
        height = sum(
            torch.cos(2 * math.pi * (across * x + down * y) + at)
            for across, down, at in zip(*turns, phase, strict=True)
        )
        level = self._rand(1, range_=(-0.9, 1.3)) * math.sqrt(_WAVES / 2)
        return torch.as_tensor(height) > level

    def _bent(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Displace the points by a slow wave along each axis."""
        x, y = self._points()
        bent = []
        for axis in (x, y):
            turns = self._rand(2, range_=(-0.75, 0.75)) / self.squares
            size = self._rand(1, range_=(-0.15, 0.15)) * self.squares
            phase = self._rand(1, range_=(0, 2 * math.pi))
            wave = torch.sin(2 * math.pi * (turns[0] * x + turns[1] * y) + phase)
            bent.append(axis + size * wave)
        return bent[0], bent[1]

    def _half_plane(self) -> torch.Tensor:
        """Film on one side of a straight edge, at points."""
        direction = self._rand(1, range_=(0, 2 * math.pi))
        distance = self._rand(1, range_=(-self.squares / 3, self.squares / 3))
        x, y = self._points()
        return direction.cos() * x + direction.sin() * y < distance

    def _points(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Places (x, y), in squares from the middle, some in every cell."""
        per_square = self.cells_per_square * _POINTS_PER_CELL
        axis = (torch.arange(self.squares * per_square) + 0.5) / per_square - self.squares / 2
        return axis.expand(len(axis), -1), axis[:, None].expand(-1, len(axis))

    def _area(self, inside: torch.Tensor) -> torch.Tensor:
        """Turn what is inside at points into the fraction of each cell."""
        return torch.nn.functional.avg_pool2d(inside.float()[None], _POINTS_PER_CELL)[0]

    def _rand(self, *shape: int, range_: tuple[float, float] = (0.0, 1.0)) -> torch.Tensor:
        low, high = range_
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def _happens(self, probability: float) -> bool:
        return bool(self._rand(1) < probability)
