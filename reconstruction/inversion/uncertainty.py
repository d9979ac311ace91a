"""How well squares are known: from the curvature of the misfit, and from the bounds.

A square is free if some of its cells lie between the bounds. The photons push all others
against a bound; how hard says how far from it they may be. The covariance of free squares is
the inverse of the curvature of all that are not held tightly, where those at a bound count
as if a spring held them that gives as far. Positions count as nominal here.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from reconstruction.inversion.normal_equations import NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.scene import Scene

Float64 = NDArray[np.float64]
BOUND: Final = 1e-3
"""Distance from a bound of a cell that lies between them."""
_NO_PUSH: Final = 1e-6
_TIGHT: Final = 0.03
"""Distance from its bound below which a square counts as known for all others."""
VARIANCE: Final = 1 / 12
"""Of a square of which nothing is known: uniform between the bounds."""
_HALVINGS: Final = 40
_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the milled fractions of squares are likely to be; arrays of any shape.

    Attributes
    ----------
    coverage
        Most likely.
    free
        Whether it lies between the bounds.
    width
        Standard deviation of free squares, before they are cut at the bounds; mean distance of
        others from their bound.
    """

    coverage: Float64
    free: NDArray[np.bool_]
    width: Float64

    def part(self, which: tuple[slice, ...]) -> Self:
        """Return some of the squares."""
        return type(self)(self.coverage[which], self.free[which], self.width[which])

    @property
    def probability(self) -> Float64:
        """Probability that at least one half is milled."""
        return 1 - self._below(np.full_like(self.coverage, 0.5))

    def interval(self, share: float) -> tuple[Float64, Float64]:
        """Return the shortest intervals that hold the fraction with so much probability."""
        short, long = np.zeros_like(self.coverage), np.ones_like(self.coverage)
        for _ in range(_HALVINGS):
            half = (short + long) / 2
            enough = self._within(half) >= share
            short, long = np.where(enough, short, half), np.where(enough, half, long)
        return np.clip(self.coverage - long, 0, 1), np.clip(self.coverage + long, 0, 1)

    def _within(self, distance: Float64) -> Float64:
        """Return the probability of fractions up to a distance from the most likely one."""
        return self._below(self.coverage + distance) - self._below(self.coverage - distance)

    def _below(self, fraction: Float64) -> Float64:
        """Return the probability of less than a fraction."""
        fraction = np.clip(fraction, 0, 1)
        start, end = ndtr(-self.coverage / self.width), ndtr((1 - self.coverage) / self.width)
        normal = (ndtr((fraction - self.coverage) / self.width) - start) / (end - start)
        is_closed = self.coverage < 0.5
        away = np.where(is_closed, fraction, 1 - fraction)
        near = np.expm1(-away / self.width) / np.expm1(-1 / self.width)
        return np.where(self.free, normal, np.where(is_closed, near, 1 - near))


@torch.inference_mode()
def spread(
    photons: Photons,
    scene: Scene,
    equations: NormalEquations,
    cells: torch.Tensor,
    slope: torch.Tensor,
) -> Spread:
    """Return how well the squares under a scene's points are known, (rows, columns).

    Parameters
    ----------
    photons, scene
        What was seen, and of what.
    equations
        The expansion of the misfit at the cells.
    cells, slope
        Of the scene: the most likely ones, and the derivative of the objective there.
    """
    n, reach = scene.cells_per_square, scene.reach
    inner = (cells > BOUND) & (cells < 1 - BOUND)
    moving = _of_squares(inner, n).sum(-1)
    free = moving > 0
    # A free square changes by its free cells alone, any other as a whole.
    part = n * n * inner / _to_cells(moving.clamp(min=1), n)
    weights = torch.where(_to_cells(free, n), part, 1.0)
    push = _of_squares(slope, n).sum(-1).abs().clamp(min=_NO_PUSH)
    held = torch.where(free, 0.0, push.square())
    width = torch.where(free, deviation(photons, scene, equations, weights, held), 1 / push)
    coverage = _of_squares(cells, n).mean(-1)
    seen = slice(reach, -reach)
    coverage, free, width = (a[seen, seen].cpu() for a in (coverage, free, width))
    return Spread(coverage.double().numpy(), free.numpy(), width.double().numpy())


@torch.inference_mode()
def deviation(
    photons: Photons,
    scene: Scene,
    equations: NormalEquations,
    weights: torch.Tensor,
    held: torch.Tensor,
) -> torch.Tensor:
    """Return how well squares could be known by the curvature alone: Cramér and Rao.

    Parameters
    ----------
    photons, scene, equations
        As for ``spread``.
    weights
        Of the scene's cells: how each changes when its square does.
    held
        (rows, columns) of the scene, inverse variance of squares by what else is known.

    Returns
    -------
    torch.Tensor
        (rows, columns), standard deviations; zero of squares that are held tightly.
    """
    counted = held < _TIGHT**-2
    count = int(counted.sum())
    number = torch.full(counted.shape, count, device=held.device)  # the last takes all others
    number[counted] = torch.arange(count, device=held.device)
    curvature = torch.zeros((count + 1) ** 2, dtype=torch.float64, device=held.device)
    for start in range(0, len(photons), _BATCH):
        part = slice(start, start + _BATCH)
        index, response = scene.responses(part, weights)
        seen = number.flatten()[index]
        bent = response @ equations.curvature[part] @ response.mT
        at = seen[:, :, None] * (count + 1) + seen[:, None, :]
        curvature.index_add_(0, at.flatten(), bent.double().flatten())
    stiff = curvature.view(count + 1, -1)[:-1, :-1]
    stiff.diagonal().add_(held[counted].double() + 1 / VARIANCE)
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(stiff))
    deviations = torch.zeros(counted.shape, device=held.device)
    deviations[counted] = covariance.diagonal().sqrt().float()
    return deviations


def _of_squares(cells: torch.Tensor, n: int) -> torch.Tensor:
    """(rows, columns, n * n), the cells of each square."""
    return cells.unfold(0, n, n).unfold(1, n, n).flatten(2)


def _to_cells(squares: torch.Tensor, n: int) -> torch.Tensor:
    return squares.repeat_interleave(n, 0).repeat_interleave(n, 1)
