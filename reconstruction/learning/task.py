"""What the training loop needs to know of whatever it trains."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reconstruction.metrics import score

Batch = tuple[torch.Tensor, ...]
"""Inputs first, then what they should give; the first axis runs over the batch."""
SCORE = "balanced_accuracy"
"""The score of a validation that picks the best epoch."""


class Task(Protocol):
    """A network, what it is shown, and how good it is.

    Attributes
    ----------
    network
        On the CPU, with the weights to start from.
    optimiser
        Changes its parameters.
    epochs
        In all.
    steps
        Batches of an epoch.
    batch
        Examples of a batch, on all devices together.
    seed
        Fixes what the network draws by chance, such as dropout.
    metadata
        Kept with its weights.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    epochs: int
    steps: int
    batch: int
    seed: int
    metadata: dict[str, str]

    def learning_rate(self, epoch: float) -> float:
        """Return the learning rate; half an epoch in, ``epoch`` is 0.5."""
        ...

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield the share of one of several processes in each batch, on the CPU.

        What comes follows from the arguments alone, so that a training can be resumed.
        """
        ...

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch; ``network`` wraps the task's own."""
        ...

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return scores of a network in evaluation mode; ``SCORE`` is NaN if it diverged."""
        ...


def scores_of(
    probability: NDArray[np.floating], truth: NDArray[np.integer]
) -> dict[str, float]:
    """Score what a network says, as ``Task.validate`` returns it."""
    if not np.isfinite(probability).all():
        return {SCORE: math.nan}
    return score(probability, truth).as_dict()
