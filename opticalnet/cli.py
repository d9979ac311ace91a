"""The command line: parse, make one call, print."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from opticalnet.api import Acquisition, Reconstruction
    from opticalnet.data_sets import Simulation
    from opticalnet.light_view import LightView

app = typer.Typer(
    help="A scanning microscope that sees 180 nm squares with 633 nm light.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Device = Annotated[str, typer.Option(help="Where the network runs: auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command()
def acquire(
    sample: Annotated[
        str, typer.Option(help="ss, light, block, or the path of a PNG or NPY mask.")
    ] = "ss",
    grid: Annotated[int, typer.Option(help="Squares that a frame tells of: 3, 5 or 7.")] = 7,
    instrument: Annotated[
        str, typer.Option(help="Name of a preset, or path of a TOML file.")
    ] = "simulated",
    out: Annotated[str, typer.Option(help="Where the run goes.")] = "run.zarr",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rehearse on simulated devices; record nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random in a simulation.")] = 0,
    density: Annotated[float, typer.Option(help="Open fraction of block.")] = 0.35,
    exposure_ms: Annotated[float, typer.Option(help="Exposure of a frame.")] = 10.0,
    max_residual: Annotated[
        float, typer.Option(help="Change of the landmark's light that pauses the scan.")
    ] = 0.04,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Scan a sample into a run, and watch the map appear."""
    from opticalnet.api import acquire as call
    from opticalnet.preview import Preview
    from reconstruction.predictor import choose_device

    console = _console(json)
    ask = console.is_terminal and sys.stdin.isatty() and not json
    preview = Preview(console, choose_device(device), None if dry_run else out, ask=ask)
    try:
        with ExitStack() as screen:
            screen.callback(preview.end)
            result = call(
                sample,
                grid=grid,
                instrument=instrument,
                out=out,
                seed=seed,
                density=density,
                exposure_ms=exposure_ms,
                max_residual=max_residual,
                dry_run=dry_run,
                observer=preview,
            )
    except KeyboardInterrupt:
        _fail(_stopped(None if dry_run else out, preview.points), 130)
    if json:
        _print_json(
            run=None if result.path is None else str(result.path),
            points=result.points,
            valid=result.valid,
            seconds=result.seconds,
            simulated=result.simulated,
        )
    else:
        _print_acquisition(console, result)


