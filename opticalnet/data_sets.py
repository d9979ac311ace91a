"""A data set in one call."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from configs.dataset import DatasetPlan, load_dataset_plan
from configs.drafts import check_absent, named
from configs.errors import ConfigError
from configs.grid import check_grid
from simulation.datasets.cluster import Cluster
from simulation.datasets.maker import DatasetFiles, make_dataset
from simulation.datasets.paper_folders import check_folder, export_tiff
from simulation.datasets.reader import DatasetInfo
from simulation.datasets.workers import LocalWorkers, Workers

Progress = Callable[[str, int, int], None]
"""Called with what is being made, frames or TIFF, how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A finished data set.

    Attributes
    ----------
    files
        The set, and what lies beside it.
    info
        Plan, software and parts.
    seconds
        From the plan to the set in its place; TIFF files come after.
    """

    files: DatasetFiles
    info: DatasetInfo
    seconds: float

    @property
    def path(self) -> Path:
        """The set."""
        return self.files.set

    @property
    def datasheet(self) -> Path:
        """Markdown, for people."""
        return self.files.datasheet

    @property
    def histogram(self) -> Path:
        """PNG: frames by their number of open squares."""
        return self.files.histogram

    @property
    def frames(self) -> int:
        """Number of frames in all parts together."""
        return sum(part.frames for part in self.info.parts)

    @property
    def frames_per_s(self) -> float:
        """Frames by the seconds that they took."""
        return self.frames / self.seconds


def simulate(
    preset: str = "paper",
    *,
    out: str | Path = "set.zarr",
    seed: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    tiff: str | Path | None = None,
    grid: int | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Simulation:
    """Simulate a data set, with a datasheet beside it.

    Parameters
    ----------
    preset
        Name of a data set that ships, or path of a TOML file: ``configs.dataset``.
    out
        Where the set goes. Neither it nor the datasheet and the histogram beside it may
        exist.
    seed
        Of everything random; the plan's own if None.
    workers
        Threads on this machine, one a core if None. The set does not depend on it.
    scheduler
        Address of a Dask scheduler whose workers simulate instead; neither does it
        depend on those.
    tiff
        Folder, which must not exist, for the same as 8-bit TIFF files in the layout of the
        paper's authors.
    grid
        Side of the targets there, 3 if None.
    progress
        Told how far it has come.

    Raises
    ------
    ConfigError
        If the plan or the cluster is not usable; nothing has been written then.
    RunStoreError
        If a path exists already or cannot be written; nothing half-written is left behind.
    """
    _check_choices(workers, scheduler, tiff, grid)
    files = DatasetFiles(named(out, "out"))
    plan = _plan(preset, seed)
    if tiff is not None:
        _check_tiff(named(tiff, "tiff"), files)
    began = time.perf_counter()
    with ExitStack() as stack:
        who: Workers = LocalWorkers(workers)
        if scheduler is not None:
            who = stack.enter_context(Cluster(scheduler))
        info = make_dataset(plan, files.set, who, partial(progress, "frames"))
    seconds = time.perf_counter() - began
    if tiff is not None:
        export_tiff(files.set, tiff, grid or 3, partial(progress, "TIFF"))
    return Simulation(files, info, seconds)


def _check_choices(
    workers: int | None, scheduler: str | None, tiff: str | Path | None, grid: int | None
) -> None:
    """Refuse what would be ignored, or fail only at the end."""
    if grid is not None and tiff is None:
        raise ConfigError("grid: expected none without tiff; the set itself has all three")
    if grid is not None:
        check_grid(grid)
    if workers is not None and scheduler is not None:
        raise ConfigError("workers: expected none with a scheduler, which has its own")


def _check_tiff(folder: Path, files: DatasetFiles) -> None:
    """Refuse, before hours of work, a folder that the export could not make."""
    export = f"opticalnet export-tiff {files.set} {folder}"
    check_absent(files.set, f"choose another --out; for TIFF files of this set: {export}")
    check_folder(folder, *files)


def _plan(preset: str, seed: int | None) -> DatasetPlan:
    plan = load_dataset_plan(preset)
    return plan if seed is None else plan.changed(seed=seed)
