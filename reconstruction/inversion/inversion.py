"""Inversion of a run: the map that explains its photons, tile by tile.

Squares come first. Where they do not explain the photons, finer cells do, as the edges of a
sample run through squares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import Points, Run
from configs.errors import ReconstructionError
from reconstruction.inversion.inversion_map import InversionMap, TileMap
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS, Prior, PriorName
from reconstruction.inversion.scene import Scene
from reconstruction.inversion.solver import Solution, begin, solve
from reconstruction.inversion.tiles import Tile, tiles
from reconstruction.inversion.uncertainty import spread
from reconstruction.memory import Warn, is_of_device, warn_in_python
from simulation.forward import ForwardModel
from simulation.window import beam_window

Float64 = NDArray[np.float64]

FINE: Final = 3
"""Cells along a square where squares do not suffice."""
_UNKNOWN: Final = 0.4
"""Milled fraction that nobody knows anything of."""
_FAINTEST: Final = 5e-4
"""Relative amplitude of the light of a mode, below which it drowns in the noise."""
_SQUARES_SUFFICE: Final = 1.01
_LEAST_GAIN: Final = 0.5
"""Of chi-squared above 1, in a step of squares that suffice."""
_MOST_STEPS: Final = 12


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
    """

    tile: int
    tiles: int
    steps: int
    cells_per_square: int
    chi_squared: float


Progress = Callable[[FitStep], None]


class Inverter:
    """Inverts parts of a run.

    Parameters
    ----------
    run, points
        Where the frames are.
    prior
        What is believed of cells finer than a square; ``None``: edges are few.
    device
        Where it computes.
    """

    def __init__(
        self, run: Run, points: Points, device: torch.device, prior: PriorName | None = None
    ) -> None:
        self._run, self._points, self._device = run, points, device
        self._prior = prior
        optics, pitch_nm = run.info.instrument.optics, run.info.plan.pitch_nm
        self._squares = ForwardModel(optics, pitch_nm, faintest=_FAINTEST, device=device)
        self._fine = ForwardModel(
            optics,
            pitch_nm / FINE,
            cells=FINE * self._squares.cells,
            faintest=_FAINTEST,
            device=device,
        )
        self._electrons = run.info.open_peak_e / self._squares.open_peak()

    def invert(
        self, tile: Tile, start: Float64, progress: Callable[[Solution, int], None]
    ) -> TileMap | None:
        """Invert a tile, beginning with a map of the whole scan.

        Parameters
        ----------
        tile
            Which.
        start
            (rows, columns) of the scan, milled fractions to begin with.
        progress
            Called after every step, with the cells along a square.

        Returns
        -------
        TileMap or None
            ``None`` if it has no frames at all.
        """
        seen = tile.seen_rows, tile.seen_columns
        photons = Photons.of(self._run, self._points, *seen, self._device)
        if not len(photons):
            return None

        scene = Scene(self._squares, 1, *seen, photons)
        prior = PRIORS[self._prior or "none"]
        cells, beam = self._cells(scene, tile, start), self._beam(photons)
        solution = begin(photons, scene, prior, cells, beam)
        for further in solve(photons, scene, prior, solution, _MOST_STEPS):
            before, solution = solution, further
            progress(solution, 1)
            if _is_stuck(before.misfit.chi_squared, solution.misfit.chi_squared):
                break
        else:
            return self._result(tile, photons, scene, prior, solution)
        scene = Scene(self._fine, FINE, *seen, photons)
        prior = PRIORS[self._prior or "smooth"]
        cells = solution.cells.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
        solution = begin(photons, scene, prior, cells, solution.beam)
        for further in solve(photons, scene, prior, solution, _MOST_STEPS):
            solution = further
            progress(solution, FINE)
        return self._result(tile, photons, scene, prior, solution)

    def _beam(self, photons: Photons) -> Beam:
        return Beam(self._electrons, torch.ones(len(photons), device=self._device), 0.0)

    def _cells(self, scene: Scene, tile: Tile, start: Float64) -> torch.Tensor:
        """Cut the squares of a scene out of a map of the scan, with film around it."""
        padded = np.pad(start, scene.reach)
        rows, columns = (
            slice(axis.start, axis.stop + 2 * scene.reach)
            for axis in (tile.seen_rows, tile.seen_columns)
        )
        return torch.from_numpy(padded[rows, columns]).to(self._device, torch.float32)

    def _result(
        self, tile: Tile, photons: Photons, scene: Scene, prior: Prior, solution: Solution
    ) -> TileMap:
        """Cut what a tile decides out of what was found of all that it sees."""
        cells, amplitudes = solution.cells, scene.amplitudes(solution.cells)
        equations = NormalEquations.at(
            photons, scene.model, amplitudes, solution.beam, rough=False
        )
        slope = prior(cells)[1] - scene.spread(equations.slope)
        found = spread(photons, scene, equations, cells, slope)
        inner = tuple(
            slice(own.start - seen.start, own.stop - seen.start)
            for own, seen in (
                (tile.rows, tile.seen_rows),
                (tile.columns, tile.seen_columns),
            )
        )
        at = photons.rows - tile.seen_rows.start, photons.columns - tile.seen_columns.start

        def over_the_scan(values: torch.Tensor) -> Float64:
            shape = len(tile.seen_rows), len(tile.seen_columns)
            spread_out = torch.full(shape, torch.nan, device=values.device)
            spread_out[at] = values
            result: Float64 = spread_out[inner].double().cpu().numpy()
            return result

        misfit, side = solution.misfit, scene.model.optics.image_px
        return TileMap(
            spread=found.part(inner),
            of_frames=over_the_scan(misfit.of_frames),
            light_e=over_the_scan(misfit.light_e),
            of_pixels=misfit.of_pixels.view(side, side).double().cpu().numpy(),
            frames=len(photons),
            converged=solution.converged,
        )


