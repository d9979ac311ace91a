"""The command that scans: `opticalnet acquire`."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opticalnet.console import interruptible, listed, open_console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from opticalnet.acquiring import Acquisition
    from opticalnet.preview import Preview


def acquire_run(
    options: dict[str, Any], resumed: str | None, device: str, *, json: bool
) -> None:
    """Scan a sample with a live map, and say what came of it.

    Parameters
    ----------
    options
        As for ``opticalnet.acquire``, which checks them; with ``resumed`` only those that
        were given, for ``opticalnet.resume``.
    resumed
        The run to go on with, or ``None``.
    device
        Where live network and inversion run: auto, cpu or cuda.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    out = resumed or (None if options["dry_run"] else options["out"])
    preview: Preview | None = None
    with interruptible(lambda: _stopped(out, preview)):
        from opticalnet.acquiring import acquire, resume

        ask = console.is_terminal and sys.stdin.isatty() and not json
        preview = _open_preview(console, device, out, ask=ask)
        try:
            if resumed is None:
                result = acquire(**options, observer=preview)
            else:
                result = resume(resumed, observer=preview, **options)
            preview.catch_up()
        finally:
            preview.end()
    if json:
        print_json(**_facts(result))
    else:
        _print(console, result)


def _open_preview(console: "Console", device: str, out: str | None, *, ask: bool) -> "Preview":
    from opticalnet.preview import Preview
    from reconstruction.predictor import choose_device

    return Preview(console, choose_device(device), out, ask=ask)


def _stopped(out: str | None, preview: "Preview | None") -> str:
    """Say what there is after Ctrl-C; without ``out`` it was a dry run."""
    if out is None:
        return "stopped; a dry run records nothing"
    if preview is not None and preview.points:
        return (
            f"stopped; every point up to there is in {out}:"
            f" opticalnet acquire --resume {out} goes on"
        )
    if (Path(out) / "journal.jsonl").exists():
        return f"stopped before a new point: opticalnet acquire --resume {out} goes on"
    remedy = f"; remove {out} or choose another --out" if Path(out).exists() else ""
    return f"stopped before the first point: nothing to reconstruct{remedy}"


def _facts(result: "Acquisition") -> dict[str, Any]:
    return {
        "run": None if result.path is None else str(result.path),
        "points": result.points,
        "valid": result.valid,
        "seconds": result.seconds,
        "dose_j_per_cm2": result.dose_j_per_cm2,
        "megabytes": result.megabytes,
        "simulated": result.simulated,
    }


def _print(console: "Console", result: "Acquisition") -> None:
    kind = f"simulated {listed(result.simulated)}" if result.simulated else "measured"
    console.print(
        f"{result.valid:,} of {result.points:,} points valid,"
        f" {result.seconds:.0f} s on the instrument's clock, {kind}",
        soft_wrap=True,
    )
    if result.faults is not None:
        told = ", ".join(f"{count:,} x {name}" for name, count in result.faults.items())
        console.print(f"what went wrong, as rehearsed: {told or 'nothing'}", soft_wrap=True)
    if result.path is None:
        duration = timedelta(seconds=round(result.seconds))
        console.print(
            f"dry run: nothing was recorded; the scan would take {duration} and"
            f" {result.megabytes:,.0f} MB at most, and give no place more than"
            f" {result.dose_j_per_cm2:.2g} J/cm2",
            soft_wrap=True,
        )
    else:
        console.print(f"run: {result.path}", markup=False, soft_wrap=True)
