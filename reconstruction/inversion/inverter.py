"""Inversion of a part of a scan: the squares that explain its photons.

Squares come first. Where they do not explain the photons, finer cells do, as the edges of a
sample run through squares.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from acquisition.store import RunInfo
from configs.errors import ReconstructionError
from configs.optics import Optics
from reconstruction.instrument_quantities import Instrument
from reconstruction.inversion.inversion_map import TileMap
from reconstruction.inversion.misfit import Misfit, mean_by_light
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.priors import PRIORS, Prior, PriorName
from reconstruction.inversion.scene import FAINTEST, Scene
from reconstruction.inversion.solver import Solution, begin, solve
from reconstruction.inversion.tiles import Tile
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


OnStep = Callable[[Solution], object]


class Inverter:
    """Inverts parts of a scan.

    Parameters
    ----------
    info
        Of the run.
    device
        Where it computes, until its memory does not suffice.
    instrument
        Optics and brightness to assume; ``None``: those of the run.
    prior
        What is believed of cells finer than a square; ``None``: edges are few.
    place_spread_um
        As of ``Photons``.
    warn
        Told when it goes on on the CPU.

    Attributes
    ----------
    device
        Where it computes now.
    around
        Scan points on every side whose frames see squares of a tile.
    """

    def __init__(
        self,
        info: RunInfo,
        device: torch.device,
        *,
        instrument: Instrument | None = None,
        prior: PriorName | None = None,
        place_spread_um: float = 0.0,
        warn: Warn = warn_in_python,
    ) -> None:
        self.device = device
        self._info, self._prior, self._place_spread_um = info, prior, place_spread_um
        self._instrument, self._warn = instrument or instrument_of(info), warn
        # As far as the beam reaches, and one more as it is not always centred.
        window = beam_window(self._instrument.optics, info.plan.pitch_nm)
        self.around = window // 2 + 1

    def invert(
        self,
        tile: Tile,
        lines: Sequence[FrameLine],
        start: Float64,
        on_step: OnStep = lambda solution: None,
    ) -> TileMap | None:
        """Invert a tile.

        Parameters
        ----------
        tile
            Which.
        lines
            What it sees, as far as it is there.
        start
            (rows, columns) of the scan, milled fractions to begin with.
        on_step
            Called after every step.

        Returns
        -------
        TileMap or None
            ``None`` if it has no frames at all.

        Raises
        ------
        ReconstructionError
            If the CPU too has too little memory.
        """
        while True:
            try:
                return self._invert(tile, lines, start, on_step)
            except RuntimeError as error:
                if not is_of_device(error):
                    raise
                failure = reason_of(error)
            if self.device.type == "cpu":
                raise ReconstructionError(
                    f"inversion: expected memory for a tile, got: {failure}; close other"
                    " programs"
                )
            self._warn(
                f"{self.device.type} cannot run the inversion ({failure}): the CPU goes on"
            )
            self.device = torch.device("cpu")

    def _invert(
        self, tile: Tile, lines: Sequence[FrameLine], start: Float64, on_step: OnStep
    ) -> TileMap | None:
        if not any(len(line.columns) for line in lines):
            return None

        seen, sensor = (tile.seen_rows, tile.seen_columns), self._info.instrument.camera.sensor
        photons = Photons.of(lines, sensor, self.device)
        squares = self._model(1)
        scene = Scene(squares, 1, *seen, photons)
        prior = PRIORS[self._prior or "none"]
        cells, beam = self._cells(scene, tile, start), self._beam(photons)
        solution = begin(photons, scene, prior, cells, beam)
        solution = self._of_squares(photons, prior, solution, on_step)
        if self._place_spread_um:
            # Places come after squares: from too far away they would explain anything.
            photons = replace(photons, place_spread_um=self._place_spread_um)
            there = solution.scene, prior, solution.cells, solution.beam
            first = begin(photons, *there)
            solution = self._of_squares(photons, prior, first, on_step)
        if _suffices(solution.misfit):
            return self._result(tile, photons, prior, solution)
        fine = self._model(FINE, FINE * squares.cells)
        scene = Scene(fine, FINE, *seen, photons).with_beam_at(solution.scene.off_um)
        prior = PRIORS[self._prior or "smooth"]
        cells = solution.cells.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
        solution = begin(photons, scene, prior, cells, solution.beam)
        for further in solve(photons, prior, solution, _MOST_STEPS, _suffices):
            solution = further
            on_step(solution)
        return self._result(tile, photons, prior, solution)

    def _model(self, cells_per_square: int, cells: int | None = None) -> ForwardModel:
        optics, cell_nm = self._instrument.optics, self._info.plan.pitch_nm / cells_per_square
        return ForwardModel(optics, cell_nm, cells=cells, faintest=FAINTEST, device=self.device)

    def _of_squares(
        self,
        photons: Photons,
        prior: Prior,
        solution: Solution,
        on_step: OnStep,
    ) -> Solution:
        """Go on from a solution until it has converged, or squares will not suffice."""
        for further in solve(photons, prior, solution, _MOST_STEPS):
            before, solution = solution, further
            on_step(solution)
            stuck = _is_stuck(before.misfit, solution.misfit)
            if stuck and not self._place_spread_um:
                break
        return solution

    def _beam(self, photons: Photons) -> Beam:
        power = torch.ones(len(photons), device=self.device)
        return Beam(self._instrument.electrons, power, max(0.0, self._instrument.stray_e))

    def _cells(self, scene: Scene, tile: Tile, start: Float64) -> torch.Tensor:
        """Cut the squares of a scene out of a map of the scan, with film around it."""
        padded = np.pad(start, scene.reach)
        rows, columns = (
            slice(axis.start, axis.stop + 2 * scene.reach)
            for axis in (tile.seen_rows, tile.seen_columns)
        )
        return torch.from_numpy(padded[rows, columns]).to(self.device, torch.float32)

    def _result(
        self, tile: Tile, photons: Photons, prior: Prior, solution: Solution
    ) -> TileMap:
        """Cut what a tile decides out of what was found of all that it sees."""
        scene, cells = solution.scene, solution.cells
        equations = NormalEquations.at(photons, scene, cells, solution.beam)
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


def _suffices(misfit: Misfit) -> bool:
    """Return whether squares leave no more than chance may, which few frames leave more to."""
    light_e = float(mean_by_light(misfit.light_e, misfit.light_e))
    chance = _CHANCE * math.sqrt(2 / misfit.values)
    most = max(chance, min(_SQUARES_SUFFICE, _SQUARES_SUFFICE_PER_E * light_e))
    return misfit.chi_squared <= 1 + most


def _is_stuck(before: Misfit, after: Misfit) -> bool:
    """Return whether squares do not explain the photons, nor will."""
    gain = before.chi_squared - after.chi_squared
    too_little = gain < _LEAST_GAIN * (before.chi_squared - 1)
    return too_little and not _suffices(after)


def instrument_of(info: RunInfo, optics: Optics | None = None) -> Instrument:
    """Return what a run says of its instrument, with other optics if there are some."""
    optics = optics or info.instrument.optics
    electrons = info.open_peak_e / ForwardModel(optics, info.plan.pitch_nm).open_peak()
    return Instrument(optics, electrons, 0.0)


def first_map(plan: ScanPlan, start: Float64 | None) -> Float64:
    """Return milled fractions of all scan points to begin with, from those of the sample."""
    first = np.full(plan.sample_shape, _UNKNOWN) if start is None else np.nan_to_num(start)
    return np.pad(first, plan.margin)
