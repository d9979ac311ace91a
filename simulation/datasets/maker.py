"""A plan becomes a data set on disk, whole or not at all.

Zarr writes in a thread of its own, which goes on when Ctrl-C ends the wait for it. So
another thread waits: Ctrl-C does not reach it, and it is done before the draft goes.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from configs.dataset import DatasetPlan
from configs.drafts import check_absent, draft_beside
from configs.errors import RunStoreError
from configs.geometry import SQUARE_NM
from configs.sample import pinned
from simulation.datasets.datasheet import datasheet, histograms
from simulation.datasets.lines import LineSimulator
from simulation.datasets.reader import DatasetInfo
from simulation.datasets.scan import ScanLine, draw_scan
from simulation.datasets.sizes import PartSize, part_sizes
from simulation.datasets.workers import Workers
from simulation.datasets.writer import DatasetWriter

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""
_SPARE_BYTES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Where a data set goes: the set, and beside it what people read."""

    set: Path

    def __iter__(self) -> Iterator[Path]:
        """Yield the set, then what lies beside it."""
        yield self.set
        yield self.datasheet
        yield self.histogram

    @property
    def datasheet(self) -> Path:
        """Markdown, for people."""
        return self._beside("datasheet.md")

    @property
    def histogram(self) -> Path:
        """PNG: frames by their number of open squares."""
        return self._beside("histogram.png")

    def check_absent(self) -> None:
        """Raise ``RunStoreError`` if any of them is there already, from this set or another."""
        for path in self:
            check_absent(path, "move it or choose another --out")

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
        Where it goes. Neither it nor the datasheet and the picture beside it may exist.
    workers
        Who does the work; the result is the same, bit for bit.
    progress
        Told how far it has come.

    Raises
    ------
    ConfigError
        If the plan cannot be carried out; nothing has been written then.
    RunStoreError
        If any of them exists already or cannot be written; nothing is left behind.
    """
    files = DatasetFiles(Path(os.path.abspath(out)))
    DatasetFiles(out).check_absent()
    plan = plan.with_samples(pinned)
    sizes = part_sizes(plan)
    simulator = LineSimulator(plan)
    for size in sizes:
        simulator.side(SQUARE_NM / size.cells_per_square)
    with draft_beside(files.set) as path, ThreadPoolExecutor(1, "write") as disk:
        _check_room(files.set, plan, sizes)
        draft = DatasetFiles(path)
        writer = disk.submit(DatasetWriter, draft.set, plan, sizes).result()
        lines = _lines(simulator, writer, disk)
        frames = sum(size.frames for size in sizes)
        done = 0
        with closing(workers.run(simulator, lines)) as results:
            for line, images in results:
                done += disk.submit(writer.add_line, line, images).result()
                progress(done, frames)
        info = disk.submit(writer.finish).result()
        _describe(info, files, draft)
        _publish(draft, files)
    return info


def _lines(
    simulator: LineSimulator, writer: DatasetWriter, disk: Executor
) -> Iterator[ScanLine]:
    """Draw scan after scan, write what is known of it, and yield its lines."""
    for part, plan in enumerate(simulator.plan.parts):
        for number in range(plan.scans):
            scan = draw_scan(simulator.plan, part, number)
            disk.submit(writer.add_scan, scan).result()
            yield from islice(simulator.lines(scan), writer.lines_kept(scan))


def _describe(info: DatasetInfo, files: DatasetFiles, draft: DatasetFiles) -> None:
    stored = sum(path.stat().st_size for path in draft.set.rglob("*") if path.is_file())
    text = datasheet(info, files.set.name, files.histogram.name, stored, datetime.now(UTC))
    draft.datasheet.write_text(text, encoding="utf-8")
    histograms(info).savefig(draft.histogram, format="png", dpi=150)


def _publish(draft: DatasetFiles, files: DatasetFiles) -> None:
    """Move all files to their places, or none if somebody else was there meanwhile."""
    files.check_absent()
    with ExitStack() as undo:
        for ours, place in zip(draft, files, strict=True):
            os.rename(ours, place)
            undo.callback(os.rename, place, ours)
        undo.pop_all()


def _check_room(path: Path, plan: DatasetPlan, sizes: list[PartSize]) -> None:
    """Ask for as much room as frames take that do not compress."""
    pixels = plan.instrument.optics.image_px**2 * sum(size.frames for size in sizes)
    needed_mb = (2 * pixels + _SPARE_BYTES) / 1e6
    free_mb = shutil.disk_usage(path.parent).free / 1e6
    if free_mb < needed_mb:
        raise RunStoreError(
            f"disk too small for {path}: expected {needed_mb:.0f} MB free, got {free_mb:.0f};"
            " make room or choose another --out"
        )
