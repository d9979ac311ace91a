"""The light of a run, from the part of its scan that says most of it."""

from collections.abc import Callable
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
from reconstruction.instrument_quantities import Instrument, Quantity
from reconstruction.inversion.inversion import FINE
from reconstruction.inversion.light import find_light
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS
from reconstruction.inversion.scene import FAINTEST, Scene
from simulation.forward import ForwardModel
from simulation.window import beam_window

_SIDE: Final = 24
"""Points along a side: half a thousand frames say more of the light than is needed."""
_FEWEST: Final = 100

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
    """Find the instrument of a run whose sample is unknown.

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
        If there are too few frames, a quantity runs away, or no rest is found.
    """
    rows, columns = _telling(start, points.valid.reshape(start.shape))
    photons = Photons.of(run, points, rows, columns, torch.device("cpu"))
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
    found = find(photons, scene, cells=cells, instrument=first, progress=progress)
    if place_spread_um:
        # Places come last: from too far away they would explain anything.
        photons = replace(photons, place_spread_um=place_spread_um)
        there, instrument = found.solution, found.calibration.instrument
        further = find(
            photons,
            there.scene,
            cells=there.cells,
            instrument=instrument,
            progress=lambda step, chi_squared: progress(found.steps + step, chi_squared),
        )
        before = found.calibration.chi_squared_before
        return replace(further.calibration, chi_squared_before=before)
    return found.calibration


def _telling(start: Float64, valid: NDArray[np.bool_]) -> tuple[range, range]:
    """Choose rows and columns of the scan where there is most to see."""

    def told(corner: tuple[int, ...]) -> float:
        part = tuple(slice(at, at + _SIDE) for at in corner)
        return float(np.var(start[part]) * valid[part].sum())

    corners = product(*(range(0, max(1, side - _SIDE + 1), _SIDE // 4) for side in start.shape))
    row, column = max(corners, key=told)
    rows, columns = start.shape
    return range(row, min(row + _SIDE, rows)), range(column, min(column + _SIDE, columns))
