"""Training of a baseline, a network that looks at one frame at a time."""

from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from configs.recipe import Recipe
from reconstruction.baselines.augment import draw_symmetries
from reconstruction.baselines.sources import FrameSource
from reconstruction.learning.symmetry import each_transformed
from reconstruction.learning.task import Batch, scores_of
from simulation.streams import Stream, numpy_stream

_VALIDATION_BATCH: Final = 64
_TURNS: Final = 1
"""Sets the stream of random turns apart from that of the frames' order."""


class BaselineTask:
    """A network from amplitudes to logits, trained by a recipe; see ``Task``.

    Parameters
    ----------
    network
        From (batch, y, x) to (batch, grid, grid).
    source
        Frames and squares.
    recipe
        How.
    metadata
        Kept with the weights.
    """

    def __init__(
        self, network: nn.Module, source: FrameSource, recipe: Recipe, metadata: dict[str, str]
    ) -> None:
        self.network = network
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(
            network.parameters(), recipe.learning_rate
        )
        self.epochs = recipe.epochs
        self.steps = source.steps(recipe.batch)
        self.batch = recipe.batch
        self.seed = recipe.seed
        self.metadata = metadata
        self._source = source
        self._recipe = recipe

    def learning_rate(self, epoch: float) -> float:
        """Return the learning rate, constant within an epoch."""
        times = int(epoch) // self._recipe.factor_every_epochs
        return self._recipe.learning_rate * self._recipe.learning_rate_factor**times

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield amplitudes, (batch, y, x), and squares, (batch, grid, grid), turned alike."""
        recipe, source = self._recipe, self._source
        random = numpy_stream(recipe.seed, Stream.TRAINING, epoch, _TURNS)
        for frames, targets in source.batches(recipe.batch, recipe.seed, epoch, rank, ranks):
            symmetries = draw_symmetries(
                recipe.batch, random, flips=recipe.flips, quarter_turns=recipe.quarter_turns
            )[rank::ranks]
            amplitude = source.amplitude(each_transformed(frames, symmetries))
            yield amplitude, each_transformed(targets, symmetries)

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean binary cross-entropy of all squares."""
        amplitude, squares = batch
        return functional.binary_cross_entropy_with_logits(network(amplitude), squares)

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the scores of single frames that are held out."""
        held_out = self._source.held_out
        said = []
        for start in range(0, len(held_out), _VALIDATION_BATCH):
            frames, _ = held_out[start : start + _VALIDATION_BATCH]
            amplitude = self._source.amplitude(frames).to(device)
            said.append(network(amplitude).sigmoid().cpu())
        return scores_of(torch.cat(said).numpy(), held_out.targets)
