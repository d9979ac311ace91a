"""Predictors with the weights that ship, or with others of the same networks."""

from pathlib import Path

import torch

from acquisition.store import RunInfo
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import WeightsFile, read_weights, shipped_weights


def frame_predictor(
    info: RunInfo,
    grid: int,
    device: torch.device,
    path: Path | None = None,
    *,
    pooled: bool = False,
) -> tuple[FramePredictor, WeightsFile]:
    """Return one that looks at single frames, and its weights: those that ship, or a file's.

    Raises
    ------
    ReconstructionError
        If they were trained for other optics.
    """
    weights = _fitting("frame", info, path)
    network = FrameNetwork(FrameArchitecture(**weights.architecture))
    weights.fill(network, device)
    return FramePredictor(info, network, grid, device, pooled=pooled), weights


def scan_predictor(
    info: RunInfo, device: torch.device, path: Path | None = None
) -> tuple[ScanPredictor, WeightsFile]:
    """Return one that looks at the whole scan, and its weights: those that ship, or a file's.

    Raises
    ------
    ReconstructionError
        If they were trained for other optics.
    """
    weights = _fitting("scan", info, path)
    network = ScanNetwork(ScanArchitecture(**weights.architecture))
    weights.fill(network, device)
    return ScanPredictor(info, network, device), weights


def _fitting(model: str, info: RunInfo, path: Path | None) -> WeightsFile:
    weights = read_weights(path or shipped_weights(model), model)
    optics, pitch_nm = info.instrument.optics, info.plan.pitch_nm
    weights.trained_for.check(weights.path.name, optics, pitch_nm)
    return weights
