"""The command that hands networks to other programs: `opticalnet export`."""

from opticalnet.console import open_console, print_json
from opticalnet.exporting import export


def export_network(
    weights: str, out: str, grid: int | None, *, overwrite: bool, json: bool
) -> None:
    """Write a network for other programs, and say how well it agrees.

    Parameters
    ----------
    weights, out, grid, overwrite
        As for ``opticalnet.export``.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with console.status("writing and checking"):
        result = export(weights, out, grid=grid, overwrite=overwrite)
    difference = result.largest_difference
    if json:
        print_json(out=out, weights=weights, model=result.model, largest_difference=difference)
        return
    console.print(f"{result.model}: within {difference:.1g} of torch's probabilities")
    console.print(f"file: {result.path}", markup=False, soft_wrap=True)