@app.command()
def reconstruct(
    run: Annotated[str, typer.Argument(help="Path of the run.")],
    grid: Annotated[
        int | None, typer.Option(help="Squares that a frame tells of: 3, 5 or 7.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Turn the frames of a run into a map, kept in the run and as a PNG beside it."""
    from rich.progress import Progress

    from opticalnet.api import reconstruct as call

    console = _console(json)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("lines", total=None)
        result = call(
            run,
            grid=grid,
            device=device,
            progress=lambda done, lines: bar.update(task, completed=done, total=lines),
        )
    picture = _beside(Path(run), f"network-{result.mosaic.grid}.png")
    result.save_figure(picture)
    if json:
        _print_json(
            run=run,
            method="network",
            grid=result.mosaic.grid,
            seconds=result.seconds,
            frames_per_s=result.frames_per_s,
            simulated=result.run.info.provenance.simulated,
            frame=result.frame and result.frame.as_dict(),
            stitched=result.stitched and result.stitched.as_dict(),
        )
    else:
        _print_reconstruction(console, result)
        console.print(f"picture: {picture}", markup=False, soft_wrap=True)


@app.command()
def simulate(
    context: typer.Context,
    preset: Annotated[
        str, typer.Option(help="Name of a data set, or path of a TOML file.")
    ] = "paper",
    out: Annotated[
        str | None,
        typer.Option(help="Where it goes: set.zarr, or with --show light.png, if not given."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads on this machine; one a core if not given.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers do it, tcp://HOST:PORT.")
    ] = None,
    tiff: Annotated[
        str | None, typer.Option(help="Folder for the same as TIFF files, as in the paper.")
    ] = None,
    grid: Annotated[
        int | None, typer.Option(help="Squares in TIFF targets: 3, 5 or 7; 3 if not given.")
    ] = None,
    show: Annotated[
        bool,
        typer.Option("--show", help="Draw the light of an instrument; simulate no data set."),
    ] = False,
    instrument: Annotated[
        str, typer.Option(help="With --show: name of a preset, or path of a TOML file.")
    ] = "simulated",
    sample: Annotated[
        str, typer.Option(help="With --show: ss, light, block, or the path of a mask.")
    ] = "ss",
    json: Json = False,
) -> None:
    """Simulate a data set, with a datasheet beside it; or show the light it is made of."""
    _check_mode(context, show)
    if show:
        return _show_light(instrument, sample, out or "light.png", json)
    from opticalnet.data_sets import simulate as call
    from opticalnet.progress import FrameProgress

    out = out or "set.zarr"
    console = _console(json)
    try:
        with FrameProgress(console) as progress:
            result = call(
                preset,
                out=out,
                seed=seed,
                workers=workers,
                scheduler=scheduler,
                tiff=tiff,
                grid=grid,
                progress=progress,
            )
    except KeyboardInterrupt:
        kept = f"{out} is there" if Path(out).exists() else "nothing was kept"
        _fail(f"stopped; {kept}", 130)
    if json:
        _print_json(**_simulation_facts(result), tiff=tiff)
    else:
        _print_simulation(console, result)


def main() -> None:
    """Run the command line; every known failure is one red line and exit code 1."""
    from configs.errors import OpticalNetError

    try:
        app()
    except OpticalNetError as error:
        _fail("; ".join([str(error), *getattr(error, "__notes__", ())]), 1)


def _fail(message: str, code: int) -> None:
    from rich.console import Console
    from rich.text import Text

    text = Text(" ".join(f"error: {message}".split()), style="red")
    Console(stderr=True).print(text, soft_wrap=True)
    raise SystemExit(code)


def _stopped(out: str | None, points: int) -> str:
    """Say what there is after Ctrl-C; ``None`` was a dry run."""
    if out is None:
        return "stopped; a dry run records nothing"
    if points:
        return f"stopped; every point up to there is in {out}: opticalnet reconstruct {out}"
    remedy = f"; remove {out} or choose another --out" if Path(out).exists() else ""
    return f"stopped before the first point: nothing to reconstruct{remedy}"


def _beside(run: Path, ending: str) -> Path:
    """Return the path of a file beside a run, also of one called ``.`` or ``..``."""
    named = run.resolve() if run.name in {"", ".."} else run
    return named.with_name(f"{named.name.removesuffix('.zarr')}.{ending}")


def _console(json: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=json, highlight=False)


def _print_json(**values: Any) -> None:
    import json

    sys.stdout.write(json.dumps(values) + "\n")


def _print_acquisition(console: "Console", result: "Acquisition") -> None:
    kind = f"simulated {' and '.join(result.simulated)}" if result.simulated else "measured"
    console.print(
        f"{result.valid:,} of {result.points:,} points valid,"
        f" {result.seconds:.0f} s on the instrument's clock, {kind}",
        soft_wrap=True,
    )
    if result.path is None:
        console.print("dry run: nothing was recorded")
    else:
        console.print(f"run: {result.path}", markup=False, soft_wrap=True)


def _check_mode(context: typer.Context, show: bool) -> None:
    """Refuse options that go with a data set only, or with a picture of the light only."""
    from configs.errors import ConfigError

    for_light = {"instrument", "sample"}
    for name in sorted(context.params.keys() - {"out", "json", "show"}):
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and (name in for_light) != show:
            other = "no --show beside it" if show else "--show beside it"
            raise ConfigError(f"--{name}: expected {other}; give one and leave out the other")


def _show_light(instrument: str, sample: str, out: str, json: bool) -> None:
    from opticalnet.light_view import view_light

    console = _console(json)
    try:
        with console.status("light on its way"):
            view = view_light(instrument, sample)
            view.save_figure(out)
    except KeyboardInterrupt:
        _fail("stopped; no picture was kept", 130)
    if json:
        _print_json(picture=out, simulated=True, **view.as_dict())
    else:
        _print_light(console, view)
        console.print(f"picture: {out}", markup=False, soft_wrap=True)


def _print_light(console: "Console", view: "LightView") -> None:
    from opticalnet.light_preview import light_preview, light_summary

    summary = light_summary(view)
    if console.is_terminal and console.color_system is not None:
        console.print(light_preview(view, console.width, console.height - len(summary) - 4))
    for line in summary:
        console.print(line, soft_wrap=True, markup=False)


def _simulation_facts(result: "Simulation") -> dict[str, Any]:
    return {
        "set": str(result.path),
        "datasheet": str(result.datasheet),
        "frames": result.frames,
        "parts": {part.path: part.frames for part in result.info.parts},
        "seed": result.info.plan.seed,
        "seconds": result.seconds,
        "frames_per_s": result.frames / result.seconds,
        "simulated": True,
    }


def _print_simulation(console: "Console", result: "Simulation") -> None:
    for part in result.info.parts:
        console.print(f"{part.path}: {part.frames:,} frames, samples: {part.scans}")
    rate = result.frames / result.seconds
    console.print(f"{rate:,.0f} frames/s, {result.seconds:.1f} s, SIMULATED")
    for name, path in (("set", result.path), ("datasheet", result.datasheet)):
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)


def _print_reconstruction(console: "Console", result: "Reconstruction") -> None:
    from rich.table import Table

    simulated = result.run.info.provenance.simulated
    if simulated:
        console.print(f"SIMULATED {' and '.join(simulated)}: no microscope measured this run")
    console.print(f"{result.frames_per_s:,.0f} frames/s, {result.seconds:.2f} s")
    seen = result.mosaic.count > 0
    if not seen.all():
        console.print(f"{seen.sum():,} of {seen.size:,} squares were seen; scores are of those")
    if result.frame is None or result.stitched is None:
        return
    table = Table("", "accuracy", "balanced", "F1", "Jaccard", "constant prediction")
    for name, scores in (("per frame", result.frame), ("stitched", result.stitched)):
        table.add_row(name, *(f"{value:.3f}" for value in scores.as_dict().values()))
    console.print(table)
