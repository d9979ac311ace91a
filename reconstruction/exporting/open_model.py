"""What there is to export: the networks that ship, others of their kind, baselines."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

from configs.errors import ConfigError, ReconstructionError
from configs.grid import check_grid
from configs.optics import Optics
from reconstruction.baselines.weights import FORMAT as BASELINE
from reconstruction.baselines.weights import load_baseline
from reconstruction.exporting.raw_models import RawFrames, RawLevels, RawModel, RawScan
from reconstruction.frame_network import TARGET, FrameArchitecture, FrameNetwork
from reconstruction.learning.records import read_tensors
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import WeightsFile, read_weights, shipped_weights

_SHIPPED: Final = ("frame", "scan")


def open_model(weights: str, grid: int | None) -> RawModel:
    """Read weights into a model that can be exported.

    Parameters
    ----------
    weights
        ``frame`` or ``scan``, those that ship; or the path of a file.
    grid
        Squares along a side that a frame network tells of, 7 if None; others have theirs.

    Raises
    ------
    ConfigError
        If there is no such grid, or the network has another.
    ReconstructionError
        If the file is missing, or holds no weights.
    """
    path = shipped_weights(weights) if weights in _SHIPPED else Path(weights)
    _, metadata = read_tensors(path, ReconstructionError)
    if metadata.get("format") == BASELINE:
        return _baseline(path, grid)
    if metadata.get("model") == "scan":
        return _scan(path, grid)
    return _frame(path, TARGET if grid is None else check_grid(grid))


def _frame(path: Path, grid: int) -> RawModel:
    weights = read_weights(path, "frame")
    network = FrameNetwork(FrameArchitecture(**weights.architecture))
    weights.fill(network, "cpu")
    facts = {"model": f"frame network, grid {grid}"} | _facts(weights)
    return RawFrames(network, grid, weights.trained_for.optics, facts)


def _scan(path: Path, grid: int | None) -> RawModel:
    if grid is not None:
        raise ConfigError(
            f"grid: expected none for a scan network, got {grid}: it tells of the square under"
            " each point; leave out --grid"
        )
    weights = read_weights(path, "scan")
    network = ScanNetwork(ScanArchitecture(**weights.architecture))
    weights.fill(network, "cpu")
    facts = {"model": "scan network"} | _facts(weights)
    return RawScan(network, weights.trained_for.optics, facts)


def _baseline(path: Path, grid: int | None) -> RawModel:
    baseline = load_baseline(path)
    info = baseline.info
    if grid not in {None, info.grid}:
        raise ConfigError(
            f"grid: expected {info.grid}, that {path} was trained for, got {grid}; leave out"
            " --grid"
        )
    optics = info.optics
    facts = {
        "model": f"{info.model}, grid {info.grid}",
        "trained_on": info.data,
        "optics": "unknown" if optics is None else optics.model_dump_json(),
        "opticalnet": version("opticalnet"),
    }
    make = RawLevels if info.amplitude == "levels" else RawFrames
    nominal = optics or Optics(roi_px=info.image_px * Optics().binning)
    return make(baseline.network, info.grid, nominal, facts)


def _facts(weights: WeightsFile) -> dict[str, str]:
    trained_for = weights.trained_for
    return {
        "weights_sha256": weights.sha256,
        "optics": trained_for.optics.model_dump_json(),
        "pitch_nm": f"{trained_for.pitch_nm:g}",
        "opticalnet": version("opticalnet"),
    }
