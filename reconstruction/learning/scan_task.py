"""Training of the scan network."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from configs.geometry import SQUARE_NM
from reconstruction.learning.projection import start_from_components
from reconstruction.learning.scans import EDGE, TOLERANCE, FreshScan, ScanMaker
from reconstruction.learning.symmetry import (
    SYMMETRIES,
    component_maps,
    transformed,
    transformed_vectors,
)
from reconstruction.learning.task import Batch
from reconstruction.metrics import score
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import TrainedFor, weights_metadata
from simulation.streams import Stream, torch_stream

_SCANS: Final = 4
_LEARNING_RATE: Final = 2e-3
_FINE_TUNING_RATE: Final = 3e-4
_WARM_UP_EPOCHS: Final = 0.2
_USES: Final = 6
"""Steps on what has been simulated before a new batch of scans comes."""
_POOL: Final = 500
_FIRST_SCANS: Final = 32
_VALIDATION_SCANS: Final = 24
_COVERAGE_WEIGHT: Final = 0.5


class ScanTask:
    """A scan network that learns from simulated scans; see ``Task``.

    Parameters
    ----------
    maker
        Of the scans.
    epochs, steps
        How long.
    seed
        Of all that is random.
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
        steps: int = 600,
        *,
        start: ScanNetwork | None = None,
        held_out: Sequence[torch.Tensor] = (),
    ) -> None:
        torch.manual_seed(seed)
        self.epochs, self.steps, self.seed = epochs, steps, seed
        self._maker = maker
        self._held_out = held_out
        self._rate = _LEARNING_RATE if start is None else _FINE_TUNING_RATE
        image_px = maker.nominal.image_px
        network = start or ScanNetwork(ScanArchitecture(image_px=image_px))
        if start is None:
            start_from_components(network.projection, maker, seed)
        trained_for = TrainedFor(maker.nominal, TOLERANCE, SQUARE_NM)
        self.metadata = weights_metadata("scan", network.architecture, trained_for)
        network.requires_grad_(True).projection.requires_grad_(False)
        self._maps = component_maps(network.projection.weight.view(-1, image_px, image_px))
        self.network: nn.Module = network
        # Stays on the CPU, where scans are simulated.
        self._describer = copy.deepcopy(network)
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            trained, lr=self._rate, weight_decay=0.01
        )

    def learning_rate(self, epoch: float) -> float:
        """Warm up, then fall along half a cosine."""
        warm = min(1.0, (epoch + 0.01) / _WARM_UP_EPOCHS)
        return self._rate * warm * (0.5 + 0.5 * math.cos(math.pi * epoch / self.epochs))

    def batches(self, epoch: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield features, (scans, channels, side, side), and coverage, (scans, side, side)."""
        random = torch_stream(self.seed, Stream.TRAINING, 1 + epoch, rank)
        share = -(-_SCANS // ranks)
        pool = [self._drawn(random) for _ in range(_FIRST_SCANS)]
        for step in range(self.steps):
            if step % _USES == 0:
                pool += [self._drawn(random) for _ in range(share)]
                pool = pool[-_POOL:]
            chosen = torch.randint(len(pool), (share,), generator=random).tolist()
            turned = torch.randint(SYMMETRIES, (share,), generator=random).tolist()
            batch = [
                self._transformed(pool[scan], symmetry)
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
        said, truth = [], []
        for _ in range(_VALIDATION_SCANS):
            features, coverage = self._described(self._unseen(random))
            said.append(network(features[None].to(device))[0, 0].sigmoid().cpu().numpy())
            truth.append((coverage >= 0.5).numpy().astype(np.int8))
        return score(np.stack(said), np.stack(truth)).as_dict()

    def _unseen(self, random: torch.Generator) -> FreshScan:
        if self._held_out:
            return self._maker.scan_of(self._held_out, random)
        return self._maker.draw(random)

    def _drawn(self, random: torch.Generator) -> Batch:
        return self._described(self._maker.draw(random))

    @torch.no_grad()
    def _described(self, scan: FreshScan) -> Batch:
        coverage = scan.coverage[EDGE:-EDGE, EDGE:-EDGE]
        return scan_features(self._describer, scan), coverage.clone()

    def _transformed(self, scan: Batch, symmetry: int) -> Batch:
        """Flip and turn a scan, (channels, side, side), and what its frames show."""
        features, coverage = scan
        maps = self._maps[symmetry]
        off = slice(len(maps) + 1, len(maps) + 3)
        turned = features.clone()
        turned[: len(maps)] = torch.tensordot(maps, features[: len(maps)], dims=1)
        turned[off] = transformed_vectors(features[off], symmetry)
        return transformed(turned, symmetry), transformed(coverage, symmetry)


@torch.no_grad()
def scan_features(network: ScanNetwork, scan: FreshScan) -> torch.Tensor:
    """Describe a scan, (channels, side, side), with zeros at missing points."""
    features = network.features(scan.amplitude, scan.off_um, scan.open_peak_e)
    features = features * scan.valid[:, None]
    return features.T.reshape(-1, scan.side, scan.side)
