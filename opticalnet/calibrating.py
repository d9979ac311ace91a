"""An instrument in one call: from a run to optics, with error bars."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tomli_w
import torch

from acquisition.store import Run, RunInfo
from configs.drafts import check_absent, in_place, named
from configs.errors import ConfigError, ReconstructionError
from configs.optics import Optics
from opticalnet.reconstructions import good_points
from reconstruction import calibration
from reconstruction.calibration import Calibration, KnownFrames
from reconstruction.instrument_quantities import light_quantities, quantities
from reconstruction.inversion.inversion_map import LARGEST_CHI_SQUARED
from reconstruction.inversion.inverter import first_map, instrument_of
from reconstruction.inversion.patch import light_of_run
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel
from simulation.samples import Sample, load_sample, make_sample
from simulation.under_beam import CellsUnderBeam

NOT_TOLD: Final = "NOT IDENTIFIABLE from these frames"
UNKNOWN: Final = "none"
"""Sample of which nothing is known."""
_FRAMES: Final = 300
_FEWEST: Final = 30


@dataclass(frozen=True, slots=True)
class CalibratedInstrument:
    """What the instrument of a run was found to be.

    Attributes
    ----------
    run
        That was looked at.
    calibration
        Optics, and every quantity with its standard deviation.
    open_peak_e_per_ms
        Photo-electrons per ms at the brightest pixel of an open area.
    path
        Of the TOML file.
    """

    run: Run
    calibration: Calibration
    open_peak_e_per_ms: float
    path: Path


def calibrate(
    run: str | Path,
    truth: str | Path | None = None,
    *,
    out: str | Path = "calibration.toml",
    optics: Optics | None = None,
    aberrations: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, float], None] = lambda step, chi_squared: None,
) -> CalibratedInstrument:
    """Find out from a run what its instrument really is.

    Parameters
    ----------
    run
        Path of a run.
    truth
        The sample, as for ``acquire``; edges within squares should be in it. ``"none"``: it is
        unknown, and found together with beam and distance; aperture and pixel are believed
        then. ``None``: what was simulated.
    out
        Where the TOML file goes, for ``include`` in that of the instrument.
    optics
        Where it begins; those of the run if None.
    aberrations
        Whether the collecting objective's are fitted too.
    overwrite
        Whether a file may go.
    progress
        Called after every step with its number and chi-squared.

    Raises
    ------
    ConfigError
        If there is no such sample, or it is of another size.
    RunStoreError
        If there is no run, or it is damaged, or a file is in the way.
    ReconstructionError
        If there are too few frames, or they do not fit the sample.
    """
    path, source = named(out, "--out"), Run(Path(run))
    if not overwrite:
        check_absent(path, "choose another path, or add --overwrite")
    info = source.info
    start_optics = info.instrument.optics if optics is None else optics
    side_px = info.instrument.optics.image_px
    if start_optics.image_px != side_px:
        raise ConfigError(
            f"optics: expected frames of {side_px} px, as in the run, got"
            f" {start_optics.image_px} px; begin with the run's roi_px and binning"
        )
    first = instrument_of(info, start_optics)
    if truth == UNKNOWN:
        fitted = light_quantities(start_optics, aberrations=aberrations)
        points, start = good_points(source), first_map(info.plan, None)
        found = light_of_run(source, points, start, first, fitted, progress=progress)
    else:
        sample, photons = _sample(truth, info), _some(source)
        seen = _seen(sample, _places_um(photons, source))
        found = calibration.calibrate(
            KnownFrames(photons, seen, sample.cell_nm),
            first,
            quantities(start_optics, aberrations=aberrations),
            progress,
        )
    if found.chi_squared_after > LARGEST_CHI_SQUARED:
        raise ReconstructionError(
            f"calibration: expected a reduced chi-squared up to {LARGEST_CHI_SQUARED}, got"
            f" {found.chi_squared_after:.3f}; is the truth that of this run, and the right way"
            " up? Do window, pixel and aperture agree with [optics]? Nothing was written"
        )
    if not any(one.is_told for one in found.quantities):
        raise ReconstructionError(
            "calibration: expected frames that tell of the light, these tell nothing; take more"
            " light, or a sample with more edges. Nothing was written"
        )
    peak = found.instrument.electrons * _open_peak(found.instrument.optics, info.plan.pitch_nm)
    result = CalibratedInstrument(source, found, peak / info.plan.exposure_ms, path)
    with in_place(path) as draft:
        draft.write_text(_toml(result), encoding="utf-8")
    return result


def _sample(truth: str | Path | None, info: RunInfo) -> Sample:
    if truth is not None:
        sample = load_sample(str(truth))
    elif info.sample_config is not None:
        sample = make_sample(info.sample_config, info.plan.seed)
    else:
        raise ConfigError(
            f"--truth: expected the sample, as this run was measured; name it, or {UNKNOWN} to"
            " find it too"
        )
    squares = sample.coverage.shape
    if squares != info.plan.sample_shape:
        raise ConfigError(
            f"{sample.name}: expected {info.plan.sample_shape} squares, as the run scanned, got"
            f" {squares}; name the sample of this run"
        )
    return sample


def _some(run: Run) -> Photons:
    """Read valid frames from all over the scan."""
    points = good_points(run)
    valid = np.flatnonzero(points.valid)
    if len(valid) < _FEWEST:
        raise ReconstructionError(
            f"{run.path}: expected at least {_FEWEST} valid frames, got {len(valid)}; scan more"
        )
    chosen = valid[np.linspace(0, len(valid) - 1, min(_FRAMES, len(valid))).astype(int)]
    few, cpu = points.only(np.isin(np.arange(len(points.valid)), chosen)), torch.device("cpu")
    return Photons.of(run.lines(few), run.info.instrument.camera.sensor, cpu)


def _places_um(photons: Photons, run: Run) -> np.ndarray:
    """Where the beam was, (n, 2), from the middle of the sample."""
    plan = run.info.plan
    middle = np.array([plan.columns - 1, plan.rows - 1]) / 2
    square = torch.stack([photons.columns, photons.rows], 1).numpy() - middle
    places: np.ndarray = square * plan.pitch_nm / 1000 + photons.off_um.numpy()
    return places


def _seen(sample: Sample, places_um: np.ndarray) -> calibration.Amplitudes:
    def amplitudes(model: ForwardModel) -> torch.Tensor:
        under = CellsUnderBeam(sample, model.cells)
        top, left, off_um = under.windows(places_um)
        milled = torch.from_numpy(under.milled).double()
        windows = milled.unfold(0, model.cells, 1).unfold(1, model.cells, 1)[top, left]
        return model.amplitudes(windows, torch.from_numpy(off_um))

    return amplitudes


def _open_peak(optics: Optics, pitch_nm: float) -> float:
    return ForwardModel(optics, pitch_nm).open_peak()


def _toml(result: CalibratedInstrument) -> str:
    """Return what an instrument's file includes, with what is known of it in comments."""
    found, optics = result.calibration, result.calibration.instrument.optics
    run, before, after = result.run.info, found.chi_squared_before, found.chi_squared_after
    frames = (
        f"Calibrated with {found.frames} frames of run {run.provenance.run_id}, {run.sample}."
    )
    fit = f"Reduced chi-squared {before:.3f} before, {after:.3f} after."
    told = (frames, fit, *map(said, found.quantities))
    values: dict[str, Any] = {
        "optics": optics.model_dump(mode="json", exclude_none=True),
        "camera": {"open_peak_e_per_ms": result.open_peak_e_per_ms},
    }
    return "".join(f"# {line}\n" for line in told) + "\n" + tomli_w.dumps(values)


def said(one: calibration.Fitted) -> str:
    """Say in a line what was found of a quantity."""
    unit = f" {one.unit}" if one.unit else ""
    doubt = "" if one.is_told else f": {NOT_TOLD}"
    return f"{one.name}: {one.before:.6g} -> {one.after:.6g} +- {one.error:.2g}{unit}{doubt}"
