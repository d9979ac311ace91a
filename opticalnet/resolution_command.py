"""The command that says how fine a structure a run shows: `opticalnet resolution`."""

import math
from pathlib import Path

from rich.table import Table

from configs.drafts import check_absent, named
from opticalnet.console import open_console, picture_beside, print_json
from opticalnet.resolving import Resolution, resolve


def show_resolution(
    run: str, spokes: int | None, out: str | None, device: str, *, overwrite: bool, json: bool
) -> None:
    """Measure the resolution of a run's results, and draw it.

    Parameters
    ----------
    run, spokes, device
        As for ``opticalnet.resolve``.
    out
        Of the picture; beside the run if not given.
    overwrite
        Whether an earlier picture may go.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    picture = picture_beside(Path(run), "resolution") if out is None else named(out, "--out")
    if not overwrite:
        check_absent(picture, "add --overwrite")
    with console.status("inverting two halves of the frames"):
        resolution = resolve(run, spokes=spokes, device=device)
    resolution.save_figure(picture)
    if json:
        print_json(run=run, **_as_dict(resolution))
        return
    console.print(_table(resolution))
    console.print(f"picture: {picture}", markup=False, soft_wrap=True)


def _as_dict(resolution: Resolution) -> dict[str, object]:
    return {
        "limit_nm": resolution.limit_nm,
        "contrast": {
            name: {"resolved_nm": _number(one.resolved_nm), "error_nm": _number(one.error_nm)}
            for name, one in resolution.contrasts.items()
        },
        "correlation": {"resolved_nm": _number(resolution.correlation.resolved_nm)},
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _table(resolution: Resolution) -> Table:
    table = Table("", "resolved period")
    for name, one in resolution.contrasts.items():
        table.add_row(f"star at 26 % contrast, {name}", one.said)
    table.add_row("ring correlation of half scans, 1/7", resolution.correlation.said)
    table.add_row("diffraction limit \u03bb / (2 NA)", f"{resolution.limit_nm:.0f} nm")
    return table
