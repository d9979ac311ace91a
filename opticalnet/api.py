"""The whole instrument in two calls: acquire a run, reconstruct it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from acquisition.engine import Observer, scan
from acquisition.frame import Frame, LandmarkVisit
from acquisition.plan import LandmarkSchedule, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo, RunWriter, check_output
from configs.errors import ConfigError, RunStoreError
from configs.instrument import InstrumentConfig
from configs.toml import load_instrument
from opticalnet.devices import open_instrument, rehearsal
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import Mosaic, frame_targets
from reconstruction.network import check_grid, weights_path
from reconstruction.predictor import choose_device, frame_predictor
from reconstruction.results import file_hash, write_result
from simulation.samples import Sample, load_sample

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
    mosaic
        Probability, uncertainty, decision and count of every square.
    truth
        (rows, columns) milled fraction, where it is known.
    frame, stitched
        Scores of single frames' predictions and of the map, where the truth is known.
    seconds
        Reading and prediction, without loading the network.
    frames_per_s
        Valid frames over that time.
    """

    run: Run
    mosaic: Mosaic
    truth: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None
    frame: Scores | None
    stitched: Scores | None
    seconds: float
    frames_per_s: float

    def save_figure(self, path: str | Path) -> None:
        """Draw the maps into a picture file (PNG, PDF, SVG)."""
        from opticalnet.figure import save_figure

        save_figure(self, Path(path))


class SilentObserver:
    """Watches nothing and stops at every pause."""

    def begin(self, info: RunInfo) -> None:
        """Ignore the beginning."""

    def frame(self, frame: Frame) -> None:
        """Ignore a frame."""

    def landmark(self, visit: LandmarkVisit) -> None:
        """Ignore a visit."""

    def warning(self, message: str) -> None:
        """Ignore a warning."""

    def paused(self, reason: str) -> bool:
        """Stop: nobody is there to decide."""
        return False


def plan_scan(
    sample: Sample,
    instrument: InstrumentConfig,
    *,
    grid: int = 7,
    seed: int = 0,
    exposure_ms: float = 10.0,
    max_residual: float = LandmarkSchedule().max_residual,
) -> ScanPlan:
    """Return the plan that covers a sample, centred on the travel of an instrument."""
    check_grid(grid)
    margin = ScanPlan.model_fields["margin"].default
    rows, columns = (side + 2 * margin for side in sample.coverage.shape)
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
    density: float = 0.35,
    exposure_ms: float = 10.0,
    max_residual: float = LandmarkSchedule().max_residual,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Acquisition:
    """Scan a sample into a run.

    Parameters
    ----------
    sample
        ``ss``, ``light``, ``block``, or the path of a PNG or NPY mask. It says how large
        the scan is; a simulated instrument also has it under its beam.
    grid
        Squares along a side that the network says of each frame: 3, 5 or 7.
    instrument
        Name of a preset, or path of a TOML file.
    out
        Where the run goes; must not exist.
    seed
        Of everything random in a simulated instrument, and of ``block``.
    density
        Fraction of open squares of ``block``.
    exposure_ms
        Per frame.
    max_residual
        Change of the landmark, in units of noise, that pauses the scan.
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
    mask = load_sample(sample, density=density, seed=seed)
    plan = plan_scan(
        mask, config, grid=grid, seed=seed, exposure_ms=exposure_ms, max_residual=max_residual
    )
    plan.check_travel(config.travel)
    if dry_run:
        config = rehearsal(config)
    with open_instrument(config, mask, seed=seed) as devices:
        identities = {"stage": devices.stage.identity, "camera": devices.camera.identity}
        info = RunInfo(
            provenance=Provenance.now(identities),
            instrument=config,
            plan=plan,
            sample=mask.name,
        )
        watcher = observer or SilentObserver()
        if dry_run:
            check_output(Path(out), info)
            summary = scan(info, devices, None, watcher)
        else:
            # Of a sample on a real stage only a mask file says what ought to be there.
            known = config.camera.kind == "simulated" or Path(sample).suffix != ""
            with RunWriter(Path(out), info, mask.coverage if known else None) as writer:
                summary = scan(info, devices, writer, watcher)
    return Acquisition(
        path=None if dry_run else Path(out),
        points=summary.points,
        valid=summary.valid,
        seconds=summary.seconds,
        simulated=info.provenance.simulated,
    )


def reconstruct(
    run: str | Path,
    *,
    grid: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, lines: None,
) -> Reconstruction:
    """Turn the frames of a run into a map, and keep it in the run.

    Parameters
    ----------
    run
        Path of a run, finished or not: what has not been scanned stays unknown.
    grid
        Squares along a side that the network says of each frame; the run's own if None.
    device
        Where the network runs: ``auto``, ``cpu`` or ``cuda``.
    progress
        Called with the number of lines done and of all lines.

    Raises
    ------
    RunStoreError
        If there is no run, or it is damaged or has no frames.
    ReconstructionError
        If no weights fit, or the run cannot be written.
    """
    source = Run(Path(run))
    plan = source.info.plan
    grid = check_grid(plan.grid if grid is None else grid)
    predictor = frame_predictor(source.info, grid, choose_device(device))
    valid = source.points().valid.reshape(plan.rows, plan.columns)
    if not valid.any():
        raise RunStoreError(f"{source.path}: expected frames, got none; was the scan started?")
    began = time.perf_counter()
    for row in range(plan.rows):
        columns = np.flatnonzero(valid[row])
        if columns.size:
            predictor.consume(row * plan.columns + columns, source.frames(row)[columns])
        progress(row + 1, plan.rows)
    seconds = time.perf_counter() - began
    truth = source.truth
    frame = stitched = None
    if truth is not None:
        targets = frame_targets(truth >= 0.5, plan, grid)
        told = valid.ravel()
        frame = score(predictor.frame_probability[told], targets[told])
        stitched = score(predictor.mosaic.probability, (truth >= 0.5).astype(np.int8))
    result = Reconstruction(
        source,
        predictor.mosaic,
        truth,
        frame,
        stitched,
        seconds,
        float(valid.sum()) / seconds,
    )
    write_result(
        source.path, f"network-{grid}", predictor.mosaic, plan.pitch_nm, _describe(result)
    )
    return result


def _describe(result: Reconstruction) -> dict[str, Any]:
    """Return what is kept beside the maps."""
    provenance = result.run.info.provenance
    weights = weights_path(result.mosaic.grid)
    return {
        "run_id": provenance.run_id,
        "simulated": provenance.simulated,
        "weights": weights.name,
        "weights_sha256": file_hash(weights),
        "frame": result.frame and result.frame.as_dict(),
        "stitched": result.stitched and result.stitched.as_dict(),
    }
