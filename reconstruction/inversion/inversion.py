"""Inversion of a run: the map that explains its photons, tile by tile.

Squares come first. Where they do not explain the photons, finer cells do, as the edges of a
sample run through squares.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.plan import ScanPlan
from acquisition.store import Points, Run
from configs.errors import ReconstructionError
from configs.optics import Optics
from reconstruction.instrument_quantities import Instrument
from reconstruction.inversion.inversion_map import InversionMap, TileMap
from reconstruction.inversion.misfit import Misfit, mean_by_light
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS, Prior, PriorName
from reconstruction.inversion.scene import FAINTEST, Scene
from reconstruction.inversion.solver import Solution, begin, solve
from reconstruction.inversion.tiles import Tile, tiles
from reconstruction.inversion.uncertainty import spread
from reconstruction.memory import Warn, is_of_device, reason_of, warn_in_python
from simulation.forward import ForwardModel
from simulation.window import beam_window

Float64 = NDArray[np.float64]

FINE: Final = 3
"""Cells along a square where squares do not suffice."""
_UNKNOWN: Final = 0.4
"""Milled fraction that nobody knows anything of."""
_SQUARES_SUFFICE: Final = 0.01
"""Chi-squared above 1 that squares may leave, """
_SQUARES_SUFFICE_PER_E: Final = 2e-4
"""or per photo-electron of a frame's pixels if that is less: dim frames hide more."""
_CHANCE: Final = 6.0
"""Standard deviations of chi-squared, were all pixels alike, that mean nothing: it hangs on
the bright ones, which are fewer."""
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


class Inverter:
    """Inverts parts of a run.

    Parameters
    ----------
    run, points
        Where the frames are.
    instrument
        What it is taken for.
    prior
        What is believed of cells finer than a square; ``None``: edges are few.
    place_spread_um
        As of ``Photons``.
    device
        Where it computes.
    """

    def __init__(
        self,
        run: Run,
        points: Points,
        instrument: Instrument,
        device: torch.device,
        prior: PriorName | None = None,
        place_spread_um: float = 0.0,
    ) -> None:
        self._run, self._points, self._device = run, points, device
        self._instrument, self._prior = instrument, prior
        self._place_spread_um = place_spread_um
        optics, pitch_nm = instrument.optics, run.info.plan.pitch_nm
        self._squares = ForwardModel(optics, pitch_nm, faintest=FAINTEST, device=device)
        self._fine = ForwardModel(
            optics,
            pitch_nm / FINE,
            cells=FINE * self._squares.cells,
            faintest=FAINTEST,
            device=device,
        )

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
        solution = self._of_squares(photons, prior, solution, progress)
        if self._place_spread_um:
            # Places come after squares: from too far away they would explain anything.
            photons = replace(photons, place_spread_um=self._place_spread_um)
            there = solution.scene, prior, solution.cells, solution.beam
            first = begin(photons, *there)
            solution = self._of_squares(photons, prior, first, progress)
        if solution.misfit.chi_squared <= _most_of_squares(solution.misfit):
            return self._result(tile, photons, prior, solution)
        scene = Scene(self._fine, FINE, *seen, photons).with_beam_at(solution.scene.off_um)
        prior = PRIORS[self._prior or "smooth"]
        cells = solution.cells.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
        solution = begin(photons, scene, prior, cells, solution.beam)
        for further in solve(photons, prior, solution, _MOST_STEPS):
            solution = further
            progress(solution, FINE)
        return self._result(tile, photons, prior, solution)

    def _of_squares(
        self,
        photons: Photons,
        prior: Prior,
        solution: Solution,
        progress: Callable[[Solution, int], None],
    ) -> Solution:
        """Go on from a solution until it has converged, or squares will not suffice."""
        for further in solve(photons, prior, solution, _MOST_STEPS):
            before, solution = solution, further
            progress(solution, 1)
            stuck = _is_stuck(before.misfit, solution.misfit)
            if stuck and not self._place_spread_um:
                break
        return solution

    def _beam(self, photons: Photons) -> Beam:
        power = torch.ones(len(photons), device=self._device)
        return Beam(self._instrument.electrons, power, max(0.0, self._instrument.stray_e))

    def _cells(self, scene: Scene, tile: Tile, start: Float64) -> torch.Tensor:
        """Cut the squares of a scene out of a map of the scan, with film around it."""
        padded = np.pad(start, scene.reach)
        rows, columns = (
            slice(axis.start, axis.stop + 2 * scene.reach)
            for axis in (tile.seen_rows, tile.seen_columns)
        )
        return torch.from_numpy(padded[rows, columns]).to(self._device, torch.float32)

    def _result(
        self, tile: Tile, photons: Photons, prior: Prior, solution: Solution
    ) -> TileMap:
        """Cut what a tile decides out of what was found of all that it sees."""
        scene, cells = solution.scene, solution.cells
        equations = NormalEquations.at(photons, scene, cells, solution.beam, rough=False)
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
            shape = len(tile.seen_rows), len(tile.seen_columns), *values.shape[1:]
            spread_out = torch.full(shape, torch.nan, device=values.device)
            spread_out[at] = values
            result: Float64 = spread_out[inner].double().cpu().numpy()
            return result

        misfit, side = solution.misfit, scene.model.optics.image_px
        return TileMap(
            spread=found.part(inner),
            of_frames=over_the_scan(misfit.of_frames),
            light_e=over_the_scan(misfit.light_e),
            moved_um=over_the_scan(scene.off_um - photons.off_um),
            moved_error_um=over_the_scan(equations.own_spread[:, 1:]),
            of_pixels=misfit.of_pixels.view(side, side).double().cpu().numpy(),
            frames=len(photons),
            converged=solution.converged,
        )


