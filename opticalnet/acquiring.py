"""A scan in one call: settings to a run."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.creation import check_absent, check_output, run_bytes
from acquisition.disk import what_exists
from acquisition.engine import ScanSummary, scan
from acquisition.instrument import Instrument
from acquisition.observer import Observer, SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.resuming import check_same, forget_damaged
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.defaults import (
    DEFAULT_EXPOSURE_MS,
    DEFAULT_FINISH_SHARE,
    DEFAULT_MARGIN,
    DEFAULT_MAX_CHI_SQUARED,
)
from configs.errors import ConfigError
from configs.faults import Faults
from configs.grid import LARGEST_GRID, check_grid
from configs.instrument import InstrumentConfig
from configs.sample import Mask, by_name
from configs.toml import load_instrument
from configs.value import check_seed
from drivers.protocols import Identity
from opticalnet.devices import open_instrument
from opticalnet.dose import beam_power_w
from opticalnet.rehearsal import FaultyDisk, load_faults, simulated_like, with_faults
from reconstruction.disagreement import disagreement
from simulation.fate import Fate
from simulation.samples import Sample, load_sample, make_sample


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
    dose_j_per_cm2
        Of the place on the sample that had most light.
    megabytes
        Of the run on disk, at most.
    faults
        What went wrong in a rehearsal, and how often; ``None`` where nothing was to.
    """

    path: Path | None
    points: int
    valid: int
    seconds: float
    simulated: list[str]
    dose_j_per_cm2: float
    megabytes: float
    faults: dict[str, int] | None = None


def plan_scan(
    sample: Sample,
    instrument: InstrumentConfig,
    *,
    grid: int = LARGEST_GRID,
    seed: int = 0,
    exposure_ms: float = DEFAULT_EXPOSURE_MS,
    max_chi_squared: float = DEFAULT_MAX_CHI_SQUARED,
    finish: float = DEFAULT_FINISH_SHARE,
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
            "landmark": {"max_chi_squared": max_chi_squared},
            "finish": {"share": finish},
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
    max_chi_squared: float = DEFAULT_MAX_CHI_SQUARED,
    finish: float = DEFAULT_FINISH_SHARE,
    dry_run: bool = False,
    faults: str | Path | None = None,
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
    max_chi_squared
        Misfit of the landmark, reduced chi-squared, at which it counts as lost.
    finish
        Further looks, as a share of the points, at those where predictions disagree most.
    dry_run
        Rehearse on simulated devices with the same optics, limits and timing; nothing
        is recorded.
    faults
        TOML file with what goes wrong in a dry run, and how often; see ``configs.faults``.
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
        mask,
        config,
        grid=grid,
        seed=seed,
        exposure_ms=exposure_ms,
        max_chi_squared=max_chi_squared,
        finish=finish,
    )
    if dry_run:  # which lists everything that is wrong
        check_absent(Path(out))
    else:
        plan.check_travel(config.travel)
        check_output(Path(out), plan, config)
    if faults is not None and not dry_run:
        raise ConfigError("faults: expected a dry run, got a real one; add --dry-run")
    fate = None if faults is None else load_faults(str(faults))
    if dry_run:
        config = simulated_like(config)
    observer = observer or SilentObserver()
    with open_instrument(config, mask, seed=seed) as devices:
        info = _run_info(config, devices, plan, mask)
        if dry_run:
            return _rehearsed(info, devices, fate, what_exists(Path(out)), observer)
        path = Path(out)
        # Of a sample on a real stage only a mask file says what ought to be there.
        known = config.camera.kind == "simulated" or Path(sample).suffix != ""
        truth = mask.coverage if known else None
        with RunWriter.create(path, info, truth) as writer:
            doubts = partial(disagreement, Run(path), observer.warning)
            return _acquisition(path, info, scan(info, devices, writer, observer, doubts))


def resume(
    run: str | Path, *, observer: Observer | None = None, **expected: Any
) -> Acquisition:
    """Take what a run lacks: points that it has not got, or not whole, and invalid ones.

    Parameters
    ----------
    run
        Path of a run that was interrupted, however often.
    observer
        Sees the frames that are there, and then every frame as it is taken.
    **expected
        Any of ``sample``, ``grid``, ``instrument``, ``seed``, ``density``, ``exposure_ms``,
        ``max_chi_squared`` and ``finish`` of ``acquire``: what the run is expected to have
        been made with.

    Raises
    ------
    OpticalNetError
        Whatever went wrong; ``AcquisitionError`` lists the differences if the run was made
        with another plan, instrument or device.
    """
    stored = Run(Path(run))
    info, observer = stored.info, observer or SilentObserver()
    wanted = _expected(info, expected)
    check_same(stored, wanted)
    info = info.model_copy(update={"instrument": wanted.instrument})
    sample = _sample_of(stored)
    with (
        open_instrument(info.instrument, sample, seed=info.plan.seed) as devices,
        RunWriter(stored) as writer,
    ):
        now = Provenance.now(_identities(devices))
        check_same(stored, info.model_copy(update={"provenance": now}))
        if damaged := forget_damaged(stored, writer):
            observer.warning(
                f"{len(damaged)} frames of {stored.path} are not those that were recorded"
                f" (the first: point {damaged[0]}); they are taken again"
            )
        if lost := stored.damaged_repeats(writer.points):
            observer.warning(
                f"{len(lost)} further looks of {stored.path} are damaged: left out"
            )
        doubts = partial(disagreement, stored, observer.warning)
        summary = scan(info, devices, writer, observer, doubts)
        return _acquisition(stored.path, info, summary)


