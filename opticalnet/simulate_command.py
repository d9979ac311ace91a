"""The commands that make data sets: `opticalnet simulate` and `opticalnet export-tiff`."""

from functools import partial
from typing import TYPE_CHECKING, Any

from opticalnet.console import interruptible, kept, open_console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from opticalnet.data_sets import Simulation


def simulate_set(options: dict[str, Any], out: str, *, json: bool) -> None:
    """Simulate a data set, and say what is in it.

    Parameters
    ----------
    options
        Those that were given of preset, seed, workers, scheduler, tiff and grid, as for
        ``opticalnet.simulate``.
    out
        Where it goes.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with interruptible(lambda: f"stopped; {kept(out)}"):
        from opticalnet.data_sets import simulate
        from opticalnet.progress import FrameProgress

        with FrameProgress(console) as progress:
            result = simulate(out=out, progress=progress, **options)
    if json:
        print_json(**_facts(result), tiff=options.get("tiff"))
    else:
        _print(console, result)


def write_tiff(set_path: str, folder: str, grid: int, *, json: bool) -> None:
    """Write a data set that is there already as TIFF files.

    Parameters
    ----------
    set_path, folder, grid
        As for ``opticalnet.export_tiff``.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with interruptible(lambda: f"stopped; {kept(folder)}"):
        from opticalnet.progress import FrameProgress
        from simulation.datasets.paper_folders import export_tiff

        with FrameProgress(console) as progress:
            export_tiff(set_path, folder, grid, partial(progress, "TIFF"))
    if json:
        print_json(set=set_path, tiff=folder, grid=grid)
    else:
        console.print(f"TIFF: {folder}", markup=False, soft_wrap=True)


def _facts(result: "Simulation") -> dict[str, Any]:
    return {
        "set": str(result.path),
        "datasheet": str(result.datasheet),
        "frames": result.frames,
        "parts": {part.path: part.frames for part in result.info.parts},
        "seed": result.info.plan.seed,
        "seconds": result.seconds,
        "frames_per_s": result.frames_per_s,
        "simulated": True,
    }


def _print(console: "Console", result: "Simulation") -> None:
    for part in result.info.parts:
        console.print(f"{part.path}: {part.frames:,} frames, samples: {part.scans}")
    console.print(f"{result.frames_per_s:,.0f} frames/s, {result.seconds:.1f} s, SIMULATED")
    for name, path in (("set", result.path), ("datasheet", result.datasheet)):
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)
