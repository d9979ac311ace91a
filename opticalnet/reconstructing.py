"""A run in one call: frames to a map, kept in the run."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import Status
from acquisition.plan import ScanPlan
from acquisition.store import Points, Run, RunInfo
from configs.errors import ConfigError, ReconstructionError, RunStoreError
from configs.grid import check_grid
from reconstruction.consistency import Consistency, ConsistencyCheck
from reconstruction.load import frame_predictor, scan_predictor
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import frame_targets
from reconstruction.predictor import FramePredictor, Predictor, choose_device
from reconstruction.results import check_replaceable, write_result
from reconstruction.square_map import SquareMap
from reconstruction.weights_file import WeightsFile
from simulation.threads import one_thread

Method = Literal["network", "frames", "pooled"]
_CHECKED_FRAMES: Final = 2000


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a run shows.

    Attributes
    ----------
    run
        The run that was read; the maps are also kept in it.
    method
        ``network``, ``frames`` or ``pooled``.
    grid
        Squares along a side that a single frame told of.
    weights_sha256
        Of the file of the network's weights.
    device
        What the network ran on: ``cpu`` or ``cuda``.
    squares
        Probability, uncertainty, decision, coverage and count of every square.
    valid, invalid, missing
        Points with a good frame, points that were given up, points that were not taken.
    truth
        (rows, columns) milled fraction, where it is known.
    frame, stitched
        Scores of single frames' predictions and of the map, where the truth is known; of
        frames ``None`` where the frame network does not know the optics.
    consistency
        How well the map explains the frames: a network answers whatever it is shown.
    warnings
        What one should know before believing it.
    seconds
        Reading and prediction, without loading the network.
    """

    run: Run
    method: Method
    grid: int
    weights_sha256: str
    device: str
    squares: SquareMap
    valid: int
    invalid: int
    missing: int
    truth: NDArray[np.float32] | None
    frame: Scores | None
    stitched: Scores | None
    consistency: Consistency
    warnings: tuple[str, ...]
    seconds: float

    @property
    def name(self) -> str:
        """Of the result within the run, and of its picture."""
        return _name(self.method, self.grid)

    @property
    def frames_per_s(self) -> float:
        """Valid frames over the seconds that they took."""
        return self.valid / self.seconds

    @property
    def title(self) -> str:
        """Which run, method and weights; kept in a picture, to know it by."""
        run_id = self.run.info.provenance.run_id
        return f"run {run_id}, {self.name}, weights {self.weights_sha256}"

    def as_dict(self) -> dict[str, Any]:
        """Return what is kept in the run beside the maps."""
        provenance = self.run.info.provenance
        return {
            "run_id": provenance.run_id,
            "simulated": provenance.simulated,
            "method": self.method,
            "grid": self.grid,
            "weights_sha256": self.weights_sha256,
            "device": self.device,
            "valid": self.valid,
            "invalid": self.invalid,
            "missing": self.missing,
            "unexplained": self.consistency.unexplained,
            "warnings": list(self.warnings),
            "frame": self.frame and self.frame.as_dict(),
            "stitched": self.stitched and self.stitched.as_dict(),
        }

    def save_figure(self, path: str | Path) -> None:
        """Draw the maps into a picture file (PNG, PDF, SVG)."""
        from opticalnet.figure import save_figure

        save_figure(Path(path), self)


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who makes the map, who looks at single frames if anybody can, and how."""

    method: Method
    grid: int
    map: Predictor
    single: FramePredictor | None
    weights: WeightsFile
    warnings: list[str]


def reconstruct(
    run: str | Path,
    *,
    method: Method = "network",
    grid: int | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, lines: None,
) -> Reconstruction:
    """Turn the frames of a run into a map, kept in the run.

    Parameters
    ----------
    run
        Path of a run, finished or not: what has not been scanned stays unknown.
    method
        ``network`` looks at every frame together with those around it; ``frames`` looks at
        one frame at a time, as the paper does, and averages; ``pooled`` does so too, but a
        frame counts by what it knows of a square.
    grid
        Squares along a side that a single frame tells of; the run's own if None.
    weights
        Of that network, from ``opticalnet train``; those that ship if None.
    device
        Where the network runs: ``auto``, ``cpu`` or ``cuda``.
    overwrite
        Whether a result of other weights may go. One of the same weights always may.
    progress
        Called with the number of lines done and of all lines.

    Raises
    ------
    ConfigError
        If there is no such method or grid.
    RunStoreError
        If there is no run, or it is damaged, has no frames or cannot be written.
    ReconstructionError
        If no weights fit, or a result of others is there.
    """
    _check_method(method)
    source = Run(Path(run))
    plan = source.info.plan
    grid = check_grid(plan.grid if grid is None else grid)
    readers = _readers(source.info, method, grid, weights, choose_device(device))
    if not overwrite:
        check_replaceable(source.path, _name(method, grid), readers.weights.sha256)
    points = source.points()
    if not points.valid.any():
        raise RunStoreError(f"{source.path}: expected frames, got none; was the scan started?")
    result = _read(source, points, readers, progress)
    write_result(source.path, result.name, result.squares, plan.pitch_nm, result.as_dict())
    return result


def _name(method: Method, grid: int) -> str:
    return method if method == "network" else f"{method}-{grid}"


def _readers(
    info: RunInfo, method: Method, grid: int, weights: str | Path | None, device: torch.device
) -> _Readers:
    path, said = None if weights is None else Path(weights), list[str]()
    warn = said.append
    if method != "network":
        pooled = method == "pooled"
        frames, used = frame_predictor(info, grid, device, path, pooled=pooled, warn=warn)
        return _Readers(method, grid, frames, frames, used, said)
    scan, used = scan_predictor(info, device, path, warn=warn)
    single: FramePredictor | None = None
    with suppress(ReconstructionError):  # it may not know the instrument
        single, _ = frame_predictor(info, grid, device, warn=warn)
    return _Readers(method, grid, scan, single, used, said)


def _read(
    run: Run, points: Points, readers: _Readers, progress: Callable[[int, int], None]
) -> Reconstruction:
    truth, squares, single = run.truth, readers.map.squares, readers.single
    with one_thread():  # a line is too little work to share
        began = time.perf_counter()
        _feed(readers.map, run, points, progress)
        seconds = time.perf_counter() - began
        if truth is not None and single is not None and single is not readers.map:
            _feed(single, run, points)
        consistency = _consistency(run, points, squares)
    frame, stitched = _scores(truth, run.info.plan, single, squares)
    return Reconstruction(
        run=run,
        method=readers.method,
        grid=readers.grid,
        weights_sha256=readers.weights.sha256,
        device=readers.map.device.type,
        squares=squares,
        valid=points.count(Status.VALID),
        invalid=points.count(Status.INVALID),
        missing=points.count(Status.PENDING),
        truth=truth,
        frame=frame,
        stitched=stitched,
        consistency=consistency,
        warnings=(*readers.warnings, *filter(None, [consistency.warning])),
        seconds=seconds,
    )


def _check_method(method: str) -> None:
    if method not in get_args(Method):
        raise ConfigError(
            f"method: expected {', '.join(get_args(Method))}, got {method!r}; choose one"
        )


def _feed(
    predictor: Predictor,
    run: Run,
    points: Points,
    progress: Callable[[int, int], None] = lambda done, lines: None,
) -> None:
    rows = run.info.plan.rows
    for row in range(rows):
        predictor.consume(run.valid_frames(row, points))
        progress(row + 1, rows)
    predictor.finish()


def _consistency(run: Run, points: Points, squares: SquareMap) -> Consistency:
    """Compare a share of the frames, of lines all over the scan, with what the map says."""
    plan = run.info.plan
    check = ConsistencyCheck(run.info, squares.coverage)
    for row in range(0, plan.rows, max(1, round(len(plan) / _CHECKED_FRAMES))):
        check.add(run.valid_frames(row, points))
    return check.result()


def _scores(
    truth: NDArray[np.float32] | None,
    plan: ScanPlan,
    single: FramePredictor | None,
    squares: SquareMap,
) -> tuple[Scores | None, Scores | None]:
    """Score single frames and the map, where the truth is known."""
    if truth is None:
        return None, None
    is_open = truth >= 0.5
    stitched = score(squares.probability, is_open.astype(np.int8))
    if single is None:
        return None, stitched
    targets = frame_targets(is_open, plan, single.squares.grid)
    return score(single.frame_probability, targets), stitched
