"""How much of the sample the beam sees."""

import math
from typing import Final

from configs.errors import ConfigError
from configs.optics import GaussianBeam, Optics
from simulation.beam import light_outside
from simulation.light import Light

LARGEST_LOSS: Final = 0.01
_LARGEST_UM: Final = 8.0
# The tails of a Gaussian are gone there; those of a lens's focus, with its sharp
# pupil, fade slowly. Convergence: benchmarks/forward_model.py.
_GAUSSIAN_LOSS: Final = 1e-7
_FOCUS_LOSS: Final = 2e-4


def beam_window(optics: Optics, cell_nm: float) -> int:
    """Side of the odd window of cells that holds the beam.

    Raises
    ------
    ConfigError
        If more than 1 % of its light falls outside 8 x 8 um.
    """
    _check_cell(cell_nm)
    light = Light.of(optics)
    gaussian = isinstance(optics.beam, GaussianBeam)
    for loss in (_GAUSSIAN_LOSS if gaussian else _FOCUS_LOSS, LARGEST_LOSS):
        cells = _smallest(light, cell_nm, loss)
        if cells is not None:
            return cells
    lost = light_outside(light, _LARGEST_UM / 2)
    raise ConfigError(
        f"beam: expected its light within {_LARGEST_UM:g} um, but {lost:.1%} falls outside;"
        " take a narrower beam, or a lower filling of the pupil, whose sharp rim spreads light"
    )


def check_window(optics: Optics, cells: int, cell_nm: float) -> None:
    """Refuse a window on the sample that is even or too small for the beam."""
    _check_cell(cell_nm)
    if cells < 1 or cells % 2 == 0:
        raise ConfigError(f"window: expected an odd number of cells, got {cells}")
    light = Light.of(optics)
    lost = light_outside(light, cells * cell_nm / 2000)
    if lost > LARGEST_LOSS:
        enough = _smallest(light, cell_nm, LARGEST_LOSS)
        raise ConfigError(
            f"window of {cells} x {cells} cells of {cell_nm:g} nm is too small for the beam:"
            f" expected at most {LARGEST_LOSS:.0%} of its light outside, got {lost:.1%};"
            f" take {'a narrower beam' if enough is None else f'{enough} cells or more'}"
        )


def _check_cell(cell_nm: float) -> None:
    if not 0 < cell_nm < math.inf:
        raise ConfigError(f"cell_nm: expected a length above 0 nm, got {cell_nm}")


def _smallest(light: Light, cell_nm: float, loss: float) -> int | None:
    """Side of the smallest odd window with at most that share of light outside."""
    largest = int(_LARGEST_UM * 1000 / cell_nm)
    if light_outside(light, largest * cell_nm / 2000) > loss:
        return None
    low, high = 0, (largest + 1) // 2  # sides 2 * half + 1
    while low < high:
        half = (low + high) // 2
        if light_outside(light, (2 * half + 1) * cell_nm / 2000) <= loss:
            high = half
        else:
            low = half + 1
    return 2 * low + 1
