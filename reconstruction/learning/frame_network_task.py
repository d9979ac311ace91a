"""Training of the frame network that ships."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from configs.geometry import SQUARE_NM
from configs.grid import LARGEST_GRID
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.learning.projection import start_from_components
from reconstruction.learning.scans import TOLERANCE, ScanMaker
from reconstruction.learning.schedule import warm_cosine
from reconstruction.learning.symmetry import SYMMETRIES, each_transformed
from reconstruction.learning.task import Batch, scores_of
from reconstruction.trained import TrainedFor
from reconstruction.weights_file import weights_metadata
from simulation.streams import Stream, torch_stream

BATCH: Final = 512
"""Frames of a step, on all devices together."""
STEPS: Final = 600
"""Of an epoch."""
_LEARNING_RATE: Final = 2e-3
_WARM_UP_EPOCHS: Final = 0.5
_POOL_SCANS: Final = 48
"""The last ones simulated, that batches are drawn from."""
_USES: Final = 4
"""Steps on what has been simulated before another scan comes."""
_VALIDATION_SCANS: Final = 8


class FrameNetworkTask:
    """A frame network that learns from the frames of simulated scans; see ``Task``.

    Now and then one more scan is simulated; a batch is drawn from the last few.
    """

    def __init__(self, maker: ScanMaker, epochs: int, seed: int, steps: int = STEPS) -> None:
        torch.manual_seed(seed)
        self.epochs, self.steps, self.batch, self.seed = epochs, steps, BATCH, seed
        self._maker = maker
        optics = maker.nominal
        architecture = FrameArchitecture(image_px=optics.image_px)
        trained_for = TrainedFor(optics=optics, tolerance=dict(TOLERANCE), pitch_nm=SQUARE_NM)
        self.metadata = weights_metadata("frame", architecture, trained_for)
        self.network: nn.Module = FrameNetwork(architecture)
        assert isinstance(self.network, FrameNetwork)
        start_from_components(self.network.projection, self._maker, seed)
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01
        )

    def learning_rate(self, epoch: float) -> float:
        """Warm up, then fall along half a cosine."""
        return warm_cosine(_LEARNING_RATE, epoch, self.epochs, _WARM_UP_EPOCHS)

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield amplitudes, (batch, y, x), and squares, (batch, 7, 7), 0 or 1."""
        random = torch_stream(self.seed, Stream.TRAINING, 1 + epoch, rank)
        drawn = [self._drawn(random) for _ in range(_POOL_SCANS)]
        pool = [torch.stack(part) for part in zip(*drawn, strict=True)]
        del drawn
        sizes = _POOL_SCANS, self._maker.side**2, SYMMETRIES
        for step in range(self.steps):
            if step % _USES == 0:
                for part, new in zip(pool, self._drawn(random), strict=True):
                    part[step // _USES % _POOL_SCANS] = new
            scans, points, turned = (
                torch.randint(size, (BATCH // ranks,), generator=random) for size in sizes
            )
            yield tuple(
                each_transformed(part[scans, points], turned.numpy()).float() for part in pool
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
        return scores_of(np.concatenate(said), np.concatenate(truth))

    @torch.no_grad()
    def _drawn(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the frames of a scan, half precision, and their squares."""
        scan = self._maker.draw(random)
        windows = scan.coverage.unfold(0, LARGEST_GRID, 1).unfold(1, LARGEST_GRID, 1)
        squares = (windows >= 0.5).reshape(-1, LARGEST_GRID, LARGEST_GRID)
        return scan.amplitude.half(), squares.half()
