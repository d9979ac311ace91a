"""What networks are compared on: scans of the whole simulated instrument, and folders."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from acquisition.frame import Frame, FrameLine
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from configs.errors import ConfigError
from configs.grid import LARGEST_GRID
from configs.instrument import InstrumentConfig, Sensor, SimulatedCameraConfig
from opticalnet.acquiring import acquire
from reconstruction.benchmarking.evaluation import Progress
from reconstruction.benchmarking.known_scan import KnownScan
from reconstruction.mosaic import frame_targets
from simulation.datasets.paper_reader import PaperFolder, open_folders
from simulation.datasets.tiff import WHITE
from simulation.samples import load_sample

INSTRUMENT: Final = "simulated"
_ASSUMED_OPEN_PEAK_E: Final = 2000.0
"""Of measured levels, which do not say; as with the simulated instrument."""


@dataclass(frozen=True, slots=True)
class SampleSpec:
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


SAMPLES: Final = (
    *(SampleSpec("Block", "block", seed, density=0.35) for seed in (1001, 1002, 1003)),
    SampleSpec("Light", "light", 1004),
    SampleSpec("Star", "ss", 1005),
    SampleSpec("Star of squares", "ss", 1006, whole_squares=True),
)
"""Training draws from streams of its own, and its scans have derived seeds of 63 bits."""


def scan_sample(spec: SampleSpec, progress: Progress = lambda done, points: None) -> KnownScan:
    """Scan a sample with the simulated instrument, and read the run back."""
    with tempfile.TemporaryDirectory() as folder:
        sample = spec.sample
        if spec.whole_squares:
            sample = str(Path(folder) / "squares.npy")
            np.save(sample, load_sample(spec.sample).is_open.astype(np.float64))
        path = Path(folder) / "run.zarr"
        acquire(
            sample,
            instrument=INSTRUMENT,
            out=path,
            seed=spec.seed,
            density=spec.density,
            observer=_Counter(progress),
        )
        return _read(spec, Run(path))


def read_folders(source: str | Path) -> Iterator[KnownScan]:
    """Read the test folders of a set in the layout of the paper's authors.

    Raises
    ------
    ConfigError, RunStoreError
        If it is no such set, or files are missing or not what they should be.
    """
    folders = [folder for folder in open_folders(source).values() if folder.split == "test"]
    if not folders:
        raise ConfigError(f"{source}: expected folders test/NAME, found none; check the path")
    yield from map(_of_folder, folders)


class _Counter(SilentObserver):
    """Counts points."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._taken = self._points = 0

    def begin(self, info: RunInfo, there: Iterator[Frame]) -> None:
        self._points = len(info.plan)

    def frame(self, frame: Frame) -> None:
        self._taken += 1
        self._progress(self._taken, self._points)


def _read(spec: SampleSpec, run: Run) -> KnownScan:
    plan, points, truth = run.info.plan, run.points(), run.truth
    assert truth is not None, "simulated samples are known"
    is_open = truth >= 0.5
    return KnownScan(
        group=spec.group,
        seed=spec.seed,
        info=run.info,
        lines=[run.valid_frames(row, points) for row in range(plan.rows)],
        truth=is_open.astype(np.int8),
        targets=frame_targets(is_open, plan, LARGEST_GRID),
    )


def _of_folder(folder: PaperFolder) -> KnownScan:
    there = np.flatnonzero(folder.row >= 0)
    rows, columns = int(folder.row.max()) + 1, int(folder.column.max()) + 1
    targets = np.full((rows * columns, folder.grid, folder.grid), -1, np.int8)
    targets[folder.row[there] * columns + folder.column[there]] = folder.targets()[there]
    plan = ScanPlan(rows=rows, columns=columns, margin=0, centre_um=(0.0, 0.0))
    middle = folder.grid // 2
    return KnownScan(
        group=folder.name,
        seed=None,
        info=_info(folder.name, plan),
        lines=list(_lines(folder)),
        truth=targets[:, middle, middle].reshape(rows, columns),
        targets=targets,
    )


def _lines(folder: PaperFolder) -> Iterator[FrameLine]:
    images = folder.frames().astype(np.uint16)
    for row in range(folder.row.max() + 1):
        here = np.flatnonzero(folder.row == row)
        unknown = np.full((len(here), 2), np.nan)
        yield FrameLine(row, folder.column[here], images[here], unknown)


def _info(name: str, plan: ScanPlan) -> RunInfo:
    """Describe a camera whose numbers are levels: none is dark, and white is an open peak."""
    sensor = Sensor(offset_adu=0.0, gain_e_per_adu=_ASSUMED_OPEN_PEAK_E / WHITE)
    peak_e_per_ms = _ASSUMED_OPEN_PEAK_E / plan.exposure_ms
    camera = SimulatedCameraConfig(sensor=sensor, open_peak_e_per_ms=peak_e_per_ms)
    instrument = InstrumentConfig(name="levels", camera=camera)
    return RunInfo(provenance=Provenance.now({}), instrument=instrument, plan=plan, sample=name)
