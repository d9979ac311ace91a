"""Simulated scans as the scan network takes them, in any orientation."""

import copy

import torch

from reconstruction.learning.scans import EDGE, FreshScan
from reconstruction.learning.symmetry import (
    component_maps,
    transformed,
    transformed_vectors,
)
from reconstruction.learning.task import Batch
from reconstruction.scan_network import ScanNetwork, lay_out


class ScanDescriber:
    """Describes scans by the projection that a network has at the time.

    Parameters
    ----------
    network
        On any device; scans are described on the CPU, where they are simulated.
    """

    def __init__(self, network: ScanNetwork) -> None:
        self._network = copy.deepcopy(network).cpu()
        image_px = network.architecture.image_px
        components = self._network.projection.weight.view(-1, image_px, image_px)
        self._maps = component_maps(components)

    @torch.no_grad()
    def describe(self, scan: FreshScan) -> Batch:
        """Return features, (channels, side, side), zero at missing points, and coverage."""
        features = self._network.features(scan.amplitude, scan.off_um, scan.open_peak_e)
        coverage = scan.coverage[EDGE:-EDGE, EDGE:-EDGE]
        valid = scan.valid.reshape(scan.side, scan.side)
        return lay_out(features, valid), coverage.clone()

    def transform(self, scan: Batch, symmetry: int) -> Batch:
        """Flip and turn a scan, (channels, side, side), and what its frames show."""
        features, coverage = scan
        maps = self._maps[symmetry]
        off = self._network.architecture.off_channels
        turned = features.clone()
        turned[: len(maps)] = torch.tensordot(maps, features[: len(maps)], dims=1)
        turned[off] = transformed_vectors(features[off], symmetry)
        return transformed(turned, symmetry), transformed(coverage, symmetry)
