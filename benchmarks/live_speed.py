"""Frames per second of the reconstruction, live and offline, on two CPU cores.

    python benchmarks/live_speed.py [--grid 7]

A run is recorded once; its frames are then handed to the live reconstruction as fast
as it takes them, with the map read out every 0.3 s as the preview does. Offline is
what `opticalnet reconstruct` reports, reading from disk included.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import opticalnet
from acquisition.frame import Frame, Status
from acquisition.store import Run
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import frame_predictor


def live(run: Run, grid: int) -> float:
    """Return frames per second; the map must be complete and that of offline."""
    plan = run.info.plan
    images = np.concatenate([run.frames(row) for row in range(plan.rows)])
    frames = [
        Frame(point, images[point.index], point.target_um, 0.0, 1, Status.VALID)
        for point in plan.points()
    ]
    reconstruction = LiveReconstruction(
        frame_predictor(run.info, grid, torch.device("cpu")), plan
    )
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


def main() -> None:
    """Record, replay, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grid", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.zarr"
        opticalnet.acquire("ss", out=out)
        run = Run(out)
        print("| threads | | frames/s at grid", arguments.grid, "|\n|---|---|---|")
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rates = sorted(live(run, arguments.grid) for _ in range(5))
            print(f"| {threads} | live (median of 5) | {rates[2]:,.0f} |")
            rates = sorted(
                opticalnet.reconstruct(out, grid=arguments.grid).frames_per_s for _ in range(5)
            )
            print(f"| {threads} | offline (median of 5) | {rates[2]:,.0f} |")


if __name__ == "__main__":
    main()
