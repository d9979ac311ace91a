"""Inversion of a run: the map that explains its photons, tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import Points, Run
from reconstruction.instrument_quantities import Instrument
from reconstruction.inversion.inversion_map import InversionMap
from reconstruction.inversion.inverter import Inverter, first_map
from reconstruction.inversion.priors import PriorName
from reconstruction.inversion.solver import Solution
from reconstruction.inversion.tiles import tiles
from reconstruction.memory import Warn, warn_in_python

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitStep:
    """How far an inversion has come.

    Attributes
    ----------
    tile, tiles
        Which is inverted, from 1, of how many.
    steps
        Taken so far in this tile, with its cells.
    cells_per_square
        Along an axis.
    chi_squared
        Per degree of freedom of all frames.
    of_light
        Whether light and sample of a part of the scan are looked for, before all others.
    """

    tile: int
    tiles: int
    steps: int
    cells_per_square: int
    chi_squared: float
    of_light: bool = False


Progress = Callable[[FitStep], None]


def invert(
    run: Run,
    points: Points,
    start: Float64 | None,
    device: torch.device,
    *,
    prior: PriorName | None = None,
    instrument: Instrument | None = None,
    place_spread_um: float = 0.0,
    progress: Progress = lambda step: None,
    warn: Warn = warn_in_python,
) -> InversionMap:
    """Find the map that explains the photons of a run.

    Parameters
    ----------
    run, points
        Finished or not.
    start
        (rows, columns) of the sample, milled fractions to begin with, as a network says them;
        ``None`` begins with squares that are all alike.
    device
        Where it computes; tiles that it has too little memory for go to the CPU.
    prior
        What is believed; ``None``: nothing of squares, of finer cells that edges are few.
    instrument
        What it is taken for; ``None``: what the run says.
    place_spread_um
        Standard deviation of the beam's place from where the stage says; zero: it is there.
    progress
        Called after every step.
    warn
        Told when it goes on on the CPU.

    Raises
    ------
    ReconstructionError
        If the CPU too has too little memory.
    """
    plan = run.info.plan
    first = first_map(plan, start)
    found = InversionMap(plan, run.info.instrument.optics.image_px)
    inverter = Inverter(
        run.info,
        device,
        instrument=instrument,
        prior=prior,
        place_spread_um=place_spread_um,
        warn=warn,
    )
    all_tiles = list(tiles(plan, inverter.around))
    for number, tile in enumerate(all_tiles, 1):
        columns = tile.seen_columns
        lines = [run.valid_frames(row, points).within(columns) for row in tile.seen_rows]

        def tell(solution: Solution, number: int = number) -> None:
            n, chi_squared = solution.scene.cells_per_square, solution.misfit.chi_squared
            progress(FitStep(number, len(all_tiles), solution.steps, n, chi_squared))

        inverted = inverter.invert(tile, lines, first, tell)
        if inverted is not None:
            found.put(tile, inverted)
    found.device = inverter.device.type
    return found
