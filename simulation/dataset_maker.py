"""A plan becomes a data set on disk, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from configs.dataset import DatasetPlan
from configs.errors import RunStoreError
from configs.geometry import SQUARE_NM
from simulation.dataset import DatasetInfo
from simulation.dataset_scan import PartSize, ScanLine, draw_scan, part_sizes
from simulation.dataset_writer import DatasetWriter
from simulation.datasheet import datasheet
from simulation.histogram import draw_histograms
from simulation.line_simulator import LineSimulator
from simulation.workers import Workers

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""
_SPARE_BYTES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Where a data set goes: the set, and beside it what people read."""

    set: Path

    @property
    def datasheet(self) -> Path:
        """Markdown, for people."""
        return self._beside("datasheet.md")

    @property
    def histogram(self) -> Path:
        """PNG: frames by their number of open squares."""
        return self._beside("histogram.png")

    def _beside(self, ending: str) -> Path:
        return self.set.with_name(f"{self.set.name.removesuffix('.zarr')}.{ending}")


def make_dataset(
    plan: DatasetPlan, out: Path, workers: Workers, progress: Progress
) -> DatasetInfo:
    """Simulate a data set.

    Parameters
    ----------
    plan
        What it is.
    out
        Where it goes; must not exist. A datasheet and a picture go beside it.
    workers
        Who does the work; the result is the same, bit for bit.
    progress
        Told how far it has come.

    Raises
    ------
    ConfigError
        If the plan cannot be carried out; nothing has been written then.
    RunStoreError
        If the set exists already or cannot be written; nothing is left behind.
    """
    files = DatasetFiles(Path(os.path.abspath(out)))
    check_absent(out)
    sizes = part_sizes(plan)
    simulator = LineSimulator(plan)
    for size in sizes:
        simulator.side(SQUARE_NM / size.cells_per_square)
    with _disk_errors(out):
        _check_room(files.set, plan, sizes)
        with _draft_beside(files.set) as draft:
            writer = DatasetWriter(draft.set, plan, sizes)
            _simulate(simulator, writer, workers, progress, sum(s.frames for s in sizes))
            info = writer.finish()
            _describe(info, files, draft)
            _publish(draft, files)
    return info


def check_absent(out: Path) -> None:
    """Raise ``RunStoreError`` if there is something already."""
    with _disk_errors(out):
        if out.exists():
            raise RunStoreError(f"{out} exists already; choose another path or remove it")


def _simulate(
    simulator: LineSimulator,
    writer: DatasetWriter,
    workers: Workers,
    progress: Progress,
    frames: int,
) -> None:
    done = 0
    with closing(workers.run(simulator, _lines(simulator, writer))) as results:
        for line, images in results:
            done += writer.add_line(line, images)
            progress(done, frames)


def _lines(simulator: LineSimulator, writer: DatasetWriter) -> Iterator[ScanLine]:
    """Draw scan after scan, write what is known of it, and yield its lines."""
    for part, plan in enumerate(simulator.plan.parts):
        for number in range(plan.scans):
            scan = draw_scan(simulator.plan, part, number)
            writer.add_scan(scan)
            lines = scan.lines(simulator.side(scan.cell_nm))
            yield from islice(lines, writer.lines_kept(scan))


def _describe(info: DatasetInfo, files: DatasetFiles, draft: DatasetFiles) -> None:
    stored = sum(path.stat().st_size for path in draft.set.rglob("*") if path.is_file())
    text = datasheet(info, files.set.name, files.histogram.name, stored, datetime.now(UTC))
    draft.datasheet.write_text(text, encoding="utf-8")
    draw_histograms(draft.histogram, info)


def _publish(draft: DatasetFiles, files: DatasetFiles) -> None:
    """Move all files to their places; the set comes last, and with it they are valid."""
    try:
        os.replace(draft.datasheet, files.datasheet)
        os.replace(draft.histogram, files.histogram)
        os.rename(draft.set, files.set)
    except BaseException:
        if not files.set.exists():
            files.datasheet.unlink(missing_ok=True)
            files.histogram.unlink(missing_ok=True)
        raise


@contextmanager
def _draft_beside(path: Path) -> Iterator[DatasetFiles]:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f".draft-{path.name}-", dir=path.parent)
    try:
        yield DatasetFiles(Path(folder) / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_room(path: Path, plan: DatasetPlan, sizes: list[PartSize]) -> None:
    """Ask for as much room as frames take that do not compress."""
    pixels = plan.instrument.optics.image_px**2 * sum(size.frames for size in sizes)
    needed_mb = (2 * pixels + _SPARE_BYTES) / 1e6
    there = next(folder for folder in path.parents if folder.exists())
    free_mb = shutil.disk_usage(there).free / 1e6
    if free_mb < needed_mb:
        raise RunStoreError(
            f"disk too small for {path}: expected {needed_mb:.0f} MB free, got {free_mb:.0f};"
            " make room or choose another --out"
        )


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunStoreError(
            f"cannot write data set {out}: {error}; nothing was kept: choose another --out"
        ) from error
