"""The command that compares networks: `opticalnet benchmark`."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from opticalnet.benchmarking import Benchmark, benchmark
from opticalnet.console import open_console, print_json
from opticalnet.progress import FrameProgress
from reconstruction.benchmarking.evaluation import groups_of, mean_accuracy
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.spreadsheet import table_rows


def compare_networks(
    weights: Sequence[str],
    folders: str | None,
    out: str,
    device: str,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    """Compare networks, and say what came of it.

    Parameters
    ----------
    weights, folders, out, device, overwrite
        As for ``opticalnet.benchmark``.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with FrameProgress(console) as progress:
        result = benchmark(
            weights,
            folders=folders,
            out=out,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    for warning in result.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if json:
        print_json(
            files=[str(path) for path in result.files],
            seconds=result.seconds,
            missing=list(result.findings.missing),
            results=table_rows(result.findings),
        )
    else:
        _print(console, result)


def _print(console: Console, result: Benchmark) -> None:
    console.print(_summary(result.findings))
    if result.findings.missing:
        names = ", ".join(result.findings.missing)
        said = f"not evaluated: {names}; {result.files[0]} says how to train them"
        console.print(said, markup=False, soft_wrap=True)
    said = f"{result.seconds:.0f} s; report: {result.files[0]}"
    console.print(said, markup=False, soft_wrap=True)


def _summary(findings: Findings) -> Table:
    """Accuracy of whole maps."""
    groups = groups_of(findings.simulated)
    table = Table("SIMULATED, accuracy of maps", *groups)
    for candidate in findings.candidates:
        values = [mean_accuracy(findings.simulated, candidate, group) for group in groups]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        table.add_row(escape(candidate.label_with_length), *cells)
    return table
