"""A scan in a storm: one per cent of every fault, and frames that say where they were taken.

    python benchmarks/soak.py [POINTS]

100,000 points, or as many, on devices that take no time, wrapped by those that go wrong. In
the end every frame that counts as good is read back: it carries the position at which it was
taken, and has to be the one whose checksum was acknowledged, as a reader beside the scan saw
it. Calls that hang, in real time, end a session each, and the next one goes on with the run:
one per cent of those too, over a fiftieth of the points. ``soak_drift.py`` is the same for a
sample that jumps.
"""

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from soak_parts import (
    SHARE,
    Seen,
    lost,
    print_counts,
    resident_mb,
    scan_until_whole,
    storm,
)

from acquisition.frame import Frame
from acquisition.instrument import Instrument
from acquisition.plan import FinishSchedule, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from configs.faults import Faults
from configs.instrument import InstrumentConfig, Limits, Timing, Travel
from opticalnet.rehearsal import with_faults
from simulation.clock import VirtualClock
from simulation.fate import Fate
from simulation.instant import InstantFocus, InstantStage, PositionCamera, position_um
from simulation.shutter import SimulatedShutter

COLUMNS = 100
TIMEOUT_S = 0.25
GRACE_S = 2.0
"""Of the watchdog, beyond a deadline."""
SAFE_WITHIN_S = 0.2
CONFIG = InstrumentConfig(
    name="soak",
    timing=Timing(move_timeout_s=TIMEOUT_S, frame_timeout_s=TIMEOUT_S),
    limits=Limits(temperature_c=(-20.0, 40.0)),
)


class TimedStage(InstantStage):
    """Knows when it was told to stop, on the clock of ``time.monotonic``."""

    def __init__(self, travel: Travel) -> None:
        super().__init__(travel)
        self.stopped_s: list[float] = []

    def stop(self) -> None:
        """Note the time."""
        super().stop()
        self.stopped_s.append(time.monotonic())


class TimedShutter(SimulatedShutter):
    """Knows when it was closed, on the clock of ``time.monotonic``."""

    def __init__(self) -> None:
        super().__init__()
        self.closed_s: list[float] = []

    def set_open(self, is_open: bool) -> None:
        """Note the time."""
        super().set_open(is_open)
        if not is_open:
            self.closed_s.append(time.monotonic())


class Watcher(Seen):
    """Keeps what a scan took of time and memory."""

    def __init__(self, points: int, clock: VirtualClock) -> None:
        super().__init__(points)
        self._clock = clock
        self.times_s: list[float] = []
        self.memory_mb: list[float] = []

    def frame(self, frame: Frame) -> None:
        """Note the clock, and now and then the memory."""
        super().frame(frame)
        self.times_s.append(self._clock.now())
        if len(self.times_s) % 100 == 0:
            self.memory_mb.append(resident_mb())

    def middle_and_end_mb(self) -> tuple[float, float]:
        """Return the memory in the middle of a scan and at its end."""
        return self.memory_mb[len(self.memory_mb) // 2], self.memory_mb[-1]


def soak(folder: Path, points: int, faults: Faults) -> Watcher:
    """Scan, check everything, print a table; return what was seen."""
    stage, shutter, clock = TimedStage(CONFIG.travel), TimedShutter(), VirtualClock()
    fate = Fate(faults, clock)
    bare = Instrument(stage, PositionCamera(stage), clock, shutter, InstantFocus((0.0, 100.0)))
    plan = ScanPlan(
        rows=points // COLUMNS,
        columns=COLUMNS,
        centre_um=CONFIG.travel.centre_um,
        landmark=None,
        finish=FinishSchedule(share=0.01, seconds=1e6),
    )
    info = RunInfo(provenance=Provenance.now({}), instrument=CONFIG, plan=plan, sample="soak")
    watcher, began_s = Watcher(len(plan), clock), time.perf_counter()
    path = folder / f"{points}.zarr"
    follower, ends = scan_until_whole(path, info, with_faults(bare, fate), fate, watcher)
    seconds, run = time.perf_counter() - began_s, Run(path)
    wrong, gone = count_wrong(run), lost(run, follower, watcher)
    allowed_s, longest_s = attempts_s(faults), max(b - a for a, b in pairwise(watcher.times_s))
    middle_mb, end_mb = watcher.middle_and_end_mb()
    invalid, looks = int((~run.points().valid).sum()), len(run.points().repeats)
    print("| | |\n|---|---|")
    print(f"| points | {len(plan):,}, {invalid} invalid in the end; {looks:,} further looks |")
    print_counts(fate, ends)
    print(f"| good frames that are wrong | {wrong} |")
    print(f"| acknowledged frames, lost | {follower.acknowledged:,}, {gone} |")
    print(f"| longest point, s of the instrument | {longest_s:.1f} of {allowed_s:.1f} |")
    print(f"| memory in the middle and at the end, MB | {middle_mb:.0f}, {end_mb:.0f} |")
    print(f"| s on the wall | {seconds:.0f} |", flush=True)
    check_hangs(fate, stage, shutter)
    assert not wrong
    assert not gone
    assert longest_s <= allowed_s
    return watcher


def check_hangs(fate: Fate, stage: TimedStage, shutter: TimedShutter) -> None:
    """Say how long after what a call may take the instrument was safe, at most."""
    if not fate.hangs:
        return
    late_s = [
        max(
            min(at_s for at_s in times_s if at_s > began_s)
            for times_s in (stage.stopped_s, shutter.closed_s)
        )
        - (began_s + TIMEOUT_S + GRACE_S)
        for _, began_s in fate.hangs
    ]
    print(f"| from deadline and grace to safe, ms, at most | {1000 * max(late_s):.0f} |")
    assert max(late_s) <= SAFE_WITHIN_S


def attempts_s(faults: Faults) -> float:
    """Return the longest time that a point may take by its deadlines, on the instrument."""
    # A dead device takes a second for everything else that it is asked.
    attempt_s = 2 * TIMEOUT_S + 4
    dark_s = 5 * faults.camera.dark_frames
    # Before the light is looked for, and after; and as often to come up to the next point.
    return 4 * CONFIG.timing.attempts * attempt_s + dark_s


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
        points = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
        middle_mb, end_mb = soak(Path(folder), points, storm(1)).middle_and_end_mb()
        assert end_mb <= 1.1 * middle_mb, "memory grows"
        soak(Path(folder), points // 50, storm(1, hang=SHARE))
