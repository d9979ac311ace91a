"""The whole instrument in two calls: acquire a run, reconstruct it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from acquisition.engine import scan
from acquisition.observer import Observer, SilentObserver
from acquisition.plan import DEFAULT_MARGIN, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Points, Run, RunInfo
from acquisition.writer import RunWriter, check_output
from configs.errors import ConfigError, ReconstructionError, RunStoreError
from configs.grid import check_grid
from configs.instrument import InstrumentConfig
from configs.sample import by_name
from configs.toml import load_instrument
from opticalnet.defaults import EXPOSURE_MS, MAX_RESIDUAL
from opticalnet.devices import open_instrument, rehearsal
from reconstruction.consistency import Consistency, ConsistencyCheck
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import frame_targets
from reconstruction.predictor import FramePredictor, Predictor, choose_device
from reconstruction.results import write_result
from reconstruction.scan_map import ScanMap, SquareMap
from reconstruction.shipped import frame_predictor, scan_predictor
from reconstruction.weights_file import WeightsFile
from simulation.samples import Sample, load_sample
from simulation.threads import one_thread

Method = Literal["network", "frames", "pooled"]
_CHECKED_FRAMES: Final = 2000
_SEEDS: Final = 1 << 63  # what every random generator in use takes


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A finished scan.

    Attributes
    ----------
    path
        The run; ``None`` after a dry run.
    points, valid
        Points taken, and those with a good frame.
    seconds
        On the instrument's clock.
    simulated
        Which devices were not real.
    """

    path: Path | None
    points: int
    valid: int
    seconds: float
    simulated: list[str]


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
    mosaic
        Probability, uncertainty, decision and count of every square.
    truth
        (rows, columns) milled fraction, where it is known.
    frame, stitched
        Scores of single frames' predictions and of the map, where the truth is known; of
        frames ``None`` where the frame network does not know the optics.
    consistency
        How well the map explains the frames: a network answers whatever it is shown.
    seconds
        Reading and prediction, without loading the network.
    frames_per_s
        Valid frames over that time.
    """

    run: Run
    method: Method
    grid: int
    mosaic: SquareMap
    truth: NDArray[np.float32] | None
    frame: Scores | None
    stitched: Scores | None
    consistency: Consistency
    seconds: float
    frames_per_s: float

    @property
    def name(self) -> str:
        """Of the result within the run, and of its picture."""
        return self.method if self.method == "network" else f"{self.method}-{self.grid}"

    def save_figure(self, path: str | Path) -> None:
        """Draw the maps into a picture file (PNG, PDF, SVG)."""
        from opticalnet.figure import save_figure

        told = "whole scan"
        if self.method != "network":
            told = f"{self.grid} x {self.grid} squares per frame"
        save_figure(Path(path), self.run, told, self.mosaic, self.truth, self.stitched)


def plan_scan(
    sample: Sample,
    instrument: InstrumentConfig,
    *,
    grid: int = 7,
    seed: int = 0,
    exposure_ms: float = EXPOSURE_MS,
    max_residual: float = MAX_RESIDUAL,
) -> ScanPlan:
    """Return the plan that covers a sample, centred on the travel of an instrument."""
    check_grid(grid)
    rows, columns = (side + 2 * DEFAULT_MARGIN for side in sample.coverage.shape)
    return ScanPlan.checked(
        "plan",
        {
            "rows": rows,
            "columns": columns,
            "exposure_ms": exposure_ms,
            "grid": grid,
            "centre_um": instrument.travel.centre_um,
            "x_direction": instrument.stage.x_direction,
            "y_direction": instrument.stage.y_direction,
            "landmark": {"max_residual": max_residual},
            "seed": seed,
        },
    )


def acquire(
    sample: str = "ss",
    *,
    grid: int = 7,
    instrument: str = "simulated",
    out: str | Path = "run.zarr",
    seed: int = 0,
    density: float | None = None,
    exposure_ms: float = EXPOSURE_MS,
    max_residual: float = MAX_RESIDUAL,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Acquisition:
    """Scan a sample into a run.

    Parameters
    ----------
    sample
        ``ss``, ``light``, ``block``, ``grating``, ``qr``, the path of a PNG or NPY mask, or
        that of a TOML file with a sample of any kind. It says how large the scan is; a
        simulated instrument also has it under its beam.
    grid
        Squares along a side that the network says of each frame: 3, 5 or 7.
    instrument
        Name of a preset, or path of a TOML file.
    out
        Where the run goes; must not exist.
    seed
        Of everything random in a simulated instrument and in a sample.
    density
        Fraction of open squares of ``block``, 0.35 if None; of no other sample.
    exposure_ms
        Per frame.
    max_residual
        Change of the landmark's light, as a fraction, that pauses the scan.
    dry_run
        Rehearse on simulated devices with the same optics, limits and timing; nothing
        is recorded.
    observer
        Sees every frame as it is taken.

    Raises
    ------
    OpticalNetError
        Whatever went wrong; devices are closed, and points taken so far are in the run.
    """
    if not 0 <= seed < _SEEDS:
        raise ConfigError(f"seed: expected a number from 0 to 2**63 - 1, got {seed}")
    config = load_instrument(instrument)
    mask = _load_sample(sample, density, seed)
    plan = plan_scan(
        mask, config, grid=grid, seed=seed, exposure_ms=exposure_ms, max_residual=max_residual
    )
    plan.check_travel(config.travel)
    check_output(Path(out), plan, config.optics.image_px)
    if dry_run:
        config = rehearsal(config)
    simulated = config.camera.kind == "simulated"
    with open_instrument(config, mask, seed=seed) as devices:
        identities = {"stage": devices.stage.identity, "camera": devices.camera.identity}
        info = RunInfo(
            provenance=Provenance.now(identities),
            instrument=config,
            plan=plan,
            sample=mask.name,
            sample_config=by_name(mask.config) if simulated and mask.config else None,
        )
        watcher = observer or SilentObserver()
        if dry_run:
            summary = scan(info, devices, None, watcher)
        else:
            # Of a sample on a real stage only a mask file says what ought to be there.
            known = simulated or Path(sample).suffix != ""
            with RunWriter(Path(out), info, mask.coverage if known else None) as writer:
                summary = scan(info, devices, writer, watcher)
    return Acquisition(
        path=None if dry_run else Path(out),
        points=summary.points,
        valid=summary.valid,
        seconds=summary.seconds,
        simulated=info.provenance.simulated,
    )


def _load_sample(name: str, density: float | None, seed: int) -> Sample:
    if density is None:
        return load_sample(name, seed=seed)
    if name != "block":
        raise ConfigError(
            f"density: expected none with sample {name!r}, got {density:g}; leave it out, or"
            " take block"
        )
    return load_sample(name, density=density, seed=seed)


def reconstruct(
    run: str | Path,
    *,
    method: Method = "network",
    grid: int | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
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
    progress
        Called with the number of lines done and of all lines.

    Raises
    ------
    ConfigError
        If there is no such method or grid.
    RunStoreError
        If there is no run, or it is damaged or has no frames.
    ReconstructionError
        If no weights fit, or the run cannot be written.
    """
    _check_method(method)
    source = Run(Path(run))
    plan = source.info.plan
    grid = check_grid(plan.grid if grid is None else grid)
    predictor, single, used = _predictors(source.info, method, grid, weights, device)
    points = source.points()
    if not points.valid.any():
        raise RunStoreError(f"{source.path}: expected frames, got none; was the scan started?")
    truth = source.truth
    with one_thread():  # a line is too little work to share
        began = time.perf_counter()
        _feed(predictor, source, points, progress)
        seconds = time.perf_counter() - began
        if truth is not None and single is not None and predictor is not single:
            _feed(single, source, points)
        consistency = _consistency(source, points, predictor.mosaic)
    frame, stitched = _scores(truth, plan, single, predictor.mosaic)
    result = Reconstruction(
        run=source,
        method=method,
        grid=grid,
        mosaic=predictor.mosaic,
        truth=truth,
        frame=frame,
        stitched=stitched,
        consistency=consistency,
        seconds=seconds,
        frames_per_s=float(points.valid.sum()) / seconds,
    )
    metadata = {
        "run_id": source.info.provenance.run_id,
        "simulated": source.info.provenance.simulated,
        "weights_sha256": used.sha256,
        "unexplained": consistency.unexplained,
        "frame": frame and frame.as_dict(),
        "stitched": stitched and stitched.as_dict(),
    }
    write_result(source.path, result.name, predictor.mosaic, plan.pitch_nm, metadata)
    return result


def _predictors(
    info: RunInfo, method: Method, grid: int, weights: str | Path | None, device: str
) -> tuple[Predictor, FramePredictor | None, WeightsFile]:
    """Return who makes the map, who looks at single frames if anybody can, and weights."""
    on, path = choose_device(device), None if weights is None else Path(weights)
    if method != "network":
        frames, used = frame_predictor(info, grid, on, path, pooled=method == "pooled")
        return frames, frames, used
    scan, used = scan_predictor(info, on, path)
    try:
        return scan, frame_predictor(info, grid, on)[0], used
    except ReconstructionError:
        return scan, None, used  # an instrument that the frame network does not know


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
    coverage = squares.coverage if isinstance(squares, ScanMap) else squares.probability
    check = ConsistencyCheck(run.info, coverage)
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
    targets = frame_targets(is_open, plan, single.mosaic.grid)
    return score(single.frame_probability, targets), stitched
