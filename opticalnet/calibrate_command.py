"""The command that finds out what an instrument is: `opticalnet calibrate`."""

from dataclasses import asdict

from rich.table import Table

from configs.toml import load_instrument
from opticalnet.calibrating import calibrate
from opticalnet.console import open_console, print_json


def calibrate_run(
    run: str,
    truth: str | None,
    instrument: str | None,
    out: str,
    *,
    aberrations: bool,
    overwrite: bool,
    json: bool,
) -> None:
    """Calibrate, and say what came of it.

    Parameters
    ----------
    run, truth, out, aberrations, overwrite
        As for ``opticalnet.calibrate``.
    instrument
        Whose optics it begins with; those of the run if not given.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with console.status("calibrating") as status:
        result = calibrate(
            run,
            truth,
            out=out,
            optics=None if instrument is None else load_instrument(instrument).optics,
            aberrations=aberrations,
            overwrite=overwrite,
            progress=lambda step, chi_squared: status.update(
                f"calibrating: step {step + 1}, reduced chi-squared {chi_squared:.3f}"
            ),
        )
    found = result.calibration
    if json:
        print_json(
            run=run,
            out=out,
            frames=found.frames,
            chi_squared_before=found.chi_squared_before,
            chi_squared_after=found.chi_squared_after,
            open_peak_e_per_ms=result.open_peak_e_per_ms,
            quantities=[asdict(one) for one in found.quantities],
        )
        return
    table = Table("", "before", "after", "1 sd", "")
    for one in found.quantities:
        doubt = "" if one.is_told else "not identifiable"
        numbers = f"{one.before:.6g}", f"{one.after:.6g}", f"{one.error:.2g} {one.unit}"
        table.add_row(one.name, *numbers, doubt)
    console.print(table)
    console.print(
        f"reduced chi-squared of {found.frames} frames: {found.chi_squared_before:.3f} before,"
        f" {found.chi_squared_after:.3f} after"
    )
    console.print(f"calibration: {result.path}", markup=False, soft_wrap=True)
