"""Training of the frame network that ships."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from configs.geometry import SQUARE_NM
from reconstruction.frame_network import TARGET, FrameArchitecture, FrameNetwork
from reconstruction.learning.projection import start_from_components
from reconstruction.learning.scans import TOLERANCE, ScanMaker
from reconstruction.learning.symmetry import SYMMETRIES, transformed
from reconstruction.learning.task import Batch
from reconstruction.metrics import score
from reconstruction.weights_file import TrainedFor, weights_metadata
from simulation.streams import Stream, torch_stream

_BATCH: Final = 512
_LEARNING_RATE: Final = 2e-3
_WARM_UP_EPOCHS: Final = 1.0
_POOL_SCANS: Final = 32
_VALIDATION_SCANS: Final = 8


class FrameNetworkTask:
    """A frame network that learns from the frames of simulated scans; see ``Task``.

    Every step one more scan is simulated; a batch is drawn from the last few.
    """

    def __init__(self, maker: ScanMaker, epochs: int, seed: int, steps: int = 300) -> None:
        torch.manual_seed(seed)
        self.epochs, self.steps, self.seed = epochs, steps, seed
        self._maker = maker
        optics = maker.nominal
        architecture = FrameArchitecture(image_px=optics.image_px)
        trained_for = TrainedFor(optics, TOLERANCE, SQUARE_NM)
        self.metadata = weights_metadata("frame", architecture, trained_for)
        self.network: nn.Module = FrameNetwork(architecture)
        assert isinstance(self.network, FrameNetwork)
        start_from_components(self.network.projection, self._maker, seed)
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01
        )

    def learning_rate(self, epoch: float) -> float:
        """Warm up, then fall along half a cosine."""
        warm = min(1.0, (epoch + 0.01) / _WARM_UP_EPOCHS)
        return _LEARNING_RATE * warm * (0.5 + 0.5 * math.cos(math.pi * epoch / self.epochs))

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield amplitudes, (batch, y, x), and squares, (batch, 7, 7), 0 or 1."""
        random = torch_stream(self.seed, Stream.TRAINING, 1 + epoch, rank)
        pool = [self._drawn(random) for _ in range(_POOL_SCANS)]
        for step in range(self.steps):
            pool[step % _POOL_SCANS] = self._drawn(random)
            chosen = partial(torch.randint, size=(_BATCH // ranks,), generator=random)
            scans, points = chosen(_POOL_SCANS).tolist(), chosen(self._maker.side**2).tolist()
            turned = chosen(SYMMETRIES).tolist()
            yield tuple(
                torch.stack(
                    [
                        transformed(pool[scan][part][point], symmetry)
                        for scan, point, symmetry in zip(scans, points, turned, strict=True)
                    ]
                ).float()
                for part in (0, 1)
            )

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean binary cross-entropy of all squares."""
        amplitude, squares = batch
        return functional.binary_cross_entropy_with_logits(network(amplitude), squares)

    @torch.inference_mode()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Score frames of scans that training never shows."""
        random = torch_stream(self.seed, Stream.TRAINING, 0, 1)
        said, truth = [], []
        for _ in range(_VALIDATION_SCANS):
            amplitude, squares = self._drawn(random)
            said.append(network(amplitude.float().to(device)).sigmoid().cpu().numpy())
            truth.append(squares.numpy().astype(np.int8))
        return score(np.concatenate(said), np.concatenate(truth)).as_dict()

    @torch.no_grad()
    def _drawn(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the frames of a scan, half precision, and their squares."""
        scan = self._maker.draw(random)
        windows = scan.coverage.unfold(0, TARGET, 1).unfold(1, TARGET, 1)
        squares = (windows >= 0.5).reshape(-1, TARGET, TARGET)
        return scan.amplitude.half(), squares.half()
