"""What both soaks share: the storm, sessions until a run is whole, and who watched them."""

import resource
import threading
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from acquisition.creation import create_run
from acquisition.engine import scan
from acquisition.frame import Frame, Status
from acquisition.instrument import Instrument
from acquisition.journal import JournalReader
from acquisition.observer import SilentObserver
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.errors import OpticalNetError
from configs.faults import (
    CameraFaults,
    DiskFaults,
    DriveFaults,
    Faults,
    ShutterFaults,
    StageFaults,
)
from opticalnet.rehearsal import FaultyDisk
from simulation.fate import Fate

SHARE = 0.01
DRIVE = dict.fromkeys(("refused", "late", "off_target", "garbage", "dead"), SHARE)
CAMERA = ("refused", "lost", "repeated", "torn", "saturated", "dark", "dead", "hot")
READ_EVERY_S = 0.5
NONE = -1
"""Checksum of a point without a good frame."""


def storm(seed: int, *, hang: float = 0.0, jump: float = 0.0) -> Faults:
    """Return one per cent of every fault, but for those that end a scan or move the sample."""
    return Faults(
        seed=seed,
        stage=StageFaults(**DRIVE, hang=hang, jump=jump),
        focus=DriveFaults(**DRIVE, hang=hang),
        shutter=ShutterFaults(refused=SHARE, stuck=SHARE),
        camera=CameraFaults(**dict.fromkeys(CAMERA, SHARE), hang=hang),
        disk=DiskFaults(full=SHARE),
        latency_s=0.001,
    )


class Follower:
    """A reader of the journal beside the scan: knows what was acknowledged.

    Attributes
    ----------
    crc32
        (scan,), of the good frame that was acknowledged last at each point.
    withdrawn
        (scan,), whether a good frame has been withdrawn since.
    acknowledged
        How many good frames there were, those of points that were taken again included.
    """

    def __init__(self, run: Path, points: int) -> None:
        self.crc32 = np.full(points, NONE, np.int64)
        self.withdrawn = np.zeros(points, bool)
        self.acknowledged = 0
        self._reader = JournalReader(run, points)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._read()

    def _follow(self) -> None:
        while not self._end.wait(READ_EVERY_S):
            self._read()

    def _read(self) -> None:
        for record in self._reader.records():
            self.acknowledged += record.status is Status.VALID
            if record.repeat is None:
                is_good = record.status is Status.VALID
                self.crc32[record.index] = record.crc32 if is_good else NONE
                self.withdrawn[record.index] = not record.attempts


class Seen(SilentObserver):
    """Keeps the checksum of every good frame that the scan handed over.

    Attributes
    ----------
    crc32
        (scan,), of the last one at each point.
    """

    def __init__(self, points: int) -> None:
        self.crc32 = np.full(points, NONE, np.int64)

    def frame(self, frame: Frame) -> None:
        """Note a frame."""
        if frame.repeat is None:
            is_good = frame.status is Status.VALID
            crc32 = zlib.crc32(frame.image.tobytes()) if is_good else NONE
            self.crc32[frame.point.index] = crc32


def scan_until_whole(
    path: Path, info: RunInfo, instrument: Instrument, fate: Fate, seen: Seen
) -> tuple[Follower, Counter[str]]:
    """Scan, and go on whenever something ends the scan, until the run is whole.

    Returns
    -------
    What was acknowledged; what ended sessions, and how often.
    """
    random, shape = np.random.default_rng(1), (info.plan.rows, info.plan.columns)
    ends: Counter[str] = Counter()
    create_run(path, info)
    with Follower(path, len(info.plan)) as follower:
        while True:
            try:
                with RunWriter(Run(path), FaultyDisk(fate)) as writer:
                    scan(info, instrument, writer, seen, lambda: random.random(shape))
                return follower, ends
            except OpticalNetError as error:
                ends[" ".join(str(error).split()[:2])] += 1
            assert instrument.shutter is None or not instrument.shutter.is_open()


def lost(run: Run, follower: Follower, seen: Seen) -> int:
    """Count acknowledged frames that are not, in the end, what they were."""
    points = run.points()
    now = np.where(points.valid, points.crc32, NONE)
    is_lost = (now != follower.crc32) | ((now != seen.crc32) & ~follower.withdrawn)
    damaged = [index for row in range(run.info.plan.rows) for index in run.damaged(row, points)]
    return int(is_lost.sum()) + len(damaged) + len(run.damaged_repeats(points))


def print_counts(fate: Fate, ends: Counter[str]) -> None:
    """Print what went wrong, and what ended sessions, as rows of a table."""
    for name, count in sorted(fate.counts.items()):
        if count:
            print(f"| {name} | {count:,} |")
    for end, count in ends.most_common():
        print(f"| sessions ended by: {end} | {count} |")


def resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
