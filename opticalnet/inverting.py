"""A run in one call: all frames and the known light to a map, kept in the run."""

import time
from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.store import Points, Run
from configs.errors import ConfigError
from opticalnet.reconstructions import Reconstruction, good_points, unplaced
from reconstruction.calibration import Calibration
from reconstruction.consistency import Consistency, check_consistency
from reconstruction.instrument_quantities import light_quantities
from reconstruction.inversion import inversion
from reconstruction.inversion.inversion import FitStep
from reconstruction.inversion.inversion_map import LARGEST_CHI_SQUARED, InversionMap
from reconstruction.inversion.inverter import FINE, first_map, instrument_of
from reconstruction.inversion.patch import light_of_run
from reconstruction.inversion.priors import PriorName, check_prior
from reconstruction.inversion.refinements import (
    PLACE_SPREAD_UM,
    Refinement,
    check_refinements,
)
from reconstruction.metrics import score
from reconstruction.predictor import choose_device
from reconstruction.results import check_replaceable


def invert(
    run: str | Path,
    *,
    start: Reconstruction | NDArray[np.float64] | None = None,
    prior: PriorName | None = None,
    refine: Collection[Refinement] = (),
    device: str = "auto",
    overwrite: bool = False,
    progress: Callable[[FitStep], None] = lambda step: None,
) -> Reconstruction:
    """Find the map that explains the photons of a run best, and keep it in the run.

    Parameters
    ----------
    run
        Path of a run, finished or not: what has not been scanned stays unknown.
    start
        What a network read in this run, or (rows, columns) of the sample, milled fractions,
        to begin with; from nothing if None.
    prior
        What is believed of the sample: ``smooth``, that edges are few; ``binary``, that hardly
        anything is partly milled; ``none``. If None: nothing of whole squares, and that edges
        are few where finer cells are needed.
    refine
        What is found besides the sample: ``light``, width of the beam and defocus;
        ``aberrations`` of the collecting objective, with these; ``positions`` of the beam,
        point by point, some 30 nm around where the stage says. Power of the laser and stray
        light always are; brightness and the rest of the optics are believed.
    device
        Where it runs: ``auto``, ``cpu`` or ``cuda``.
    overwrite
        Whether a result of another start or prior may go.
    progress
        Called after every step.

    Raises
    ------
    ConfigError
        If there is no such prior or refinement, or the start has another shape.
    RunStoreError
        If there is no run, or it is damaged, has no frames or cannot be written.
    ReconstructionError
        If another result is there, the device has too little memory, or the light runs away
        while it is refined.
    """
    source = Run(Path(run))
    points = good_points(source)
    if prior is not None:
        check_prior(prior)
    check_refinements(refine)
    first = start.squares.coverage if isinstance(start, Reconstruction) else start
    _check_shape(first, source.info.plan.sample_shape)
    refined = {*refine} | ({"light"} if "aberrations" in refine else set[str]())
    made_from = {
        "prior": prior or "default",
        "start": _identity(start),
        "refinement": ", ".join(sorted(refined)) or "nothing",
    }
    if not overwrite:
        check_replaceable(source.path, "inversion", made_from)
    computes_on, warnings = choose_device(device), list[str]()
    began = time.perf_counter()
    light = None
    if "light" in refined:
        light = _light(source, points, first, refine, progress)
    squares = inversion.invert(
        source,
        points,
        first,
        computes_on,
        prior=prior,
        instrument=light.instrument if light else None,
        place_spread_um=PLACE_SPREAD_UM if "positions" in refine else 0.0,
        progress=progress,
        warn=warnings.append,
    )
    seconds = time.perf_counter() - began
    optics, truth = light.instrument.optics if light else None, source.truth
    consistency = check_consistency(source, points, squares.coverage, optics)
    is_open = None if truth is None else (truth >= 0.5).astype(np.int8)
    result = Reconstruction(
        run=source,
        points=points,
        method="inversion",
        grid=None,
        made_from=made_from,
        device=squares.device,
        squares=squares,
        inversion=squares,
        light=light,
        truth=truth,
        frame=None,
        stitched=None if is_open is None else score(squares.probability, is_open),
        consistency=consistency,
        warnings=(*warnings, *_doubts(squares, consistency), *unplaced(points)),
        seconds=seconds,
    )
    result.write()
    return result


def _light(
    run: Run,
    points: Points,
    start: NDArray[np.float64] | None,
    refine: Collection[Refinement],
    progress: Callable[[FitStep], None],
) -> Calibration:
    """Find the light of a run."""
    plan, first = run.info.plan, instrument_of(run.info)
    return light_of_run(
        run,
        points,
        first_map(plan, start),
        first,
        light_quantities(first.optics, aberrations="aberrations" in refine),
        place_spread_um=PLACE_SPREAD_UM if "positions" in refine else 0.0,
        progress=lambda step, chi_squared: progress(
            FitStep(1, 1, step + 1, FINE, chi_squared, of_light=True)
        ),
    )


def _check_shape(start: NDArray[np.float64] | None, expected: tuple[int, int]) -> None:
    if start is not None and start.shape != expected:
        raise ConfigError(
            f"start: expected the sample's squares, {expected}, got {start.shape}; take the map"
            " of a network that read this run"
        )


def _identity(start: Reconstruction | NDArray[np.float64] | None) -> str:
    """Tell starts apart; a network's map of a run that has grown since is the same start."""
    if start is None:
        return "nothing"
    if isinstance(start, Reconstruction):
        return ", ".join((start.name, *start.made_from.values()))
    return f"map {sha256(start.tobytes()).hexdigest()[:16]}"


def _doubts(squares: InversionMap, consistency: Consistency) -> list[str]:
    doubts = [consistency.bad_frames] if consistency.bad_frames else []
    if not squares.is_explained:
        doubts.append(
            f"NOT EXPLAINED BY THE MODEL: reduced chi-squared {squares.chi_squared:.3f},"
            f" expected at most {LARGEST_CHI_SQUARED}; compare focus, window, beam and laser"
            " with [optics] and [camera]"
        )
    if not squares.converged:
        doubts.append("the inversion has not converged: what it does not decide may change")
    return doubts
