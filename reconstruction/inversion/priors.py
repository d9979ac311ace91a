"""What is believed of a sample before a photon was seen.

Each prior is a penalty of cells, (rows, columns), and its derivative by them.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import torch

from configs.errors import ConfigError

PriorName = Literal["smooth", "binary", "none"]
Prior = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

_FILM: Final = 0.1
"""What no light reaches is film."""
_EDGE: Final = 0.1
"""Penalty of an edge, per side of a cell: enough where photons say nothing, and no more, as
it takes the contrast from the finest spokes of a star."""
_EDGE_BLUR: Final = 0.05
_BETWEEN: Final = 4.0
"""Penalty of a cell that is half milled, times four."""


def none(cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Believe nothing, but that there is film where no light comes from."""
    return 0.5 * _FILM * cells.square().sum(), _FILM * cells


def binary(cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Believe that a cell is open or closed, less likely partly milled."""
    value, slope = none(cells)
    penalty = _BETWEEN * (cells * (1 - cells)).sum()
    return value + penalty, slope + _BETWEEN * (1 - 2 * cells)


def smooth(cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Believe that edges are few and short: total variation."""
    value, slope = none(cells)
    slope = slope.clone()
    for axis in (0, 1):
        step = cells.diff(dim=axis)
        size = (step.square() + _EDGE_BLUR**2).sqrt()
        value = value + _EDGE * (size - _EDGE_BLUR).sum()
        pull = _EDGE * step / size
        last = cells.shape[axis] - 1
        slope.narrow(axis, 1, last).add_(pull)
        slope.narrow(axis, 0, last).sub_(pull)
    return value, slope


PRIORS: Final[Mapping[PriorName, Prior]] = {"smooth": smooth, "binary": binary, "none": none}


def check_prior(name: str) -> None:
    """Check that there is such a prior.

    Raises
    ------
    ConfigError
        If there is not.
    """
    if name not in PRIORS:
        raise ConfigError(f"prior: expected {', '.join(PRIORS)}, got {name!r}; choose one")
