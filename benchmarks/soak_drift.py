"""A scan in a storm on a sample that jumps, and where the beam was in its good frames.

    python benchmarks/soak_drift.py

66 x 66 points of the star on the simulated instrument, with shutter and focus drive, one per
cent of every fault of stage, focus drive, shutter, camera and disk, and 20 further looks.
Two moves in a thousand the sample jumps by 100 nm, and nothing says so; a look at the landmark
before every line follows it. Where the beam really is, is known: a good frame is wrong if it
was farther from its square, or the sample from its plane, than the scan tolerates. What was
taken between a jump and the next look must have been withdrawn, and is counted by itself;
what lies between two jumps of which one undoes the other before the next look, no look can
tell: the truth does, and these frames are counted, too.
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
_NOISE_NM = 5.0  # of the difference of two looks
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
    displaced
        How many of these were taken between a jump and the next look that was believed.
    looks
        What each look that was believed said of the drift, um, and jumps until then.
    stretch
        Which of these came before each frame, by (point, repeat).
    """

    def __init__(self, points: int, bare: Instrument, fate: Fate) -> None:
        super().__init__(points)
        self.off_nm: dict[tuple[int, int | None], tuple[float, float]] = {}
        self.displaced = 0
        self.looks: list[tuple[tuple[float, ...], int]] = []
        self.stretch: dict[tuple[int, int | None], int] = {}
        self._bare, self._fate, self._jumps_known = bare, fate, 0

    def landmark(self, visit: LandmarkVisit) -> None:
        """Know of the jumps up to here."""
        if visit.is_believed:
            assert self.looks or not self._jumps, "a jump while it learns: take another seed"
            self.looks.append((visit.drift_um, self._jumps))
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
        self.off_nm[frame.point.index, frame.repeat] = off_nm
        self.stretch[frame.point.index, frame.repeat] = len(self.looks)
        self.displaced += self._jumps != self._jumps_known

    def came_back(self, key: tuple[int, int | None], limit_nm: float) -> bool:
        """Say whether the looks around a frame found jumps between them undone."""
        before, after = self.looks[self.stretch[key] - 1 : self.stretch[key] + 1]
        moved_nm = 1000 * float(np.hypot(*np.subtract(after[0], before[0])[:2]))
        return after[1] - before[1] > 1 and moved_nm < limit_nm

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
    good = [(int(index), None) for index in np.flatnonzero(points.valid)]
    looks = points.repeats.values()
    good += [(look.index, look.repeat) for look in looks if look.status is Status.VALID]
    timing = CONFIG.timing
    limits_nm = timing.position_tolerance_nm, timing.focus_tolerance_nm
    off_nm = np.array([truth.off_nm[key] for key in good])
    wrong = [key for key in good if np.greater(truth.off_nm[key], limits_nm).any()]
    untold = [key for key in wrong if truth.came_back(key, limits_nm[0] + _NOISE_NM)]
    print("| | |\n|---|---|")
    print(f"| points | {len(plan):,}, {(~points.valid).sum()} invalid in the end |")
    print_counts(fate, ends)
    print(f"| looks at the landmark that were believed | {len(truth.looks)} |")
    rms_nm, most_nm = np.sqrt(np.mean(off_nm**2, axis=0)), off_nm.max(axis=0)
    print(f"| beam off its square, nm rms, at most | {rms_nm[0]:.1f}, {most_nm[0]:.1f} |")
    print(f"| sample off its plane, nm rms, at most | {rms_nm[1]:.1f}, {most_nm[1]:.1f} |")
    print(f"| good frames, wrong | {len(off_nm):,}, {len(wrong) - len(untold)} |")
    print(f"| wrong between a jump and one back before the next look | {len(untold)} |")
    print(f"| taken between a jump and the next look, withdrawn | {truth.displaced:,} |")
    print(f"| acknowledged frames, lost | {follower.acknowledged:,}, {gone} |")
    print(f"| s on the wall | {time.perf_counter() - began:.0f} |")
    assert len(wrong) == len(untold)
    assert not gone


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        soak(Path(name))
