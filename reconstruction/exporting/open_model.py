"""What there is to export: the networks that ship, others of their kind, baselines."""

from importlib.metadata import version
from pathlib import Path
from typing import get_args

from configs.errors import ConfigError
from configs.grid import LARGEST_GRID, check_grid
from configs.optics import Optics
from reconstruction.baselines.weights import FORMAT as BASELINE
from reconstruction.baselines.weights import load_baseline
from reconstruction.exporting.raw_models import RawFrames, RawLevels, RawModel, RawScan
from reconstruction.load import load_network
from reconstruction.weights_file import Model, WeightsFile, read_metadata, shipped_weights


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
    path = shipped_weights(weights) if weights in get_args(Model) else Path(weights)
    metadata = read_metadata(path)
    if metadata.get("format") == BASELINE:
        return _baseline(path, grid)
    if metadata.get("model") == "scan":
        return _scan(path, grid)
    return _frame(path, LARGEST_GRID if grid is None else check_grid(grid))


def _frame(path: Path, grid: int) -> RawModel:
    network, weights = load_network(path, "frame")
    facts = {"model": f"frame network, grid {grid}"} | _facts(weights)
    return RawFrames(network, grid, weights.trained_for.optics, facts)


def _scan(path: Path, grid: int | None) -> RawModel:
    if grid is not None:
        raise ConfigError(
            f"grid: expected none for a scan network, got {grid}: it tells of the square under"
            " each point; leave out --grid"
        )
    network, weights = load_network(path, "scan")
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