def first_map(plan: ScanPlan, start: Float64 | None) -> Float64:
    """Return milled fractions of all scan points to begin with, from those of the sample."""
    first = np.full(plan.sample_shape, _UNKNOWN) if start is None else np.nan_to_num(start)
    return np.pad(first, plan.margin)


def instrument_of(run: Run, optics: Optics | None = None) -> Instrument:
    """Return what a run says of its instrument, with other optics if there are some."""
    optics, pitch_nm = optics or run.info.instrument.optics, run.info.plan.pitch_nm
    electrons = run.info.open_peak_e / ForwardModel(optics, pitch_nm).open_peak()
    return Instrument(optics, electrons, 0.0)


def _attempt(
    run: Run,
    points: Points,
    instrument: Instrument,
    prior: PriorName | None,
    place_spread_um: float,
    device: torch.device,
    tile: Tile,
    start: Float64,
    progress: Callable[[Solution, int], None],
) -> tuple[TileMap | None, str]:
    """Invert a tile on a device; return what it says, and how the device failed, if it did."""
    try:
        inverter = Inverter(run, points, instrument, device, prior, place_spread_um)
        return inverter.invert(tile, start, progress), ""
    except RuntimeError as error:
        if not is_of_device(error):
            raise
        return None, reason_of(error)


def _most_of_squares(misfit: Misfit) -> float:
    """Return up to which chi-squared squares suffice; few frames leave it to chance."""
    light_e = float(mean_by_light(misfit.light_e, misfit.light_e))
    values = misfit.of_frames.numel() * misfit.of_pixels.numel()
    chance = _CHANCE * math.sqrt(2 / values)
    return 1 + max(chance, min(_SQUARES_SUFFICE, _SQUARES_SUFFICE_PER_E * light_e))


def _is_stuck(before: Misfit, after: Misfit) -> bool:
    """Return whether squares do not explain the photons, nor will."""
    gain = before.chi_squared - after.chi_squared
    too_little = gain < _LEAST_GAIN * (before.chi_squared - 1)
    return too_little and after.chi_squared > _most_of_squares(after)


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
    found = InversionMap(plan, points, run.info.instrument.optics.image_px)
    instrument = instrument or instrument_of(run)
    attempt = partial(_attempt, run, points, instrument, prior, place_spread_um)
    # Frames see the squares that the beam reaches, and one more as it is not always centred.
    around = beam_window(instrument.optics, plan.pitch_nm) // 2 + 1
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
