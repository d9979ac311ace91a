"""The command that turns a run into a map: `opticalnet reconstruct`."""

from functools import partial
from pathlib import Path
from typing import cast

from PIL import Image
from rich.console import Console
from rich.table import Table

from configs.errors import ConfigError
from opticalnet.console import open_console, print_json
from opticalnet.progress import FrameProgress
from opticalnet.reconstructing import Method, Reconstruction, reconstruct


def reconstruct_run(
    run: str,
    method: str,
    grid: int | None,
    weights: str | None,
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
    method, grid, weights, device
        As for ``opticalnet.reconstruct``, which checks them.
    overwrite
        Whether a result of other weights may go, and a picture of another result.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with FrameProgress(console) as progress:
        result = reconstruct(
            run,
            method=cast("Method", method),
            grid=grid,
            weights=weights,
            device=device,
            overwrite=overwrite,
            progress=partial(progress, "lines"),
        )
    picture = _beside(Path(run), f"{result.name}.png")
    if not overwrite:
        _check_replaceable(picture, result)
    result.save_figure(picture)
    if json:
        speed = {"seconds": result.seconds, "frames_per_s": result.frames_per_s}
        print_json(run=run, **speed, **result.as_dict())
    else:
        _print_result(console, result)
        console.print(f"picture: {picture}", markup=False, soft_wrap=True)


def _beside(run: Path, ending: str) -> Path:
    """Return the path of a file beside a run, also of one called ``.`` or ``..``."""
    named = run.resolve() if run.name in {"", ".."} else run
    return named.with_name(f"{named.name.removesuffix('.zarr')}.{ending}")


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


def _print_result(console: Console, result: Reconstruction) -> None:
    simulated = result.run.info.provenance.simulated
    if simulated:
        console.print(f"SIMULATED {' and '.join(simulated)}: no microscope measured this run")
    points = len(result.run.info.plan)
    console.print(
        f"{result.valid:,} of {points:,} points valid, {result.invalid:,} invalid,"
        f" {result.missing:,} missing",
        soft_wrap=True,
    )
    speed = f"{result.frames_per_s:,.0f} frames/s, {result.seconds:.2f} s"
    console.print(f"{speed}, on {result.device}")
    for warning in result.warnings:
        line = f"warning: {warning}"
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    seen = result.squares.count > 0
    if not seen.all():
        console.print(f"{seen.sum():,} of {seen.size:,} squares were seen; scores are of those")
    if result.stitched is not None:
        console.print(_scores(result))


def _scores(result: Reconstruction) -> Table:
    table = Table("", "accuracy", "balanced", "F1", "Jaccard", "constant prediction")
    squares = "whole scan" if result.method == "network" else "stitched"
    for name, scores in (("per frame", result.frame), (squares, result.stitched)):
        if scores is not None:
            table.add_row(name, *(f"{value:.3f}" for value in scores.as_dict().values()))
    return table
