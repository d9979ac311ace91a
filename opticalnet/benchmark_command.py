"""The command that compares networks: `opticalnet benchmark`."""

import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import ConfigError, ReconstructionError
from configs.toml import load_instrument
from opticalnet.benchmark_figures import save_maps, save_reliability
from opticalnet.benchmark_scans import (
    INSTRUMENT,
    SUBJECTS,
    Subject,
    folder_exams,
    scan_subject,
)
from opticalnet.console import open_console, print_json
from opticalnet.progress import FrameProgress
from reconstruction.baselines.registry import BASELINES
from reconstruction.benchmarking.contenders import Contender, open_contenders
from reconstruction.benchmarking.document import as_html, as_markdown
from reconstruction.benchmarking.examination import Exam, Result, examine, ms_per_frame
from reconstruction.benchmarking.report import Findings, report, table_rows, write_csv
from reconstruction.predictor import choose_device
from simulation.datasets.drafts import check_absent, draft_beside, named

_PART: Final = 20
_SLOW_MS: Final = 10.0
_PICTURES: Final = "benchmark-pictures"
_FILES: Final = ("benchmark.md", "benchmark.csv", "benchmark.html")


def compare_networks(
    models: Sequence[str],
    folders: str | None,
    out: str,
    device: str,
    *,
    overwrite: bool,
    json: bool,
    subjects: Sequence[Subject] = SUBJECTS,
    slow_ms: float = _SLOW_MS,
) -> None:
    """Compare the networks that ship, and others, and write the report.

    Parameters
    ----------
    models
        Paths of weights.
    folders
        Set in the layout of the paper's authors, or ``None``.
    out
        Folder that the report goes to.
    device
        auto, cpu or cuda.
    overwrite
        Whether an earlier report there may go.
    json
        Whether a script reads stdout.
    subjects
        What is scanned.
    slow_ms
        A frame, from which on a network is shown a part of some scans only.
    """
    folder, console = named(out, "out"), open_console(json)
    for name in () if overwrite else (*_FILES, _PICTURES):
        check_absent(folder / name, "choose another --out, or add --overwrite")
    on, began = choose_device(device), time.perf_counter()
    contenders = open_contenders([Path(model) for model in models], on)
    for contender in contenders:
        contender.check(load_instrument(INSTRUMENT).optics)
    exams = _checked_folders(folders, contenders)
    with draft_beside(folder / "benchmark") as draft:  # now, as a full disk is known early
        with FrameProgress(console) as progress:
            bench = _Bench(contenders, on, slow_ms, progress)
            simulated, measured = bench.simulated(subjects), bench.measured(exams)
        findings = Findings(
            simulated=simulated,
            measured=measured,
            missing=[name for name in BASELINES if name not in {c.name for c in contenders}],
            part=_PART,
            conditions=_conditions(subjects, on, time.perf_counter() - began),
            pictures=_titles(simulated, measured),
        )
        _write(draft, findings)
        _move(draft, folder)
    _print(console, folder, findings, time.perf_counter() - began, json=json)


class _Bench:
    """Networks on a device, and who is told how far they have come."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        device: torch.device,
        slow_ms: float,
        progress: FrameProgress,
    ) -> None:
        self._contenders = contenders
        self._device = device
        self._slow_ms = slow_ms
        self._progress = progress
        self._slow: dict[str, bool] = {}

    def simulated(self, subjects: Sequence[Subject]) -> list[Result]:
        """Scan every sample, and have it read by all that know light."""
        readers = [contender for contender in self._contenders if not contender.levels]
        results, seen = [], set[str]()
        for subject in subjects:
            name = f"{subject.group}, seed {subject.seed}"
            told = partial(self._tell, name, 0, 1 + len(readers), None)
            exam = scan_subject(subject, told)
            for at, contender in enumerate(readers, 1):
                told = partial(self._tell, name, at, 1 + len(readers), len(exam.index))
                slow = self._is_slow(contender, exam)
                if not (slow and subject.group in seen):  # one of each is enough
                    part = _PART if slow else None
                    results.append(examine(contender, exam, self._device, part, told))
            seen.add(subject.group)
        return results

    def measured(self, exams: Sequence[Exam]) -> list[Result]:
        """Have folders read, whole, by all that have a window of their size."""
        results = []
        for exam in exams:
            readers = [contender for contender in self._contenders if _fits(contender, exam)]
            for at, contender in enumerate(readers):
                told = partial(self._tell, exam.group, at, len(readers), len(exam.index))
                results.append(examine(contender, exam, self._device, None, told))
        return results

    def _tell(
        self, name: str, step: int, steps: int, points: int | None, done: int, of: int
    ) -> None:
        """Count the points of all steps alike: scanning, and every network's reading."""
        points = points or of
        self._progress(name, step * points + done * points // of, steps * points)

    def _is_slow(self, contender: Contender, exam: Exam) -> bool:
        if contender.label not in self._slow:
            single = contender.grid is not None
            slow = single and ms_per_frame(contender, exam, self._device) > self._slow_ms
            self._slow[contender.label] = slow
        return self._slow[contender.label]


def _checked_folders(source: str | None, contenders: Sequence[Contender]) -> list[Exam]:
    """Read folders; refuse networks that were trained on folders of another kind."""
    exams = [] if source is None else list(folder_exams(source))
    for contender in contenders:
        if contender.levels and source is None:
            raise ConfigError(
                f"weights {contender.label}: expected --folders beside it, which it was trained"
                " on, got none; name a set of folders"
            )
        for exam in exams:
            if contender.levels and not _fits(contender, exam):
                px, grid = exam.images.shape[-1], exam.targets.shape[-1]
                raise ReconstructionError(
                    f"weights {contender.label}: expected images of {contender.image_px} px and"
                    f" targets of {contender.grid} squares, got {px} px and {grid} squares in"
                    f" {source}/test/{exam.group}; train others with opticalnet train"
                )
    return exams


def _fits(contender: Contender, exam: Exam) -> bool:
    fits_grid = contender.grid is None or contender.grid <= exam.targets.shape[-1]
    return contender.image_px == exam.images.shape[-1] and fits_grid


def _conditions(subjects: Sequence[Subject], device: torch.device, seconds: float) -> str:
    seeds: dict[str, list[str]] = {}
    for subject in subjects:
        seeds.setdefault(subject.group, []).append(str(subject.seed))
    said = "; ".join(f"{group} {', '.join(numbers)}" for group, numbers in seeds.items())
    threads = torch.get_num_threads()
    where = f"{threads} CPU thread{'s' * (threads > 1)}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return (
        "SIMULATED: whole scans through stage, camera, scan engine and run of the default"
        f" instrument, with default noise. Seeds of sample and instrument: {said}. No training"
        " uses them: it draws seeds of 63 bits from streams of its own. Block has density 0.35;"
        " Light and Star have squares that are partly milled, open where at least one half is;"
        " in the Star of squares none is. Made by `opticalnet benchmark` in"
        f" {seconds / 60:.1f} minutes on {where}, Python {platform.python_version()}, torch"
        f" {torch.__version__}."
    )


