"""The command that turns a run into a map: `opticalnet reconstruct`."""

from functools import partial
from pathlib import Path
from typing import Any, Self, cast, get_args

from PIL import Image
from rich.console import Console
from rich.status import Status
from rich.table import Table

from configs.errors import ConfigError
from opticalnet.calibrating import NOT_TOLD, said
from opticalnet.console import given, listed, open_console, picture_beside, print_json
from opticalnet.inverting import invert
from opticalnet.progress import FrameProgress
from opticalnet.reconstructing import reconstruct
from opticalnet.reconstructions import NetworkMethod, Reconstruction
from reconstruction.inversion.inversion import FitStep
from reconstruction.inversion.priors import PriorName, check_prior
from reconstruction.inversion.refinements import Refinement, check_refinements


def reconstruct_run(
    run: str,
    method: str | None,
    grid: int | None,
    weights: str | None,
    prior: str | None,
    refine: list[str],
    device: str,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    """Reconstruct, draw, and say what came of it.

    Parameters
    ----------
    run
        Path of the run.
    method
        ``None``: the network, then the inversion from what it said.
    grid, weights, prior, refine, device
        As for ``opticalnet.reconstruct`` and ``opticalnet.invert``, which check them.
    overwrite
        Whether a result of other weights may go, and a picture of another result.
    json
        Whether a script reads stdout.

    Raises
    ------
    ConfigError
        If an option does not go with the method.
    """
    _check_options(method, prior, refine, given(grid=grid, weights=weights))
    console, results = open_console(json), list[Reconstruction]()

    def show(result: Reconstruction) -> None:
        picture = picture_beside(Path(run), result.name)
        if not overwrite:
            _check_replaceable(picture, result)
        result.save_figure(picture)
        results.append(result)
        if not json:
            _print_result(console, result, picture)

    if method != "inversion":
        with FrameProgress(console) as lines:
            network = reconstruct(
                run,
                method=cast("NetworkMethod", method or "network"),
                grid=grid,
                weights=weights,
                device=device,
                overwrite=overwrite,
                progress=partial(lines, "lines"),
            )
        show(network)
    if method in {None, "inversion"}:
        with _FitProgress(console) as steps:
            inverted = invert(
                run,
                start=results[0] if results else None,
                prior=cast("PriorName | None", prior),
                refine=cast("list[Refinement]", refine),
                device=device,
                overwrite=overwrite,
                progress=steps,
            )
        show(inverted)
    if json:
        print_json(run=run, results=[_of_result(result) for result in results])
    else:
        _print_frames(console, results[-1])
        console.print(_scores(results))


def _check_options(
    method: str | None, prior: str | None, refine: list[str], of_network: dict[str, Any]
) -> None:
    methods = *get_args(NetworkMethod), "inversion"
    if method not in {None, *methods}:
        raise ConfigError(
            f"--method: expected {', '.join(methods)}, got {method!r}; choose one, or leave it"
            " out for the network and then the inversion"
        )
    if method == "inversion" and of_network:
        raise ConfigError(
            f"--{next(iter(of_network))}: expected a network, got --method inversion, which"
            " has none; leave one of them out"
        )
    if prior is not None:
        check_prior(prior)
    check_refinements(refine)
    for name in given(prior=prior, refine=refine or None):
        if method not in {None, "inversion"}:
            raise ConfigError(
                f"--{name}: expected the inversion, got --method {method}; leave one of them"
                " out"
            )


def _check_replaceable(picture: Path, result: Reconstruction) -> None:
    """Refuse to let go of a file that does not show this very result."""
    if picture.is_file() and _title(picture) != result.title:
        raise ConfigError(
            f"{picture}: expected nothing there, or the picture of the same run and weights,"
            " got another file; the result is in the run: move that file, or add --overwrite"
        )


def _title(picture: Path) -> str | None:
    try:
        with Image.open(picture) as image:
            return image.info.get("Title")
    except OSError:  # no picture
        return None


def _print_result(console: Console, result: Reconstruction, picture: Path) -> None:
    """Say in a few lines how a result came about."""
    console.print(_summary(result), soft_wrap=True)
    for warning in result.warnings:
        line = f"warning: {warning}"
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    for line in _refined(result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"picture: {picture}", markup=False, soft_wrap=True)


def _summary(result: Reconstruction) -> str:
    if result.inversion is None:
        speed = f"{result.frames_per_s:,.0f} frames/s, {result.seconds:.2f} s"
        return f"{result.name}: {speed}, on {result.device}"
    undecided = result.inversion.undecided.mean()
    return (
        f"inversion: reduced chi-squared {result.inversion.chi_squared:.3f},"
        f" {undecided:.1%} of squares undecided, {result.seconds:.0f} s, on {result.device}"
    )


def _refined(result: Reconstruction) -> list[str]:
    """Say what was found besides the sample, and what the frames do not tell."""
    lines = [] if result.light is None else [said(one) for one in result.light.quantities]
    positions = result.inversion and result.inversion.positions
    if positions:
        doubt = "" if positions.is_told else f": {NOT_TOLD}"
        lines.append(
            f"positions: {positions.moved_nm:.1f} nm rms from the stage's,"
            f" +- {positions.error_nm:.1f} nm{doubt}"
        )
    return lines


def _of_result(result: Reconstruction) -> dict[str, Any]:
    speed = {"seconds": result.seconds, "frames_per_s": result.frames_per_s}
    return speed | result.as_dict()


def _print_frames(console: Console, result: Reconstruction) -> None:
    simulated = result.run.info.provenance.simulated
    if simulated:
        console.print(f"SIMULATED {listed(simulated)}: no microscope measured this run")
    points = len(result.run.info.plan)
    console.print(
        f"{result.valid:,} of {points:,} points valid, {result.invalid:,} invalid,"
        f" {result.missing:,} missing",
        soft_wrap=True,
    )
    seen = result.squares.count > 0
    if not seen.all():
        console.print(f"{seen.sum():,} of {seen.size:,} squares were seen; scores are of those")


def _scores(results: list[Reconstruction]) -> Table | str:
    """Scores of all results; nothing where the truth is not known."""
    if results[-1].stitched is None:
        return ""
    table = Table("", "accuracy", "balanced", "F1", "Jaccard", "constant prediction")
    for result in results:
        of_map = {"network": "whole scan", "inversion": "inversion"}.get(
            result.method, "stitched"
        )
        for name, scores in (("per frame", result.frame), (of_map, result.stitched)):
            if scores is not None:
                table.add_row(name, *(f"{value:.3f}" for value in scores.as_dict().values()))
    return table


class _FitProgress:
    """Is called after every step of an inversion: how well it explains the photons by now.

    Use it as a context manager.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("inversion: reads the frames", console=console)

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, step: FitStep) -> None:
        """Show it."""
        tile = f"tile {step.tile} of {step.tiles}, " if step.tiles > 1 else ""
        cells = "squares" if step.cells_per_square == 1 else "finer cells"
        cells = "light" if step.of_light else cells
        said = f"{tile}step {step.steps}, {cells}: reduced chi-squared {step.chi_squared:.3f}"
        self._status.update(f"inversion: {said}")
        if not self._console.is_terminal:
            self._console.print(said)
