"""What networks are compared on: scans of the whole simulated instrument, and folders."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from acquisition.frame import Frame
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.store import Run, RunInfo
from configs.errors import ConfigError, RunStoreError
from configs.grid import GRIDS
from opticalnet.api import acquire
from reconstruction.amplitude import relative_amplitude
from reconstruction.benchmarking.examination import Exam
from reconstruction.learning.sources import level_amplitude
from reconstruction.mosaic import frame_targets
from simulation.datasets.paper_reader import PaperFolder, open_folders
from simulation.samples import load_sample

INSTRUMENT: Final = "simulated"
_ASSUMED_OPEN_PEAK_E: Final = 2000.0
"""Of measured levels, which do not say; as with the simulated instrument."""

Progress = Callable[[int, int], None]
"""Called with the number of points done and of all points."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A sample to scan.

    Attributes
    ----------
    group
        Which samples are averaged.
    sample, density
        As for ``opticalnet.acquire``.
    seed
        Of sample and instrument.
    whole_squares
        Whether squares that are partly milled are first made open or closed.
    """

    group: str
    sample: str
    seed: int
    density: float | None = None
    whole_squares: bool = False


SUBJECTS: Final = (
    *(Subject("Block", "block", seed, density=0.35) for seed in (1001, 1002, 1003)),
    Subject("Light", "light", 1004),
    Subject("Star", "ss", 1005),
    Subject("Star of squares", "ss", 1006, whole_squares=True),
)
"""Training draws from streams of its own, and its scans have derived seeds of 63 bits."""


def scan_subject(subject: Subject, progress: Progress = lambda done, points: None) -> Exam:
    """Scan a sample with the simulated instrument, and read the run back."""
    with tempfile.TemporaryDirectory() as folder:
        sample = subject.sample
        if subject.whole_squares:
            sample = str(Path(folder) / "squares.npy")
            np.save(sample, load_sample(subject.sample).is_open.astype(np.float64))
        path = Path(folder) / "run.zarr"
        acquire(
            sample,
            instrument=INSTRUMENT,
            out=path,
            seed=subject.seed,
            density=subject.density,
            observer=_Counter(progress),
        )
        return _read(subject, Run(path))


def folder_exams(source: str) -> Iterator[Exam]:
    """Read the test folders of a set in the layout of the paper's authors.

    Raises
    ------
    ConfigError, RunStoreError
        If it is no such set, or files are missing or not what they should be.
    """
    folders = [folder for folder in _open(source).values() if folder.split == "test"]
    if not folders:
        raise ConfigError(f"{source}: expected folders test/NAME, found none; check the path")
    yield from map(_of_folder, folders)


class _Counter(SilentObserver):
    """Counts points."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._taken = self._points = 0

    def begin(self, info: RunInfo) -> None:
        self._points = len(info.plan)

    def frame(self, frame: Frame) -> None:
        self._taken += 1
        self._progress(self._taken, self._points)


def _read(subject: Subject, run: Run) -> Exam:
    plan, camera, points = run.info.plan, run.info.instrument.camera, run.points()
    lines = [run.valid_frames(row, points) for row in range(plan.rows)]
    open_peak_e = camera.open_peak_e_per_ms * plan.exposure_ms
    truth = run.truth
    assert truth is not None, "simulated samples are known"
    is_open = truth >= 0.5
    index = np.concatenate([line.row * plan.columns + line.columns for line in lines])
    return Exam(
        group=subject.group,
        seed=subject.seed,
        plan=plan,
        index=index,
        images=np.concatenate([line.images for line in lines]),
        off_um=np.concatenate([line.off_um for line in lines]),
        open_peak_e=open_peak_e,
        amplitude=partial(relative_amplitude, sensor=camera.sensor, open_peak_e=open_peak_e),
        truth=is_open.astype(np.int8),
        targets=frame_targets(is_open, plan, max(GRIDS))[index],
    )


def _open(source: str) -> dict[str, PaperFolder]:
    """Open folders, whatever their grid."""
    for grid in GRIDS[:-1]:
        try:
            folders = open_folders(source, grid)
            next(iter(folders.values())).targets(0, 1)
        except (ConfigError, RunStoreError):
            continue  # of another grid; if it is for another reason, the last one says it
        return folders
    return open_folders(source, GRIDS[-1])


def _of_folder(folder: PaperFolder) -> Exam:
    there = folder.row >= 0
    rows, columns = int(folder.row.max()) + 1, int(folder.column.max()) + 1
    index = folder.row[there] * columns + folder.column[there]
    targets = folder.targets()[there].astype(np.int8)
    truth = np.full(rows * columns, -1, np.int8)
    truth[index] = targets[:, folder.grid // 2, folder.grid // 2]
    return Exam(
        group=folder.name,
        seed=-1,
        plan=ScanPlan(rows=rows, columns=columns, margin=0, centre_um=(0.0, 0.0)),
        index=index,
        images=folder.frames()[there],
        off_um=np.full((len(index), 2), np.nan),
        open_peak_e=_ASSUMED_OPEN_PEAK_E,
        amplitude=level_amplitude,
        truth=truth.reshape(rows, columns),
        targets=targets,
    )
