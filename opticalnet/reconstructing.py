"""A run in one call: frames to a map, kept in the run."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.plan import ScanPlan
from acquisition.store import Points, Run, RunInfo
from configs.errors import ConfigError, ReconstructionError
from configs.grid import check_grid
from opticalnet.reconstructions import (
    NetworkMethod,
    Reconstruction,
    good_points,
    result_name,
    unplaced,
)
from reconstruction.consistency import check_consistency
from reconstruction.load import frame_predictor, scan_predictor
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import frame_targets
from reconstruction.predictor import FramePredictor, Predictor, choose_device
from reconstruction.results import check_replaceable
from reconstruction.square_map import SquareMap
from reconstruction.weights_file import WeightsFile
from simulation.threads import one_thread


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who makes the map, who looks at single frames if anybody can, and how."""

    method: NetworkMethod
    grid: int
    map: Predictor
    single: FramePredictor | None
    made_from: dict[str, str]
    warnings: list[str]


def reconstruct(
    run: str | Path,
    *,
    method: NetworkMethod = "network",
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
    plan, points = source.info.plan, good_points(source)
    grid = check_grid(plan.grid if grid is None else grid)
    readers = _readers(source.info, method, grid, weights, choose_device(device))
    if not overwrite:
        check_replaceable(source.path, result_name(method, grid), readers.made_from)
    result = _read(source, points, readers, progress)
    result.write()
    return result


def _readers(
    info: RunInfo,
    method: NetworkMethod,
    grid: int,
    weights: str | Path | None,
    device: torch.device,
) -> _Readers:
    path, said = None if weights is None else Path(weights), list[str]()
    warn = said.append
    if method != "network":
        pooled = method == "pooled"
        frames, used = frame_predictor(info, grid, device, path, pooled=pooled, warn=warn)
        return _Readers(method, grid, frames, frames, _of(used), said)
    scan, used = scan_predictor(info, device, path, warn=warn)
    single: FramePredictor | None = None
    with suppress(ReconstructionError):  # it may not know the instrument
        single, _ = frame_predictor(info, grid, device, warn=warn)
    return _Readers(method, grid, scan, single, _of(used), said)


def _of(weights: WeightsFile) -> dict[str, str]:
    return {"weights_sha256": weights.sha256}


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
        consistency = check_consistency(run, points, squares.coverage)
    frame, stitched = _scores(truth, run.info.plan, single, squares)
    return Reconstruction(
        run=run,
        points=points,
        method=readers.method,
        grid=readers.grid,
        made_from=readers.made_from,
        device=readers.map.device.type,
        squares=squares,
        inversion=None,
        light=None,
        truth=truth,
        frame=frame,
        stitched=stitched,
        consistency=consistency,
        warnings=(*readers.warnings, *filter(None, [consistency.warning]), *unplaced(points)),
        seconds=seconds,
    )


def _check_method(method: str) -> None:
    if method not in get_args(NetworkMethod):
        raise ConfigError(
            f"method: expected {', '.join(get_args(NetworkMethod))}, got {method!r}; choose one"
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
