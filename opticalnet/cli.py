"""The command line: parse, make one call, print."""

from importlib import import_module
from typing import Annotated, Any

import typer

from configs.defaults import (
    DEFAULT_EXPOSURE_MS,
    DEFAULT_FINISH_SHARE,
    DEFAULT_MAX_CHI_SQUARED,
)
from configs.grid import LARGEST_GRID
from opticalnet.console import fail, given, interruptible, kept, refuse

app = typer.Typer(
    help="A scanning microscope that sees 180 nm squares with 633 nm light.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Device = Annotated[str, typer.Option(help="Where the network runs: auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_SAMPLES = "ss, light, block, grating, qr, or the path of a PNG or NPY mask or a TOML sample"


@app.command()
def acquire(
    context: typer.Context,
    sample: Annotated[str, typer.Option(help=f"{_SAMPLES}.")] = "ss",
    grid: Annotated[
        int, typer.Option(help="Squares that a frame tells of: 3, 5 or 7.")
    ] = LARGEST_GRID,
    instrument: Annotated[
        str, typer.Option(help="Name of a preset, or path of a TOML file.")
    ] = "simulated",
    out: Annotated[str, typer.Option(help="Where the run goes.")] = "run.zarr",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rehearse on simulated devices; record nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random in a simulation.")] = 0,
    density: Annotated[
        float | None, typer.Option(help="Open fraction of block; 0.35 if not given.")
    ] = None,
    exposure_ms: Annotated[
        float, typer.Option(help="Exposure of a frame.")
    ] = DEFAULT_EXPOSURE_MS,
    max_chi_squared: Annotated[
        float, typer.Option(help="Misfit of the landmark that pauses the scan.")
    ] = DEFAULT_MAX_CHI_SQUARED,
    finish: Annotated[
        float,
        typer.Option(help="Further looks where predictions disagree; share of the points."),
    ] = DEFAULT_FINISH_SHARE,
    faults: Annotated[
        str | None,
        typer.Option(help="TOML file of what goes wrong in a dry run, to rehearse it."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Run to go on with; it knows all the rest.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Scan a sample into a run, and watch the map appear."""
    from opticalnet.acquire_command import acquire_run

    options = {
        "sample": sample,
        "grid": grid,
        "instrument": instrument,
        "out": out,
        "seed": seed,
        "density": density,
        "exposure_ms": exposure_ms,
        "max_chi_squared": max_chi_squared,
        "finish": finish,
        "dry_run": dry_run,
        "faults": faults,
    }
    if resume is not None:
        options = _given_with_resume(context, options)
    acquire_run(options, resume, device, json=json)


def _given_with_resume(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not said: a run knows it."""
    sources = {name: context.get_parameter_source(name) for name in options}
    said = {
        name: options[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
    for name in ("out", "dry_run", "faults"):
        if name in said:
            fail(f"--resume goes on in its run: leave out --{name.replace('_', '-')}", 2)
    return said


@app.command()
def reconstruct(
    run: Annotated[str, typer.Argument(help="Path of the run.")],
    method: Annotated[
        str | None,
        typer.Option(
            help="network (whole scan), frames (each alone, averaged), pooled, or inversion;"
            " network and then inversion if not given."
        ),
    ] = None,
    grid: Annotated[
        int | None, typer.Option(help="Squares that a frame tells of: 3, 5 or 7.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="From opticalnet train; those that ship if not given.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Of the inversion: smooth, binary or none.")
    ] = None,
    refine: Annotated[
        list[str] | None,
        typer.Option(
            help="Found with the sample: light, aberrations or positions; once for each."
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of a result or picture of others.")
    ] = False,
    json: Json = False,
) -> None:
    """Turn the frames of a run into a map, kept in the run and as a PNG beside it."""
    with interruptible(lambda: f"stopped; the frames of {run} are as they were"):
        from opticalnet.reconstruct_command import reconstruct_run

        reconstruct_run(
            run,
            method,
            grid,
            weights,
            prior,
            refine or [],
            device,
            overwrite=overwrite,
            json=json,
        )


@app.command()
def resolution(
    run: Annotated[str, typer.Argument(help="Path of a run with results in it.")],
    spokes: Annotated[
        int | None,
        typer.Option(help="Open spokes of the star that it shows; known of simulated ones."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Of the picture; beside the run if not given.")
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of an earlier picture.")
    ] = False,
    json: Json = False,
) -> None:
    """Say how fine a structure the maps of a run show, beside the diffraction limit."""
    with interruptible(lambda: "stopped; nothing was kept"):
        from opticalnet.resolution_command import show_resolution

        show_resolution(run, spokes, out, device, overwrite=overwrite, json=json)


@app.command()
def calibrate(
    run: Annotated[str, typer.Argument(help="Path of a run.")],
    truth: Annotated[
        str | None,
        typer.Option(
            help="Its sample, as for acquire; none: unknown. A simulated run knows its own."
        ),
    ] = None,
    instrument: Annotated[
        str | None, typer.Option(help="Whose optics it begins with; the run's if not given.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Where the result goes, for `include` in the instrument's file.")
    ] = "calibration.toml",
    aberrations: Annotated[
        bool, typer.Option("--aberrations", help="Fit those of the collecting objective too.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of an earlier file there.")
    ] = False,
    json: Json = False,
) -> None:
    """Find out from a run what its instrument really is."""
    with interruptible(lambda: f"stopped; {kept(out)}"):
        from opticalnet.calibrate_command import calibrate_run

        calibrate_run(
            run,
            truth,
            instrument,
            out,
            aberrations=aberrations,
            overwrite=overwrite,
            json=json,
        )


@app.command()
def simulate(
    preset: Annotated[
        str | None,
        typer.Option(help="Name of a data set, or path of a TOML file; paper if not given."),
    ] = None,
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
        str | None,
        typer.Option(help="With --show: as for acquire; simulated if not given."),
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="With --show: as for acquire; ss if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Simulate a data set, with a datasheet beside it; or show the light it is made of."""
    of_light = given(instrument=instrument, sample=sample)
    of_set = given(
        preset=preset, seed=seed, workers=workers, scheduler=scheduler, tiff=tiff, grid=grid
    )
    refuse(of_set if show else of_light, "no --show" if show else "--show")
    if show:
        from configs.drafts import named
        from opticalnet.light_command import show_light

        picture = named("light.png" if out is None else out, "out")
        show_light(of_light, str(picture), json=json)
    else:
        from opticalnet.simulate_command import simulate_set

        simulate_set(of_set, "set.zarr" if out is None else out, json=json)


@app.command()
def export_tiff(
    set_path: Annotated[str, typer.Argument(metavar="SET", help="Path of a data set.")],
    folder: Annotated[str, typer.Argument(help="Where the TIFF files go, as in the paper.")],
    grid: Annotated[int, typer.Option(help="Squares in their targets: 3, 5 or 7.")] = 3,
    json: Json = False,
) -> None:
    """Write a data set that is there already as TIFF files."""
    from opticalnet.simulate_command import write_tiff

    write_tiff(set_path, folder, grid, json=json)


@app.command()
def train(
    model: Annotated[
        str | None,
        typer.Option(
            help="scan or frame, the ones that ship; or resunet-a, attention-unet, resnet-18,"
            " resnet-34, transformer."
        ),
    ] = None,
    instrument: Annotated[
        str | None,
        typer.Option(help="With scan or frame: whose optics; simulated if not given."),
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(help="Folder of masks or samples of yours to fine-tune scan on."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A simulated set, or folders as in the paper; for fresh frames a set or"
            " the name or TOML file of one. If not given: set.zarr, or paper for fresh frames."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="paper, fresh, or a TOML file; paper if not given.")
    ] = None,
    grid: Annotated[
        int | None, typer.Option(help="Squares that a frame tells of; 3 if not given.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="What it trains on: auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="How many of them.")] = 1,
    precision: Annotated[
        str | None, typer.Option(help="32 or bf16-mixed; 32 if not given.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for weights and log; training if not given.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of an earlier training there.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(help="Folder of a training to go on with.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a network, one that ships or one of the paper's benchmark; keep its best epoch."""
    options = given(
        model=model,
        instrument=instrument,
        shapes=shapes,
        data=data,
        recipe=recipe,
        grid=grid,
        epochs=epochs,
        seed=seed,
        precision=precision,
        out=out,
        overwrite=overwrite or None,
    )
    command = "opticalnet.train_command"  # imports torch
    with interruptible(lambda: str(import_module(command).stopped(resume or out))):
        from opticalnet.train_command import train_network

        train_network(options, resume, device, devices, json=json)


@app.command()
def export(
    weights: Annotated[str, typer.Argument(help="frame, scan, or the path of a weights file.")],
    out: Annotated[
        str, typer.Option(help="NAME.onnx, or NAME.zip: a package for bioimage.io.")
    ],
    grid: Annotated[
        int | None,
        typer.Option(help="Squares that a frame tells of: 3, 5 or 7; 7 if not given."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of an earlier file there.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a network for other programs, and check it there."""
    with interruptible(lambda: f"stopped; {kept(out)}"):
        from opticalnet.export_command import export_network

        export_network(weights, out, grid, overwrite=overwrite, json=json)


@app.command()
def benchmark(
    weights: Annotated[
        list[str] | None,
        typer.Argument(help="From opticalnet train, beside those that ship."),
    ] = None,
    folders: Annotated[
        str | None, typer.Option(help="Measured set in the paper's layout, or hf://OWNER/NAME.")
    ] = None,
    out: Annotated[str, typer.Option(help="Folder for the report.")] = "benchmark",
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let go of an earlier report there.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare networks on samples that none was trained on, beside the paper's tables."""
    with interruptible(lambda: "stopped; nothing was kept"):
        from opticalnet.benchmark_command import compare_networks

        compare_networks(weights or [], folders, out, device, overwrite=overwrite, json=json)


def main() -> None:
    """Run the command line; every known failure is one red line and exit code 1."""
    from configs.errors import OpticalNetError

    try:
        app()
    except OpticalNetError as error:
        fail("; ".join([str(error), *getattr(error, "__notes__", ())]), 1)
