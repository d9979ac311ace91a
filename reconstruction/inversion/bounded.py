"""Minimisation over cells that are between closed, 0, and open, 1."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Objective = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Of cells, (rows, columns): the value, and its derivative by them."""
_REMEMBERED: Final = 10


def minimise_bounded(
    objective: Objective, start: torch.Tensor, iterations: int
) -> torch.Tensor:
    """Return the cells, between 0 and 1, where an objective is least, or nearly.

    By the bounded quasi-Newton method L-BFGS-B: Byrd, Lu, Nocedal and Zhu, SIAM J. Sci.
    Comput. 16, 1190 (1995).
    """

    def of_vector(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = objective(torch.from_numpy(vector).to(start).view(start.shape))
        return float(value), slope.double().flatten().cpu().numpy()

    # Its threads, idle most of the time, would wait busily and slow down those of torch.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        found = minimize(
            of_vector,
            start.double().flatten().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0, 1),
            options={"maxiter": iterations, "maxcor": _REMEMBERED, "ftol": 1e-9, "gtol": 1e-3},
        )
    return torch.from_numpy(found.x).to(start).view(start.shape)
