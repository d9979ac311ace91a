"""The report of a benchmark on disk, which is written in full before it takes its place."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from configs.drafts import check_absent
from opticalnet.benchmark_figures import save_maps, save_reliability
from reconstruction.benchmarking.document import as_html, as_markdown
from reconstruction.benchmarking.evaluation import Result
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.report import report
from reconstruction.benchmarking.spreadsheet import table_rows, write_csv

FILES: Final = ("benchmark.md", "benchmark.csv", "benchmark.html")
_PICTURES: Final = "benchmark-pictures"
_RELIABILITY: Final = "reliability.png"


def check_free(folder: Path) -> None:
    """Raise ``RunStoreError`` if there is a report, or a part of one."""
    for name in (*FILES, _PICTURES):
        check_absent(folder / name, "choose another --out, or add --overwrite")


def picture_titles(simulated: Sequence[Result], measured: Sequence[Result]) -> dict[str, str]:
    """Return the names of the pictures, and what they show."""
    names = {_map_name(r): f"{r.group}: maps and errors" for r in (*simulated, *measured)}
    return names | {_RELIABILITY: "reliability of every network, simulation"}


def write_files(draft: Path, folder: Path, findings: Findings) -> None:
    """Write everything into a new folder, then give it its place in another.

    An earlier report there goes. It takes four renames: if the disk fails between them, a
    part of each report is there.
    """
    pictures = draft / _PICTURES
    pictures.mkdir(parents=True)
    _draw(pictures, findings)
    blocks, (markdown, table, page) = report(findings), (draft / name for name in FILES)
    markdown.write_text(as_markdown(blocks, _PICTURES), encoding="utf-8")
    write_csv(table, table_rows(findings))
    page.write_text(as_html(blocks, pictures), encoding="utf-8")
    if (folder / _PICTURES).exists():
        os.replace(folder / _PICTURES, draft / "earlier")
    for name in (_PICTURES, *FILES):
        os.replace(draft / name, folder / name)


def _map_name(result: Result) -> str:
    folder = "folder-" if result.seed is None else ""
    return f"{folder}{result.group.lower().replace(' ', '-')}.png"


def _draw(pictures: Path, findings: Findings) -> None:
    """Draw the first scan of every kind, and the reliability on all."""
    by_scan: dict[str, list[Result]] = {}
    for result in findings.results:
        there = by_scan.setdefault(_map_name(result), [])
        if not there or there[0].seed == result.seed:
            there.append(result)
    for name, results in by_scan.items():
        seed = results[0].seed
        stamp = "folder" if seed is None else f"seed {seed}, SIMULATED"
        save_maps(pictures / name, f"{results[0].group}, {stamp}", results)
    save_reliability(pictures / _RELIABILITY, findings.simulated)
