"""A scan in a storm on a sample that jumps, and where the beam was in its good frames.

    python benchmarks/soak_drift.py

66 x 66 points of the star on the simulated instrument, with shutter and focus drive, one per
cent of every fault of stage, focus drive, shutter, camera and disk, and 20 further looks.
Two moves in a thousand the sample jumps by 100 nm, and nothing says so; a look at the landmark
before every line follows it. Where the beam really is, is known: a good frame is wrong if it
was farther from its square, or the sample from its plane, than the scan tolerates. What was
taken between a jump and the next look must have been withdrawn, and is counted by itself.
Hangs are left to ``soak.py``.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from soak_parts import Seen, lost, print_counts, scan_until_whole, storm

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.instrument import Instrument
from acquisition.plan import FinishSchedule, LandmarkSchedule, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from configs.instrument import (
    Environment,
    InstrumentConfig,
    Limits,
    SimulatedFocusConfig,
    SimulatedShutterConfig,
)
from opticalnet.devices import open_instrument
from opticalnet.rehearsal import with_faults
from simulation.fate import Fate
from simulation.focus import SimulatedFocus
from simulation.samples import load_sample
from simulation.stage import SimulatedStage

JUMP = 0.002
STORM = storm(1, jump=JUMP)
STILL = Environment(
    drift_nm_per_min=(0.0, 0.0),
    random_walk_nm_per_sqrt_min=0.0,
    focus_drift_nm_per_min=0.0,
    focus_walk_nm_per_sqrt_min=0.0,
    vibration_nm=0.0,
)
CONFIG = InstrumentConfig(
    name="soak",
    shutter=SimulatedShutterConfig(),
    focus=SimulatedFocusConfig(),
    limits=Limits(temperature_c=(-20.0, 40.0)),
    environment=STILL,
)


class Truth(Seen):
    """Notes how far the beam was off the square, and the sample off its plane, in good frames.

    Attributes
    ----------
    off_nm
        By (point, repeat) of frames that were good when taken, (x and y, z).
    unknown
        Those of them that were taken between a jump and the next look that was believed.
    visits
        Looks that were believed.
    """

    def __init__(self, points: int, bare: Instrument, fate: Fate) -> None:
        super().__init__(points)
        self.off_nm: dict[tuple[int, int | None], tuple[float, float]] = {}
        self.unknown: set[tuple[int, int | None]] = set()
        self.visits = 0
        self._bare, self._fate, self._jumps_known = bare, fate, 0

    def landmark(self, visit: LandmarkVisit) -> None:
        """Know of the jumps up to here."""
        if visit.is_believed:
            assert self.visits or not self._jumps, "a jump while it learns: take another seed"
            self.visits += 1
            self._jumps_known = self._jumps

    def frame(self, frame: Frame) -> None:
        """Note where a good frame was really taken."""
        super().frame(frame)
        if frame.status is not Status.VALID:
            return
        stage, focus = self._bare.stage, self._bare.focus
        assert isinstance(stage, SimulatedStage)
        assert isinstance(focus, SimulatedFocus)
        off_um = np.subtract(stage.true_position_um(), frame.point.target_um)
        off_nm = 1000 * float(np.hypot(*off_um)), 1000 * abs(focus.defocus_um())
        key = frame.point.index, frame.repeat
        self.off_nm[key] = off_nm
        (self.unknown.discard if self._jumps == self._jumps_known else self.unknown.add)(key)
        self.taken_unknown += self._jumps != self._jumps_known

    @property
    def _jumps(self) -> int:
        return self._fate.counts["stage jump"]


def soak(folder: Path) -> None:
    """Scan, check everything, print a table."""
    began, path = time.perf_counter(), folder / "soak.zarr"
    sample = load_sample("ss", seed=0)
    plan = ScanPlan(
        centre_um=CONFIG.travel.centre_um,
        landmark=LandmarkSchedule(every_lines=1),
        finish=FinishSchedule(share=0.005),
    )
    info = RunInfo(provenance=Provenance.now({}), instrument=CONFIG, plan=plan, sample="ss")
    with open_instrument(CONFIG, sample, seed=0) as bare:
        fate = Fate(STORM, bare.clock)
        truth = Truth(len(plan), bare, fate)
        follower, ends = scan_until_whole(path, info, with_faults(bare, fate), fate, truth)
    points, gone = Run(path).points(), lost(Run(path), follower, truth)
    timing = CONFIG.timing
    limits_nm = timing.position_tolerance_nm, timing.focus_tolerance_nm
    off_nm, unknowable_nm = np.array(truth.off_nm), np.array(truth.unknowable_nm).reshape(-1, 2)
    wrong = int((off_nm > limits_nm).any(axis=1).sum())
    print("| | |\n|---|---|")
    print(f"| points | {len(plan):,}, {(~points.valid).sum()} invalid in the end |")
    print_counts(fate, ends)
    print(f"| looks at the landmark that were believed | {truth.visits} |")
    rms_nm, most_nm = np.sqrt(np.mean(off_nm**2, axis=0)), off_nm.max(axis=0)
    print(f"| beam off its square, nm rms, at most | {rms_nm[0]:.1f}, {most_nm[0]:.1f} |")
    print(f"| sample off its plane, nm rms, at most | {rms_nm[1]:.1f}, {most_nm[1]:.1f} |")
    print(f"| good frames, wrong | {len(off_nm):,}, {wrong} |")
    astray = int((unknowable_nm > limits_nm).any(axis=1).sum())
    print(f"| between a jump and the next look, wrong | {len(unknowable_nm):,}, {astray} |")
    print(f"| acknowledged frames, lost | {follower.acknowledged:,}, {gone} |")
    print(f"| s on the wall | {time.perf_counter() - began:.0f} |")
    assert not wrong
    assert not gone


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        soak(Path(name))
