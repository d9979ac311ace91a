"""Frames per second of the reconstruction, live and offline, on two CPU cores.

    python benchmarks/live_speed.py

A run is recorded once; its frames are then handed to the live reconstruction as fast
as it takes them, with the map read out every 0.3 s as the preview does: by the scan network,
by the frame network, and by both as in the preview. Offline is what `opticalnet reconstruct`
reports, reading from disk included. Medians of five.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import opticalnet
from acquisition.frame import Frame, Status
from acquisition.store import Run
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import Predictor
from reconstruction.shipped import frame_predictor, scan_predictor

CPU = torch.device("cpu")
GRID = 7
ROUNDS = 5


def live(run: Run, predictor: Predictor, impression: Predictor | None = None) -> float:
    """Return frames per second; the map must be complete."""
    plan = run.info.plan
    points, images = run.points(), np.concatenate([run.frames(row) for row in range(plan.rows)])
    frames = [
        Frame(point, images[point.index], tuple(readback_um), 0.0, 1, Status.VALID)
        for point, readback_um in zip(plan.points(), points.readback_um, strict=True)
    ]
    reconstruction = LiveReconstruction(predictor, plan, impression)
    began = drawn = time.perf_counter()
    for frame in frames:
        reconstruction.add(frame)
        if time.perf_counter() - drawn > 0.3:
            reconstruction.probability()
            drawn = time.perf_counter()
    reconstruction.finish()
    rate = len(frames) / (time.perf_counter() - began)
    assert np.isfinite(reconstruction.probability()).all()
    return rate


def scan_network(run: Run) -> float:
    """Live, by the scan network."""
    return live(run, scan_predictor(run.info, CPU)[0])


def frame_network(run: Run) -> float:
    """Live, by the frame network."""
    return live(run, frame_predictor(run.info, GRID, CPU)[0])


def both(run: Run) -> float:
    """Live, as the preview does it."""
    impression = frame_predictor(run.info, GRID, CPU)[0]
    return live(run, scan_predictor(run.info, CPU)[0], impression)


def offline(run: Run, method: Literal["network", "frames"]) -> float:
    """From disk."""
    return opticalnet.reconstruct(run.path, method=method, grid=GRID).frames_per_s


def main() -> None:
    """Record, replay, print."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.zarr"
        opticalnet.acquire("ss", out=out)
        run = Run(out)
        print("| | frames/s |\n|---|---|")
        for name, rate in {
            "live, scan network": lambda: scan_network(run),
            f"live, frame network, grid {GRID}": lambda: frame_network(run),
            "live, both as in the preview": lambda: both(run),
            "offline, scan network": lambda: offline(run, "network"),
            f"offline, frame network, grid {GRID}": lambda: offline(run, "frames"),
        }.items():
            median = statistics.median(rate() for _ in range(ROUNDS))
            print(f"| {name} | {median:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
