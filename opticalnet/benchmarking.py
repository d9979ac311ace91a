"""Networks side by side in one call."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch

from configs.drafts import draft_beside, named
from configs.errors import ConfigError, ReconstructionError
from configs.toml import load_instrument
from opticalnet.benchmark_files import FILES, check_free, picture_titles, write_files
from opticalnet.benchmark_scans import (
    INSTRUMENT,
    SAMPLES,
    SampleSpec,
    read_folders,
    scan_sample,
)
from reconstruction.baselines.registry import BASELINES
from reconstruction.benchmarking.candidates import Candidate, open_candidates
from reconstruction.benchmarking.evaluation import Result, evaluate, ms_per_frame
from reconstruction.benchmarking.findings import Findings
from reconstruction.benchmarking.known_scan import KnownScan
from reconstruction.predictor import choose_device

Progress = Callable[[str, int, int], None]
"""Called with what is looked at, how many points are done, and of how many."""
_PART: Final = 20
_SLOW_MS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A finished comparison.

    Attributes
    ----------
    files
        The report as Markdown, CSV and HTML.
    findings
        What is in it.
    warnings
        What one should know before believing it.
    seconds
        In all.
    """

    files: tuple[Path, ...]
    findings: Findings
    warnings: tuple[str, ...]
    seconds: float


def benchmark(
    weights: Sequence[str | Path] = (),
    *,
    folders: str | Path | None = None,
    out: str | Path = "benchmark",
    device: str = "auto",
    overwrite: bool = False,
    samples: Sequence[SampleSpec] = SAMPLES,
    slow_ms: float = _SLOW_MS,
    progress: Progress = lambda what, done, of: None,
) -> Benchmark:
    """Compare the networks that ship, and others, and write the report.

    Parameters
    ----------
    weights
        Paths of weights, from ``opticalnet train``, beside those that ship.
    folders
        Set in the layout of the paper's authors, if any.
    out
        Folder that the report goes to.
    device
        Where networks run: ``auto``, ``cpu`` or ``cuda``.
    overwrite
        Whether an earlier report there may go.
    samples
        What is scanned.
    slow_ms
        Milliseconds a frame, from which on a network is shown a part of some scans only.
    progress
        Told how far it has come.

    Raises
    ------
    ConfigError, ReconstructionError
        If weights cannot be read, are named twice or do not go with the scans, or if nobody
        can read the folders.
    RunStoreError
        If folders cannot be read, or the report not be written, or there is one.
    """
    folder, on, began = named(out, "out"), choose_device(device), time.perf_counter()
    if not overwrite:
        check_free(folder)
    candidates = open_candidates([Path(path) for path in weights])
    for candidate in candidates:
        candidate.check(load_instrument(INSTRUMENT).optics)
    measured, left_out = _checked_folders(folders, candidates)
    with draft_beside(folder / "benchmark") as draft:  # now: a full disk is known early
        bench = _Bench(candidates, on, slow_ms, progress)
        bench.warnings += [f"no network reads {said}: left out" for said in left_out]
        results = bench.simulated(samples), bench.measured(measured)
        findings = Findings(
            *results,
            missing=[name for name in BASELINES if name not in {c.name for c in candidates}],
            part=_PART,
            conditions=_conditions(samples, on, time.perf_counter() - began),
            pictures=picture_titles(*results),
            left_out=left_out,
        )
        write_files(draft, folder, findings)
    seconds = time.perf_counter() - began
    files = tuple(folder / name for name in FILES)
    return Benchmark(files, findings, tuple(bench.warnings), seconds)


