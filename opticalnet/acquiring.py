"""A scan in one call: settings to a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.creation import check_output
from acquisition.engine import ScanSummary, scan
from acquisition.instrument import Instrument
from acquisition.observer import Observer, SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import RunInfo
from acquisition.writer import RunWriter
from configs.defaults import DEFAULT_EXPOSURE_MS, DEFAULT_MARGIN, DEFAULT_MAX_RESIDUAL
from configs.errors import ConfigError
from configs.grid import LARGEST_GRID, check_grid
from configs.instrument import InstrumentConfig
from configs.sample import by_name
from configs.toml import load_instrument
from configs.value import check_seed
from opticalnet.devices import open_instrument, rehearsal
from simulation.samples import Sample, load_sample


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


def plan_scan(
    sample: Sample,
    instrument: InstrumentConfig,
    *,
    grid: int = LARGEST_GRID,
    seed: int = 0,
    exposure_ms: float = DEFAULT_EXPOSURE_MS,
    max_residual: float = DEFAULT_MAX_RESIDUAL,
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
    grid: int = LARGEST_GRID,
    instrument: str = "simulated",
    out: str | Path = "run.zarr",
    seed: int = 0,
    density: float | None = None,
    exposure_ms: float = DEFAULT_EXPOSURE_MS,
    max_residual: float = DEFAULT_MAX_RESIDUAL,
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
    check_seed(seed)
    config = load_instrument(instrument)
    mask = _load_sample(sample, density, seed)
    plan = plan_scan(
        mask, config, grid=grid, seed=seed, exposure_ms=exposure_ms, max_residual=max_residual
    )
    plan.check_travel(config.travel)
    path = None if dry_run else Path(out)
    check_output(Path(out), plan, config.optics.image_px)
    if dry_run:
        config = rehearsal(config)
    with open_instrument(config, mask, seed=seed) as devices:
        info = _run_info(config, devices, plan, mask)
        # Of a sample on a real stage only a mask file says what ought to be there.
        known = config.camera.kind == "simulated" or Path(sample).suffix != ""
        truth = mask.coverage if known else None
        summary = _scan(info, devices, path, truth, observer or SilentObserver())
    return Acquisition(
        path=path,
        points=summary.points,
        valid=summary.valid,
        seconds=summary.seconds,
        simulated=info.provenance.simulated,
    )


def _run_info(
    config: InstrumentConfig, devices: Instrument, plan: ScanPlan, mask: Sample
) -> RunInfo:
    identities = {"stage": devices.stage.identity, "camera": devices.camera.identity}
    simulated = config.camera.kind == "simulated"
    return RunInfo(
        provenance=Provenance.now(identities),
        instrument=config,
        plan=plan,
        sample=mask.name,
        sample_config=by_name(mask.config) if simulated and mask.config else None,
    )


def _scan(
    info: RunInfo,
    devices: Instrument,
    path: Path | None,
    truth: NDArray[np.float64] | None,
    observer: Observer,
) -> ScanSummary:
    """Scan into a run; without a path, record nothing."""
    if path is None:
        return scan(info, devices, None, observer)
    with RunWriter.create(path, info, truth) as writer:
        return scan(info, devices, writer, observer)


def _load_sample(name: str, density: float | None, seed: int) -> Sample:
    if density is None:
        return load_sample(name, seed=seed)
    if name != "block":
        raise ConfigError(
            f"density: expected none with sample {name!r}, got {density:g}; leave it out, or"
            " take block"
        )
    return load_sample(name, density=density, seed=seed)
