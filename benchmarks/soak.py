"""A scan in a storm: one per cent of every fault, and frames that say where they were taken.

    python benchmarks/soak.py [POINTS]

100,000 points, or as many, on devices that take no time, wrapped by those that go wrong. In
the end every frame that counts as good is read back: it carries the position at which it was
taken, and has to be the one whose checksum was acknowledged.
"""

import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.faults import CameraFaults, DiskFaults, Faults, StageFaults
from configs.instrument import InstrumentConfig
from opticalnet.rehearsal import FaultyDisk, with_faults
from simulation.clock import VirtualClock
from simulation.fate import Fate
from simulation.instant import InstantStage, PositionCamera, position_um

COLUMNS = 100
STORM = Faults(
    seed=1,
    stage=StageFaults(refused=0.01, late=0.01, off_target=0.01, garbage=0.01, dead=0.01),
    camera=CameraFaults(
        refused=0.01,
        lost=0.01,
        repeated=0.01,
        torn=0.01,
        saturated=0.01,
        dark=0.01,
        dead=0.01,
    ),
    disk=DiskFaults(full=0.01),
)


class Watcher(SilentObserver):
    """Keeps what a scan took of time and memory."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.times_s: list[float] = []
        self.memory_mb: list[float] = []

    def frame(self, frame) -> None:
        """Note the clock, and now and then the memory."""
        self.times_s.append(self._clock.now())
        if len(self.times_s) % 1000 == 0:
            self.memory_mb.append(resident_mb())


def resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def soak(folder: Path, points: int) -> None:
    """Scan, check everything, print a table."""
    config = InstrumentConfig(name="soak")
    stage, clock = InstantStage(config.travel), VirtualClock()
    fate = Fate(STORM, clock)
    instrument = with_faults(Instrument(stage, PositionCamera(stage), clock), fate)
    plan = ScanPlan(
        rows=points // COLUMNS,
        columns=COLUMNS,
        centre_um=config.travel.centre_um,
        landmark=None,
    )
    info = RunInfo(provenance=Provenance.now({}), instrument=config, plan=plan, sample="soak")
    watcher, began = Watcher(clock), time.perf_counter()
    with RunWriter.create(folder / "soak.zarr", info, disk=FaultyDisk(fate)) as writer:
        summary = scan(info, instrument, writer, watcher)
    seconds = time.perf_counter() - began
    wrong = count_wrong(Run(folder / "soak.zarr"))
    timing = config.timing
    # Attempts before the light is looked for and after, and waiting for it.
    attempt_s = timing.move_timeout_s + timing.frame_timeout_s + 4
    allowed_s = 2 * timing.attempts * attempt_s + 5 * STORM.camera.dark_frames
    longest_s = max(b - a for a, b in pairwise(watcher.times_s))
    half = len(watcher.memory_mb) // 2
    print("| | |\n|---|---|")
    print(f"| points | {summary.points:,}, {len(plan) - summary.valid} invalid in the end |")
    for name, count in sorted(fate.counts.items()):
        print(f"| {name} | {count:,} |")
    print(f"| good frames that are wrong | {wrong} |")
    print(f"| longest point, s of the instrument | {longest_s:.0f}, allowed {allowed_s:.0f} |")
    print(
        f"| memory, MB, in the middle and at the end |"
        f" {watcher.memory_mb[half]:.0f}, {watcher.memory_mb[-1]:.0f} |"
    )
    print(f"| s on the wall | {seconds:.0f} |")
    assert not wrong
    assert longest_s <= allowed_s
    assert watcher.memory_mb[-1] <= 1.1 * watcher.memory_mb[half], "memory grows"


def count_wrong(run: Run) -> int:
    """Count frames that count as good and were taken elsewhere; checksums are compared too."""
    plan, wrong = run.info.plan, 0
    for line in run.lines(run.points()):
        for column, image in zip(line.columns, line.images, strict=True):
            target_um = plan.point(line.row, int(column)).target_um
            if not np.allclose(position_um(image), target_um, atol=0.003):
                print(f"wrong: {line.row}, {column}: {position_um(image)}, not {target_um}")
                wrong += 1
    return wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        soak(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