def _rehearsed(
    info: RunInfo, devices: Instrument, faults: Faults | None, out: Path, observer: Observer
) -> Acquisition:
    """Scan for nothing; with faults, into a run that is let go of.

    What is in doubt is not known without a sample: further looks go anywhere.
    """
    random, shape = np.random.default_rng(info.plan.seed), (info.plan.rows, info.plan.columns)

    def anywhere() -> NDArray[np.float64]:
        return random.random(shape)

    if faults is None:
        return _acquisition(None, info, scan(info, devices, None, observer, anywhere, out))
    fate = Fate(faults, devices.clock)
    with TemporaryDirectory() as folder:
        run = Path(folder) / "rehearsal.zarr"
        with RunWriter.create(run, info, disk=FaultyDisk(fate)) as writer:
            faulty = with_faults(devices, fate)
            summary = scan(info, faulty, writer, observer, anywhere, out)
    return replace(_acquisition(None, info, summary), faults=dict(fate.counts))


def _acquisition(path: Path | None, info: RunInfo, summary: ScanSummary) -> Acquisition:
    return Acquisition(
        path=path,
        points=summary.points,
        valid=summary.valid,
        seconds=summary.seconds,
        simulated=info.provenance.simulated,
        dose_j_per_cm2=summary.dose_j_per_cm2,
        megabytes=run_bytes(info.plan, info.instrument.optics.image_px) / 1e6,
    )


def _run_info(
    config: InstrumentConfig, devices: Instrument, plan: ScanPlan, mask: Sample
) -> RunInfo:
    simulated = config.camera.kind == "simulated"
    return RunInfo(
        provenance=Provenance.now(_identities(devices)),
        instrument=config,
        plan=plan,
        sample=mask.name,
        power_w=beam_power_w(config, plan),
        sample_config=by_name(mask.config) if simulated and mask.config else None,
    )


def _identities(devices: Instrument) -> dict[str, Identity]:
    identities = {"stage": devices.stage.identity, "camera": devices.camera.identity}
    if devices.shutter is not None:
        identities["shutter"] = devices.shutter.identity
    if devices.focus is not None:
        identities["focus"] = devices.focus.identity
    return identities


def _expected(info: RunInfo, options: dict[str, Any]) -> RunInfo:
    """Return a run as it would be with some of the options of ``acquire``."""
    plan, instrument, name = info.plan, info.instrument, info.sample
    if "instrument" in options:
        instrument = load_instrument(options["instrument"])
    if {"sample", "density"} & options.keys():
        seed = options.get("seed", plan.seed)
        mask = _load_sample(options.get("sample", name), options.get("density"), seed)
        rows, columns = (side + 2 * plan.margin for side in mask.coverage.shape)
        plan, name = plan.changed(rows=rows, columns=columns), mask.name
    for key in ("grid", "seed", "exposure_ms"):
        plan = plan.changed(**{key: options.get(key, getattr(plan, key))})
    if "max_chi_squared" in options and plan.landmark is not None:
        landmark = plan.landmark.changed(max_chi_squared=options["max_chi_squared"])
        plan = plan.changed(landmark=landmark)
    if "finish" in options:
        plan = plan.changed(finish=plan.finish.changed(share=options["finish"]))
    return info.model_copy(update={"plan": plan, "instrument": instrument, "sample": name})


def _sample_of(run: Run) -> Sample:
    """Return what lay under a simulated beam; for a real one, no more than its size."""
    info = run.info
    config, name = info.sample_config, info.sample
    if config is not None and not (isinstance(config, Mask) and config.cells_per_square == 1):
        return replace(make_sample(config, info.plan.seed), name=name)
    squares = np.zeros(info.plan.sample_shape) if run.truth is None else run.truth
    return Sample(name, squares.astype(np.float64))


def _load_sample(name: str, density: float | None, seed: int) -> Sample:
    if density is None:
        return load_sample(name, seed=seed)
    if name != "block":
        raise ConfigError(
            f"density: expected none with sample {name!r}, got {density:g}; leave it out, or"
            " take block"
        )
    return load_sample(name, density=density, seed=seed)