def _titles(simulated: Sequence[Result], measured: Sequence[Result]) -> dict[str, str]:
    """Names of the pictures, and what they show."""
    names = {_map_name(r): f"{r.group}: maps and errors" for r in (*simulated, *measured)}
    return names | {"reliability.png": "reliability of every network, simulation"}


def _map_name(result: Result) -> str:
    folder = "folder-" if result.seed < 0 else ""
    return f"{folder}{result.group.lower().replace(' ', '-')}.png"


def _write(draft: Path, findings: Findings) -> None:
    """Write everything into a new folder."""
    pictures = draft / _PICTURES
    pictures.mkdir(parents=True)
    _draw(pictures, findings)
    blocks, (markdown, table, page) = report(findings), (draft / name for name in _FILES)
    markdown.write_text(as_markdown(blocks, _PICTURES), encoding="utf-8")
    write_csv(table, table_rows(findings))
    page.write_text(as_html(blocks, pictures), encoding="utf-8")


def _move(draft: Path, folder: Path) -> None:
    """Give everything its place, also where an earlier report is."""
    if (folder / _PICTURES).exists():
        os.replace(folder / _PICTURES, draft / "earlier")
    for name in (_PICTURES, *_FILES):
        os.replace(draft / name, folder / name)


def _draw(pictures: Path, findings: Findings) -> None:
    """Draw the first scan of every kind, and the reliability on all."""
    by_scan: dict[str, list[Result]] = {}
    for result in (*findings.simulated, *findings.measured):
        there = by_scan.setdefault(_map_name(result), [])
        if not there or there[0].seed == result.seed:
            there.append(result)
    for name, results in by_scan.items():
        stamp = "folder" if results[0].seed < 0 else f"seed {results[0].seed}, SIMULATED"
        save_maps(pictures / name, f"{results[0].group}, {stamp}", results)
    save_reliability(pictures / "reliability.png", findings.simulated)


def _print(
    console: Console, folder: Path, findings: Findings, seconds: float, *, json: bool
) -> None:
    report_files = [str(folder / name) for name in _FILES]
    if json:
        print_json(
            files=report_files,
            seconds=seconds,
            missing=list(findings.missing),
            results=table_rows(findings),
        )
        return
    console.print(_summary(findings))
    if findings.missing:
        names = ", ".join(findings.missing)
        said = f"not evaluated: {names}; {report_files[0]} says how to train them"
        console.print(said, markup=False, soft_wrap=True)
    console.print(f"{seconds:.0f} s; report: {report_files[0]}", markup=False, soft_wrap=True)


def _summary(findings: Findings) -> Table:
    """Accuracy of whole maps."""
    groups = list(dict.fromkeys(result.group for result in findings.simulated))
    table = Table("SIMULATED, accuracy of maps", *groups)
    for contender in findings.contenders:
        cells = []
        for group in groups:
            accuracies = [
                result.stitched.scores.accuracy
                for result in findings.simulated
                if result.contender is contender and result.group == group
            ]
            mean = sum(accuracies) / max(1, len(accuracies))
            cells.append(f"{mean:.3f}" if accuracies else "-")
        table.add_row(escape(contender.marked), *cells)
    return table
