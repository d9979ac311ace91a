"""The command that turns a run into a map: `opticalnet reconstruct`."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from opticalnet.api import Reconstruction, reconstruct
from opticalnet.console import open_console, print_json


def reconstruct_run(
    run: str, method: Any, grid: int | None, weights: str | None, device: str, *, json: bool
) -> None:
    """Reconstruct, draw, and say what came of it.

    Parameters
    ----------
    run
        Path of the run.
    method, grid, weights, device
        As for ``opticalnet.reconstruct``, which checks them.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("lines", total=None)
        result = reconstruct(
            run,
            method=method,
            grid=grid,
            weights=weights,
            device=device,
            progress=lambda done, lines: bar.update(task, completed=done, total=lines),
        )
    picture = _beside(Path(run), f"{result.name}.png")
    result.save_figure(picture)
    if json:
        print_json(run=run, **_facts(result))
    else:
        _print_result(console, result)
        console.print(f"picture: {picture}", markup=False, soft_wrap=True)


def _beside(run: Path, ending: str) -> Path:
    """Return the path of a file beside a run, also of one called ``.`` or ``..``."""
    named = run.resolve() if run.name in {"", ".."} else run
    return named.with_name(f"{named.name.removesuffix('.zarr')}.{ending}")


def _facts(result: Reconstruction) -> dict[str, Any]:
    return {
        "method": result.method,
        "grid": result.grid,
        "seconds": result.seconds,
        "frames_per_s": result.frames_per_s,
        "simulated": result.run.info.provenance.simulated,
        "unexplained": result.consistency.unexplained,
        "warning": result.consistency.warning,
        "frame": result.frame and result.frame.as_dict(),
        "stitched": result.stitched and result.stitched.as_dict(),
    }


def _print_result(console: Console, result: Reconstruction) -> None:
    simulated = result.run.info.provenance.simulated
    if simulated:
        console.print(f"SIMULATED {' and '.join(simulated)}: no microscope measured this run")
    console.print(f"{result.frames_per_s:,.0f} frames/s, {result.seconds:.2f} s")
    if result.consistency.warning:
        warning = f"warning: {result.consistency.warning}"
        console.print(warning, style="yellow", markup=False, soft_wrap=True)
    seen = result.mosaic.count > 0
    if not seen.all():
        console.print(f"{seen.sum():,} of {seen.size:,} squares were seen; scores are of those")
    if result.stitched is None:
        return
    table = Table("", "accuracy", "balanced", "F1", "Jaccard", "constant prediction")
    squares = "whole scan" if result.method == "network" else "stitched"
    for name, scores in (("per frame", result.frame), (squares, result.stitched)):
        if scores is not None:
            table.add_row(name, *(f"{value:.3f}" for value in scores.as_dict().values()))
    console.print(table)
