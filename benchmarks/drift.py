"""A scan of two hours on a sample that drifts, with the stage following it and without.

    python benchmarks/drift.py

200 x 200 points, 180 ms each; the sample drifts by 5 nm/min, walks at random by 1 nm per root
minute along each axis, and jumps by 100 nm after an hour. Where it really is, is known: so is
how far the beam was off its squares. Beside it the same scan without drift, and what the scan
network makes of each.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

import opticalnet
from acquisition.engine import scan
from acquisition.observer import SilentObserver
from acquisition.plan import LandmarkSchedule, ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.instrument import (
    Environment,
    InstrumentConfig,
    SimulatedCameraConfig,
    SimulatedStageConfig,
)
from drivers.protocols import Clock, XYStage
from opticalnet.devices import open_instrument
from simulation.samples import Sample

SQUARES = 198
NM_PER_MIN = 5.0
WALK_NM_PER_SQRT_MIN = 1.0
JUMP_NM = 100.0
CONFIG = InstrumentConfig(
    name="slow",
    camera=SimulatedCameraConfig(open_peak_e_per_ms=20.0),
    stage=SimulatedStageConfig(settling_ms=75.0),
    environment=Environment(
        drift_nm_per_min=(0.0, 0.0),
        random_walk_nm_per_sqrt_min=0.0,
        focus_drift_nm_per_min=0.0,
        focus_walk_nm_per_sqrt_min=0.0,
        background_e_per_ms=0.005,
    ),
)


class Drifting:
    """A stage that goes elsewhere without saying so: as good as a sample that moves."""

    def __init__(self, stage: XYStage, clock: Clock) -> None:
        self._stage, self._clock = stage, clock
        self.limits, self.identity = stage.limits, stage.identity
        steps = np.random.default_rng(3).normal(0, WALK_NM_PER_SQRT_MIN, (600, 2))
        self._walk_nm = np.cumsum(steps, axis=0)
        self._hidden_um = (0.0, 0.0)
        self.wait_settled, self.stop, self.close = stage.wait_settled, stage.stop, stage.close

    def hidden_um(self) -> np.ndarray:
        """By how much (x, y) the sample has moved by now."""
        minutes = self._clock.now() / 60
        direction = np.array([0.8, 0.6])
        walk_nm = self._walk_nm[int(minutes)]
        jump_nm = JUMP_NM * direction[::-1] * (minutes > 60)
        moved: np.ndarray = (NM_PER_MIN * minutes * direction + jump_nm + walk_nm) / 1000
        return moved

    def move_to(self, x_um: float, y_um: float) -> None:
        """Go to where the beam meets what was there before the sample moved."""
        self._hidden_um = tuple(self.hidden_um())
        self._stage.move_to(x_um - self._hidden_um[0], y_um - self._hidden_um[1])

    def position(self) -> tuple[float, float]:
        """Where it would be if nothing had moved."""
        x_um, y_um = self._stage.position()
        return x_um + self._hidden_um[0], y_um + self._hidden_um[1]


class Off(SilentObserver):
    """Notes by how much the beam was off each square, when it was taken last."""

    def __init__(self, stage: Drifting | None) -> None:
        self._stage = stage
        self.off_um: dict[int, np.ndarray] = {}
        self.visits = 0

    def frame(self, frame: opticalnet.Frame) -> None:
        """Note a frame."""
        hidden = np.zeros(2) if self._stage is None else self._stage.hidden_um()
        self.off_um[frame.point.index] = np.array(frame.correction_um) - hidden

    def landmark(self, visit: opticalnet.LandmarkVisit) -> None:
        """Count a visit."""
        self.visits += visit.is_believed

    def warning(self, message: str) -> None:
        """Say it."""
        print(f"warning: {message}")


def measure(folder: Path, sample: Sample, *, drifts: bool, follows: bool) -> str:
    """Scan and reconstruct; return figures as cells of a table."""
    landmark = LandmarkSchedule() if follows else None
    plan = ScanPlan(
        rows=SQUARES + 2,
        columns=SQUARES + 2,
        exposure_ms=100.0,
        centre_um=CONFIG.travel.centre_um,
        landmark=landmark,
    )
    info = RunInfo(
        provenance=Provenance.now({}), instrument=CONFIG, plan=plan, sample=sample.name
    )
    out = folder / f"{drifts}{follows}.zarr"
    with (
        open_instrument(CONFIG, sample, seed=0) as devices,
        RunWriter.create(out, info, sample.coverage) as writer,
    ):
        stage = Drifting(devices.stage, devices.clock) if drifts else None
        if stage is not None:
            devices = dataclasses.replace(devices, stage=stage)
        off = Off(stage)
        summary = scan(info, devices, writer, off)
    rms_nm = 1000 * np.sqrt(np.mean(np.sum(np.square(list(off.off_um.values())), axis=1)))
    result = opticalnet.reconstruct(out)
    assert Run(out).truth is not None
    assert result.stitched is not None
    scores = result.stitched
    return (
        f"{summary.seconds / 3600:.2f} | {off.visits} | {rms_nm:.1f} | {scores.accuracy:.4f} |"
        f" {scores.jaccard:.4f} | {scores.constant_accuracy:.3f} |"
    )


def main() -> None:
    """Measure all three, print a table."""
    squares = np.random.default_rng(1).random((SQUARES, SQUARES)) < 0.35
    sample = Sample("random squares", squares.astype(float))
    print("| | h | visits | beam off, nm rms | accuracy | Jaccard | constant |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, drifts, follows in (
            ("no drift", False, False),
            ("drift, followed", True, True),
            ("drift, not followed", True, False),
        ):
            print(f"| {name} | {measure(Path(folder), sample, drifts=drifts, follows=follows)}")


if __name__ == "__main__":
    main()
