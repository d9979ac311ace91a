"""Training of the scan network."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from configs.geometry import SQUARE_NM
from reconstruction.learning.describer import ScanDescriber
from reconstruction.learning.projection import start_from_components
from reconstruction.learning.scans import TOLERANCE, FreshScan, ScanMaker
from reconstruction.learning.schedule import warm_cosine
from reconstruction.learning.symmetry import SYMMETRIES
from reconstruction.learning.task import Batch, scores_of
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.trained import TrainedFor
from reconstruction.weights_file import weights_metadata
from simulation.streams import Stream, torch_stream

SCANS: Final = 4
"""Scans of a step, on all devices together."""
STEPS: Final = 600
"""Of an epoch."""
_START: Final = "the scan network that ships"
_LEARNING_RATE: Final = 2e-3
_FINE_TUNING_RATE: Final = 3e-4
_WARM_UP_EPOCHS: Final = 0.2
_USES: Final = 6
"""Steps on what has been simulated before a new batch of scans comes."""
_POOL_SCANS: Final = 500
"""The last ones simulated, that batches are drawn from."""
_FIRST_SCANS: Final = 42
"""Simulated before the first step of an epoch."""
_VALIDATION_SCANS: Final = 24
_COVERAGE_WEIGHT: Final = 0.5
"""What the loss of the milled fraction counts beside that of being open."""


class ScanTask:
    """A scan network that learns from simulated scans; see ``Task``.

    Parameters
    ----------
    maker
        Simulates the scans.
    epochs, steps
        Epochs in all, and steps of each.
    seed
        Fixes all that is random.
    start
        To go on from, slower; ``None`` begins with the components of frames.
    held_out
        Shapes to validate with; without any, patterns like those that it learns from.
    """

    def __init__(
        self,
        maker: ScanMaker,
        epochs: int,
        seed: int,
        steps: int = STEPS,
        *,
        start: ScanNetwork | None = None,
        held_out: Sequence[torch.Tensor] = (),
    ) -> None:
        torch.manual_seed(seed)
        self.epochs, self.steps, self.batch, self.seed = epochs, steps, SCANS, seed
        self._maker = maker
        self._held_out = held_out
        self._rate = _LEARNING_RATE if start is None else _FINE_TUNING_RATE
        network = start or ScanNetwork(ScanArchitecture(image_px=maker.nominal.image_px))
        if start is None:
            start_from_components(network.projection, maker, seed)
        trained_for = TrainedFor(
            optics=maker.nominal, tolerance=dict(TOLERANCE), pitch_nm=SQUARE_NM
        )
        began = None if start is None else _START
        self.metadata = weights_metadata("scan", network.architecture, trained_for, began)
        network.requires_grad_(True).projection.requires_grad_(False)
        self.network: nn.Module = network
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            trained, lr=self._rate, weight_decay=0.01
        )

    def learning_rate(self, epoch: float) -> float:
        """Warm up, then fall along half a cosine."""
        return warm_cosine(self._rate, epoch, self.epochs, _WARM_UP_EPOCHS)

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield features, (scans, channels, side, side), and coverage, (scans, side, side)."""
        random = torch_stream(self.seed, Stream.TRAINING, 1 + epoch, rank)
        share, describer = SCANS // ranks, self._describer()
        draw = self._maker.draw
        pool = [describer.describe(draw(random)) for _ in range(_FIRST_SCANS)]
        for step in range(self.steps):
            if step % _USES == 0:
                pool += [describer.describe(draw(random)) for _ in range(share)]
                pool = pool[-_POOL_SCANS:]
            chosen = torch.randint(len(pool), (share,), generator=random).tolist()
            turned = torch.randint(SYMMETRIES, (share,), generator=random).tolist()
            batch = [
                describer.transform(pool[scan], symmetry)
                for scan, symmetry in zip(chosen, turned, strict=True)
            ]
            yield tuple(torch.stack(parts) for parts in zip(*batch, strict=True))

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy of being open, and of the milled fraction."""
        features, coverage = batch
        is_open, fraction = network(features).unbind(dim=1)
        cross = functional.binary_cross_entropy_with_logits
        decided = cross(is_open, (coverage >= 0.5).float())
        return decided + _COVERAGE_WEIGHT * cross(fraction, coverage)

    @torch.inference_mode()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Score scans that training never shows."""
        random = torch_stream(self.seed, Stream.TRAINING, 0, 1)
        said, truth, describer = [], [], self._describer()
        for _ in range(_VALIDATION_SCANS):
            features, coverage = describer.describe(self._unseen(random))
            said.append(network(features[None].to(device))[0, 0].sigmoid().cpu().numpy())
            truth.append((coverage >= 0.5).numpy().astype(np.int8))
        return scores_of(np.stack(said), np.stack(truth))

    def _unseen(self, random: torch.Generator) -> FreshScan:
        if self._held_out:
            return self._maker.scan_of(self._held_out, random)
        return self._maker.draw(random)

    def _describer(self) -> ScanDescriber:
        # Never before it is needed: a training that goes on has had its projection restored,
        # whose components have other signs where another machine computes them.
        assert isinstance(self.network, ScanNetwork)
        return ScanDescriber(self.network)
