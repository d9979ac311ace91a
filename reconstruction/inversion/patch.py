"""The light of a run, from the part of its scan that says most of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import Points, Run
from configs.errors import ReconstructionError
from reconstruction.calibration import Calibration
from reconstruction.consistency import check_consistency
from reconstruction.instrument_quantities import Instrument, Quantity
from reconstruction.inversion.inverter import FINE, instrument_of
from reconstruction.inversion.light import find_light
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS
from reconstruction.inversion.scene import FAINTEST, Scene
from reconstruction.memory import is_of_device, reason_of
from simulation.forward import ForwardModel
from simulation.window import beam_window

_SIDE: Final = 24
"""Points along a side: half a thousand frames say more of the light than is needed."""
_FEWEST: Final = 100
"""Frames."""
_LINES: Final = 100
"""That are looked at to choose."""

Float64 = NDArray[np.float64]


def light_of_run(
    run: Run,
    points: Points,
    start: Float64,
    first: Instrument,
    fitted: list[Quantity],
    *,
    place_spread_um: float = 0.0,
    progress: Callable[[int, float], None] = lambda step, chi_squared: None,
) -> Calibration:
    """Find the instrument of a run whose sample is unknown, on the CPU.

    Parameters
    ----------
    run, points
        Finished or not.
    start
        (rows, columns) of the scan, milled fractions to begin with.
    first, fitted
        The instrument to begin with, and what may change of it.
    place_spread_um
        As of ``Photons``.
    progress
        Called after every step with its number and chi-squared.

    Raises
    ------
    ReconstructionError
        If there are too few frames, or saturated ones, or no light; a quantity runs away, no
        rest is found, or memory is too small.
    """
    bad = check_consistency(run, points, run.info.plan.crop(start)).bad_frames
    if bad:
        raise ReconstructionError(f"light: expected frames with light to spare; {bad}")
    rows, columns = chosen_part(run, points)
    lines = [run.valid_frames(row, points).within(columns) for row in rows]
    photons = Photons.of(lines, run.info.instrument.camera.sensor, torch.device("cpu"))
    if len(photons) < _FEWEST:
        raise ReconstructionError(
            f"light: expected at least {_FEWEST} valid frames, got {len(photons)}; scan more"
        )
    pitch_nm = run.info.plan.pitch_nm
    squares = beam_window(first.optics, pitch_nm) + 2  # the beam may turn out wider

    model = ForwardModel(first.optics, pitch_nm / FINE, cells=FINE * squares, faintest=FAINTEST)
    scene = Scene(model, FINE, rows, columns, photons)
    around, reach = np.pad(start, scene.reach), 2 * scene.reach
    part = around[rows.start : rows.stop + reach, columns.start : columns.stop + reach]
    coarse = torch.from_numpy(part).float()
    cells = coarse.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
    find = partial(find_light, prior=PRIORS["smooth"], start=first, fitted=fitted)
    with _memory_explained():
        found = find(photons, scene, cells=cells, instrument=first, progress=progress)
        if place_spread_um:
            # Places come last: from too far away they would explain anything.
            further = find(
                replace(photons, place_spread_um=place_spread_um),
                found.solution.scene,
                cells=found.solution.cells,
                instrument=found.calibration.instrument,
                progress=lambda step, chi_squared: progress(found.steps + step, chi_squared),
            )
            before = found.calibration.chi_squared_before
            calibration = replace(further.calibration, chi_squared_before=before)
        else:
            calibration = found.calibration
    # What an open area shows was measured; these frames say nothing of it, as cells may be open
    # by any part.
    return replace(calibration, instrument=_as_bright(run, calibration.instrument))


def _as_bright(run: Run, instrument: Instrument) -> Instrument:
    """Return an instrument whose open areas are as bright as the run says."""
    return replace(instrument, electrons=instrument_of(run.info, instrument.optics).electrons)


@contextmanager
def _memory_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_of_device(error):
            raise
        raise ReconstructionError(
            f"light: expected memory for {_SIDE} x {_SIDE} frames, got: {reason_of(error)};"
            " close other programs"
        ) from error


def chosen_part(run: Run, points: Points) -> tuple[range, range]:
    """Return rows and columns of a scan where frames differ most."""
    brightness = _brightness(run, points)

    def told(corner: tuple[int, ...]) -> float:
        part = brightness[tuple(slice(at, at + _SIDE) for at in corner)]
        seen = part[np.isfinite(part)]
        return float(seen.var() * seen.size) if seen.size else 0.0

    rows, columns = brightness.shape
    corners = product(
        *(range(0, max(1, side - _SIDE + 1), _SIDE // 4) for side in brightness.shape)
    )
    row, column = max(corners, key=told)
    return range(row, min(row + _SIDE, rows)), range(column, min(column + _SIDE, columns))


def _brightness(run: Run, points: Points) -> Float64:
    """Return the mean of every frame of some lines, (rows, columns), NaN elsewhere."""
    plan = run.info.plan
    brightness = np.full((plan.rows, plan.columns), np.nan)
    for row in range(0, plan.rows, max(1, plan.rows // _LINES)):
        line = run.valid_frames(row, points)
        brightness[row, line.columns] = line.images.mean((1, 2))
    return brightness
