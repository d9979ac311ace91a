"""How many squares around the beam a frame tells of, along a side."""

from typing import Final

from configs.errors import ConfigError

LARGEST_GRID: Final = 7
GRIDS: Final = (3, 5, LARGEST_GRID)


def check_grid(grid: int) -> int:
    """Return a grid that there is; ``ConfigError`` otherwise."""
    if grid not in GRIDS:
        raise ConfigError(f"grid: expected 3, 5 or 7 squares, got {grid}")
    return grid
