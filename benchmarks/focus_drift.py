"""A scan of two hours on a sample that drifts out of focus, with a focus drive and without.

    python benchmarks/focus_drift.py

200 x 200 points, 180 ms each; the sample drifts by 10 nm/min away from the camera and by
5 nm/min across the beam, and jumps by 200 nm along it after an hour. Where it really
is, is known: so are the defocus of every frame and how far the beam was off its square. A
scan that pauses is told to go on.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

import opticalnet
from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import RunInfo
from acquisition.writer import RunWriter
from configs.geometry import SQUARE_NM, SampleGeometry
from configs.instrument import (
    Environment,
    InstrumentConfig,
    SimulatedCameraConfig,
    SimulatedFocusConfig,
    SimulatedStageConfig,
)
from drivers.protocols import Clock
from simulation.camera import SimulatedCamera
from simulation.clock import VirtualClock
from simulation.focus import SimulatedFocus
from simulation.samples import Sample
from simulation.stage import SimulatedStage
from simulation.world import World

POINTS = 200
JUMP_MIN = 60.0
FOCUS_NM_PER_MIN = 10.0
JUMP_NM = 200.0
ACROSS_NM_PER_MIN = (4.0, 3.0)
CAMERA = SimulatedCameraConfig(open_peak_e_per_ms=20.0)
ENVIRONMENT = Environment(
    drift_nm_per_min=ACROSS_NM_PER_MIN,
    random_walk_nm_per_sqrt_min=0.0,
    focus_drift_nm_per_min=0.0,
    focus_walk_nm_per_sqrt_min=0.0,
    background_e_per_ms=0.005,
)
FOCUS = SimulatedFocusConfig()


class Bench:
    """Simulated devices, and a sample that jumps."""

    def __init__(self, config: InstrumentConfig, sample: Sample) -> None:
        self._clock: Clock = VirtualClock()
        stage_config = config.stage
        assert isinstance(stage_config, SimulatedStageConfig)
        stage = SimulatedStage(stage_config, config.travel, self._clock, 0)
        self._focus = SimulatedFocus(FOCUS, self._clock, np.random.default_rng(0))
        world = World(
            sample=sample,
            geometry=SampleGeometry(*sample.coverage.shape, SQUARE_NM, config.travel.centre_um),
            optics=config.optics,
            camera=CAMERA,
            environment=ENVIRONMENT,
            stage_um=stage.true_position_um,
            is_lit=lambda: True,
            clock=self._clock,
            seed=0,
            defocus_um=self.defocus_um,
        )
        camera = SimulatedCamera(CAMERA, config.optics, world, self._clock)
        focus = None if config.focus is None else self._focus
        self.instrument = Instrument(stage, camera, self._clock, focus=focus)

    def defocus_um(self) -> float:
        """By how much the sample is out of its plane now."""
        minutes = self._clock.now() / 60
        jump_nm = JUMP_NM * (minutes > JUMP_MIN)
        return (FOCUS_NM_PER_MIN * minutes + jump_nm) / 1000 + self._focus.defocus_um()

    def across_um(self) -> np.ndarray:
        """By how much (x, y) the sample has moved across the beam by now."""
        moved: np.ndarray = np.array(ACROSS_NM_PER_MIN) * self._clock.now() / 60_000
        return moved


@dataclass
class Notes(SilentObserver):
    """Notes by how much each point was off its square and out of focus, when taken last."""

    bench: Bench
    off_um: dict[int, np.ndarray] = field(default_factory=dict)
    defocus_um: dict[int, float] = field(default_factory=dict)
    visits: int = 0
    pauses: int = 0

    def frame(self, frame: opticalnet.Frame) -> None:
        """Note a frame."""
        self.off_um[frame.point.index] = np.array(frame.correction_um) - self.bench.across_um()
        self.defocus_um[frame.point.index] = self.bench.defocus_um()

    def landmark(self, visit: opticalnet.LandmarkVisit) -> None:
        """Count a visit."""
        self.visits += visit.is_believed

    def paused(self, reason: str) -> bool:
        """Go on."""
        self.pauses += 1
        return True

    def warning(self, message: str) -> None:
        """Say it."""
        print(f"warning: {message}")


def rms_nm(errors_um: Iterable[float] | Iterable[np.ndarray]) -> float:
    """Root mean square of lengths, (n,) or (n, 2)."""
    errors = np.array(list(errors_um))
    squares = np.square(errors).reshape(len(errors), -1)
    return 1000 * float(np.sqrt(squares.sum(axis=1).mean()))


def measure(folder: Path, *, follows: bool) -> str:
    """Scan and reconstruct; return figures as cells of a table."""
    began_s = time.perf_counter()
    config = InstrumentConfig(
        name="slow",
        camera=CAMERA,
        stage=SimulatedStageConfig(settling_ms=75.0),
        environment=ENVIRONMENT,
        focus=FOCUS if follows else None,
    )
    plan = ScanPlan(
        rows=POINTS, columns=POINTS, exposure_ms=100.0, centre_um=config.travel.centre_um
    )
    squares = np.random.default_rng(1).random(plan.sample_shape) < 0.35
    sample = Sample("random squares", squares.astype(float))
    info = RunInfo(
        provenance=Provenance.now({}), instrument=config, plan=plan, sample=sample.name
    )
    bench, out = Bench(config, sample), folder / f"{follows}.zarr"
    notes = Notes(bench)
    with RunWriter.create(out, info, sample.coverage) as writer:
        summary = scan(info, bench.instrument, writer, notes)
    dithers = zarr.open_group(out, mode="r")["landmark/dither"]
    assert isinstance(dithers, zarr.Group)
    scores = opticalnet.reconstruct(out).stitched
    assert scores is not None
    before_um = [off for index, off in notes.off_um.items() if index < len(plan) // 2]
    return (
        f"{summary.seconds / 3600:.2f} | {notes.visits}"
        f" | {rms_nm(notes.defocus_um.values()):.1f} | {rms_nm(notes.off_um.values()):.1f}"
        f" | {rms_nm(before_um):.1f}"
        f" | {sum(1 for _ in dithers.group_keys()) - 1} | {notes.pauses}"
        f" | {scores.accuracy:.4f} | {time.perf_counter() - began_s:.0f} |"
    )


def main() -> None:
    """Measure both, print a table."""
    print(
        "| | h | visits | defocus, nm rms | beam off, nm rms | before the jump |"
        " learnt anew | pauses | accuracy | s on the wall |"
    )
    print("|---" * 10 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, follows in (("focus drive", True), ("none", False)):
            print(f"| {name} | {measure(Path(folder), follows=follows)}", flush=True)


if __name__ == "__main__":
    main()