class _Bench:
    """Networks on a device, and who is told how far they have come."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        device: torch.device,
        slow_ms: float,
        progress: Progress,
    ) -> None:
        self.warnings: list[str] = []
        self._candidates = candidates
        self._device = device
        self._slow_ms = slow_ms
        self._progress = progress
        self._slow: dict[str, bool] = {}

    def simulated(self, samples: Sequence[SampleSpec]) -> list[Result]:
        """Scan every sample, and have it read by all that know light."""
        readers = [candidate for candidate in self._candidates if not candidate.reads_levels]
        results, seen = [], set[str]()
        for spec in samples:
            name = f"{spec.group}, seed {spec.seed}"
            scan = scan_sample(spec, partial(self._tell, name, 0, 1 + len(readers), None))
            for at, candidate in enumerate(readers, 1):
                slow = self._is_slow(candidate, scan)
                if not (slow and spec.group in seen):  # one of each is enough
                    told = partial(self._tell, name, at, 1 + len(readers), scan.frames)
                    results.append(self._evaluate(candidate, scan, told, is_part=slow))
            seen.add(spec.group)
        return results

    def measured(self, scans: Sequence[KnownScan]) -> list[Result]:
        """Have folders read, whole, by all that have a window of their size."""
        results = []
        for scan in scans:
            readers = [candidate for candidate in self._candidates if _fits(candidate, scan)]
            for at, candidate in enumerate(readers):
                told = partial(self._tell, scan.group, at, len(readers), scan.frames)
                results.append(self._evaluate(candidate, scan, told, is_part=False))
        return results

    def _evaluate(
        self,
        candidate: Candidate,
        scan: KnownScan,
        told: Callable[[int, int], None],
        *,
        is_part: bool,
    ) -> Result:
        part, warn = _PART if is_part else None, partial(self._warn, candidate.label)
        return evaluate(candidate, scan, self._device, part, told, warn)

    def _warn(self, label: str, text: str) -> None:
        self.warnings.append(f"{label}: {text}")

    def _tell(
        self, name: str, step: int, steps: int, points: int | None, done: int, of: int
    ) -> None:
        """Count the points of all steps alike: scanning, and every network's reading."""
        points = points or of
        self._progress(name, step * points + done * points // of, steps * points)

    def _is_slow(self, candidate: Candidate, scan: KnownScan) -> bool:
        if candidate.label not in self._slow:
            single = candidate.grid is not None
            slow = single and ms_per_frame(candidate, scan, self._device) > self._slow_ms
            self._slow[candidate.label] = slow
        return self._slow[candidate.label]


def _checked_folders(
    source: str | Path | None, candidates: Sequence[Candidate]
) -> tuple[list[KnownScan], list[str]]:
    """Read folders, and say which of them nobody can read.

    Networks that were trained on folders of another kind are refused.
    """
    scans = [] if source is None else list(read_folders(source))
    _refuse_others(candidates, scans, source)
    readable = [scan for scan in scans if any(_fits(one, scan) for one in candidates)]
    left_out = [
        f"test/{scan.group}, images of {_image_px(scan)} px"
        for scan in scans
        if not any(scan is one for one in readable)
    ]
    if left_out and not readable:
        sizes = ", ".join(str(px) for px in sorted({one.image_px for one in candidates}))
        raise ReconstructionError(
            f"folders: expected images of {sizes} px in {source}, got {'; '.join(left_out)};"
            " name networks of that window, from opticalnet train"
        )
    return readable, left_out


def _refuse_others(
    candidates: Sequence[Candidate], scans: Sequence[KnownScan], source: str | Path | None
) -> None:
    for candidate in candidates:
        if candidate.reads_levels and source is None:
            raise ConfigError(
                f"weights {candidate.label}: expected --folders beside it, which it was trained"
                " on, got none; name a set of folders"
            )
        for scan in scans:
            if candidate.reads_levels and not _fits(candidate, scan):
                px, grid = _image_px(scan), scan.targets.shape[-1]
                raise ReconstructionError(
                    f"weights {candidate.label}: expected images of {candidate.image_px} px and"
                    f" targets of {candidate.grid} squares, got {px} px and {grid} squares in"
                    f" {source}/test/{scan.group}; train others with opticalnet train"
                )


def _fits(candidate: Candidate, scan: KnownScan) -> bool:
    fits_grid = candidate.grid is None or candidate.grid <= scan.targets.shape[-1]
    return candidate.image_px == _image_px(scan) and fits_grid


def _image_px(scan: KnownScan) -> int:
    return int(scan.lines[0].images.shape[-1])


def _conditions(samples: Sequence[SampleSpec], device: torch.device, seconds: float) -> str:
    seeds: dict[str, list[str]] = {}
    for spec in samples:
        seeds.setdefault(spec.group, []).append(str(spec.seed))
    said = "; ".join(f"{group} {', '.join(numbers)}" for group, numbers in seeds.items())
    where = "one CPU thread"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return (
        "SIMULATED: whole scans through stage, camera, scan engine and run of the default"
        f" instrument, with default noise. Seeds of sample and instrument: {said}. No training"
        " uses them: it draws seeds of 63 bits from streams of its own. Block has density 0.35;"
        " Light and Star have squares that are partly milled, open where at least one half is;"
        " in the Star of squares none is. Made by `opticalnet benchmark`; loading, scanning and"
        f" reading took {seconds / 60:.1f} minutes, drawing not counted. Networks ran on"
        f" {where}, Python {platform.python_version()}, torch {torch.__version__}."
    )
