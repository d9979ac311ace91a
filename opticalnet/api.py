"""The whole instrument in two calls: acquire a run, reconstruct it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.engine import scan
from acquisition.observer import Observer, SilentObserver
from acquisition.plan import DEFAULT_MARGIN, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter, check_output
from configs.errors import ConfigError, RunStoreError
from configs.grid import check_grid
from configs.instrument import InstrumentConfig
from configs.sample import by_name
from configs.toml import load_instrument
from opticalnet.defaults import EXPOSURE_MS, MAX_RESIDUAL
from opticalnet.devices import open_instrument, rehearsal
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import Mosaic, frame_targets
from reconstruction.predictor import FramePredictor, choose_device, frame_predictor
from reconstruction.results import write_result
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
    truth: NDArray[np.float32] | None
    frame: Scores | None
    stitched: Scores | None
    seconds: float
    frames_per_s: float

    def save_figure(self, path: str | Path) -> None:
        """Draw the maps into a picture file (PNG, PDF, SVG)."""
        from opticalnet.figure import save_figure

        save_figure(Path(path), self.run, self.mosaic, self.truth, self.stitched)


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
    points = source.points()
    if not points.valid.any():
        raise RunStoreError(f"{source.path}: expected frames, got none; was the scan started?")
    began = time.perf_counter()
    for row in range(plan.rows):
        predictor.consume(*source.valid_frames(row, points))
        progress(row + 1, plan.rows)
    seconds = time.perf_counter() - began
    frame, stitched = _scores(source.truth, plan, predictor, points.valid)
    result = Reconstruction(
        run=source,
        mosaic=predictor.mosaic,
        truth=source.truth,
        frame=frame,
        stitched=stitched,
        seconds=seconds,
        frames_per_s=float(points.valid.sum()) / seconds,
    )
    metadata = {
        "run_id": source.info.provenance.run_id,
        "simulated": source.info.provenance.simulated,
        "weights_sha256": predictor.weights_sha256,
        "frame": frame and frame.as_dict(),
        "stitched": stitched and stitched.as_dict(),
    }
    write_result(source.path, f"network-{grid}", predictor.mosaic, plan.pitch_nm, metadata)
    return result


def _scores(
    truth: NDArray[np.float32] | None,
    plan: ScanPlan,
    predictor: FramePredictor,
    valid: NDArray[np.bool_],
) -> tuple[Scores | None, Scores | None]:
    """Score single frames and the map, where the truth is known."""
    if truth is None:
        return None, None
    is_open = truth >= 0.5
    targets = frame_targets(is_open, plan, predictor.mosaic.grid)
    return (
        score(predictor.frame_probability[valid], targets[valid]),
        score(predictor.mosaic.probability, is_open.astype(np.int8)),
    )
