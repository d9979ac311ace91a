"""Networks with the weights that ship, or with others, and predictors that use them."""

from pathlib import Path
from typing import Literal, overload

import torch

from acquisition.store import RunInfo
from configs.errors import ReconstructionError
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.memory import Warn, warn_in_python
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import (
    Model,
    WeightsFile,
    filled,
    parse_weights,
    read_fact,
    read_tensors,
    shipped_weights,
)


@overload
def load_network(path: Path, model: Literal["scan"]) -> tuple[ScanNetwork, WeightsFile]: ...
@overload
def load_network(path: Path, model: Literal["frame"]) -> tuple[FrameNetwork, WeightsFile]: ...
def load_network(path: Path, model: Model) -> tuple[ScanNetwork | FrameNetwork, WeightsFile]:
    """Read a network and what its file says of it, ready to predict, on the CPU.

    Raises
    ------
    ReconstructionError
        If the file is none, is one of another model, or does not hold what it says.
    """
    tensors, metadata = read_tensors(path)
    weights = parse_weights(metadata, path, model)
    network: ScanNetwork | FrameNetwork
    if model == "scan":
        scan = read_fact(ScanArchitecture, "architecture", metadata, path)
        network = filled(lambda: ScanNetwork(scan), tensors, path)
    else:
        frame = read_fact(FrameArchitecture, "architecture", metadata, path)
        network = filled(lambda: FrameNetwork(frame), tensors, path)
    image_px, seen_px = network.architecture.image_px, weights.trained_for.optics.image_px
    if image_px != seen_px:
        raise ReconstructionError(
            f"weights {path}: expected a network for frames of {seen_px} px, as of its optics,"
            f" got one for {image_px} px; train them again"
        )
    return network, weights


def frame_predictor(
    info: RunInfo,
    grid: int,
    device: torch.device,
    path: Path | None = None,
    *,
    pooled: bool = False,
    warn: Warn = warn_in_python,
) -> tuple[FramePredictor, WeightsFile]:
    """Return one that looks at single frames, and its weights: those that ship, or a file's.

    Raises
    ------
    ReconstructionError
        If they cannot be read, or were trained for other optics.
    """
    network, weights = load_network(path or shipped_weights("frame"), "frame")
    _check(weights, info)
    return FramePredictor(info, network, grid, device, pooled=pooled, warn=warn), weights


def scan_predictor(
    info: RunInfo,
    device: torch.device,
    path: Path | None = None,
    *,
    warn: Warn = warn_in_python,
) -> tuple[ScanPredictor, WeightsFile]:
    """Return one that looks at the whole scan, and its weights: those that ship, or a file's.

    Raises
    ------
    ReconstructionError
        If they cannot be read, or were trained for other optics.
    """
    network, weights = load_network(path or shipped_weights("scan"), "scan")
    _check(weights, info)
    return ScanPredictor(info, network, device, warn=warn), weights


def _check(weights: WeightsFile, info: RunInfo) -> None:
    optics, pitch_nm = info.instrument.optics, info.plan.pitch_nm
    weights.trained_for.check(weights.path.name, optics, pitch_nm)