def _attempt(
    run: Run,
    points: Points,
    prior: PriorName | None,
    device: torch.device,
    tile: Tile,
    start: Float64,
    progress: Callable[[Solution, int], None],
) -> tuple[TileMap | None, str]:
    """Invert a tile on a device; return what it says, and how the device failed, if it did."""
    try:
        return Inverter(run, points, device, prior).invert(tile, start, progress), ""
    except RuntimeError as error:
        if not is_of_device(error):
            raise
        return None, str(error).splitlines()[0].partition(". ")[0]


def _is_stuck(before: float, chi_squared: float) -> bool:
    """Return whether squares do not explain the photons, nor will."""
    gain = before - chi_squared
    return chi_squared > _SQUARES_SUFFICE and gain < _LEAST_GAIN * (before - 1)


def invert(
    run: Run,
    points: Points,
    start: Float64 | None,
    device: torch.device,
    *,
    prior: PriorName | None = None,
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
    first = np.full(plan.sample_shape, _UNKNOWN) if start is None else np.nan_to_num(start)
    first = np.pad(first, plan.margin)
    found = InversionMap(plan, points, run.info.instrument.optics.image_px)
    attempt = partial(_attempt, run, points, prior)
    # Frames see the squares that the beam reaches, and one more as it is not always centred.
    around = beam_window(run.info.instrument.optics, plan.pitch_nm) // 2 + 1
    all_tiles = list(tiles(plan, around))
    for number, tile in enumerate(all_tiles, 1):

        def tell(solution: Solution, n: int, number: int = number) -> None:
            chi_squared = solution.misfit.chi_squared
            progress(FitStep(number, len(all_tiles), solution.steps, n, chi_squared))

        inverted, failure = attempt(device, tile, first, tell)
        if failure and device.type != "cpu":
            warn(f"{device.type} cannot run the inversion ({failure}): the CPU goes on")
            device = torch.device("cpu")
            inverted, failure = attempt(device, tile, first, tell)
        if failure:
            raise ReconstructionError(
                f"inversion: expected memory for a tile, got: {failure}; close other programs"
            )
        if inverted is not None:
            found.put(tile, inverted)
    found.device = device.type
    return found
