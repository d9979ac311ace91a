"""Inversion of a run: the map that explains its photons, tile by tile.

Squares come first. Where they do not explain the photons, finer cells do, as the edges of a
sample run through squares.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import Points, Run
from reconstruction.inversion.inversion_map import InversionMap
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS, Prior, PriorName
from reconstruction.inversion.scene import Scene
from reconstruction.inversion.solver import Solution, begin, solve
from reconstruction.inversion.tiles import Tile, tiles
from reconstruction.inversion.uncertainty import Spread, spread
from simulation.forward import ForwardModel

Float64 = NDArray[np.float64]

FINE: Final = 3
"""Cells along a square where squares do not suffice."""
LARGEST_CHI_SQUARED: Final = 1.03
"""Above it the model does not explain the photons."""
_UNKNOWN: Final = 0.4
"""Milled fraction that nobody knows anything of."""
_FIRST_STEPS: Final = 3
_MOST_STEPS: Final = 12

Progress = Callable[[Tile, Solution], None]


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
        self._squares = ForwardModel(optics, pitch_nm, device=device)
        self._fine = ForwardModel(
            optics, pitch_nm / FINE, cells=FINE * self._squares.cells, device=device
        )
        self._electrons = run.info.open_peak_e / self._squares.open_peak()

    @property
    def around(self) -> int:
        """Points around a tile whose frames see its squares."""
        return self._squares.cells // 2 + 1

    def invert(
        self, tile: Tile, start: Float64, progress: Progress
    ) -> tuple[Spread, Float64] | None:
        """Invert a tile, beginning with a map of the whole scan.

        Parameters
        ----------
        tile
            Which.
        start
            (rows, columns) of the scan, milled fractions to begin with.
        progress
            Called after every step.

        Returns
        -------
        tuple or None
            How well the squares are known, and chi-squared per degree of freedom of the
            frames, NaN where there is none, (rows, columns) of the tile; ``None`` if it has no
            frames at all.
        """
        seen = tile.seen_rows, tile.seen_columns
        photons = Photons.of(self._run, self._points, *seen, self._device)
        if not len(photons):
            return None

        def tell(solution: Solution) -> None:
            progress(tile, solution)

        scene = Scene(self._squares, 1, *seen, photons)
        prior = PRIORS[self._prior or "none"]
        solution = begin(
            photons, scene, prior, self._cells(scene, tile, start), self._beam(photons)
        )
        solution = solve(photons, scene, prior, solution, _FIRST_STEPS, tell)
        if solution.misfit.chi_squared > LARGEST_CHI_SQUARED:
            cells, beam = solution.cells, solution.beam
            scene = Scene(self._fine, FINE, *seen, photons)
            prior = PRIORS[self._prior or "smooth"]
            cells = cells.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
            solution = begin(photons, scene, prior, cells, beam)
        solution = solve(photons, scene, prior, solution, _MOST_STEPS, tell)
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
    ) -> tuple[Spread, Float64]:
        """Cut what a tile decides out of what was found of all that it sees."""
        cells, amplitudes = solution.cells, scene.amplitudes(solution.cells)
        equations = NormalEquations.at(photons, scene.model, amplitudes, solution.beam)
        slope = prior(cells)[1] - scene.spread(equations.slope)
        found = spread(photons, scene, equations, cells, slope)
        inner = tuple(
            slice(own.start - seen.start, own.stop - seen.start)
            for own, seen in (
                (tile.rows, tile.seen_rows),
                (tile.columns, tile.seen_columns),
            )
        )
        of_frames = torch.full(
            (len(tile.seen_rows), len(tile.seen_columns)), torch.nan, device=cells.device
        )
        at = photons.rows - tile.seen_rows.start, photons.columns - tile.seen_columns.start
        of_frames[at] = solution.misfit.of_frames
        return found.part(inner), of_frames[inner].double().cpu().numpy()


def invert(
    run: Run,
    start: Float64 | None,
    device: torch.device,
    *,
    prior: PriorName | None = None,
    progress: Progress = lambda tile, solution: None,
) -> InversionMap:
    """Find the map that explains the photons of a run.

    Parameters
    ----------
    run
        Finished or not.
    start
        (rows, columns) of the sample, milled fractions to begin with, as a network says them;
        ``None`` begins with squares that are all alike.
    device
        Where it computes.
    prior
        What is believed; ``None``: nothing of squares, of finer cells that edges are few.
    progress
        Called after every step.
    """
    plan, points = run.info.plan, run.points()
    first = np.full(plan.sample_shape, _UNKNOWN) if start is None else np.nan_to_num(start)
    inverter = Inverter(run, points, device, prior)
    found = InversionMap(plan, points)
    for tile in tiles(plan, inverter.around):
        inverted = inverter.invert(tile, np.pad(first, plan.margin), progress)
        if inverted is not None:
            found.put(tile, *inverted)
    return found
