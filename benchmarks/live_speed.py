"""How fast the live reconstruction is, and how soon a frame is on the map, on two CPU cores.

    python benchmarks/live_speed.py

A run is recorded once; its frames are then handed to the live reconstruction as fast
as it takes them, with the map read out 15 times a second as the preview does: by the scan
network, by the frame network, and by both as in the preview. Offline is what
`opticalnet reconstruct` reports, reading from disk included. Medians of five.

Latency: frames come every 21 ms, as from an exposure of 10 ms and a stage. A frame is on the
map once a map that it changed can be read; on the screen after the next redraw at the latest.
"""

import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console

import opticalnet
from acquisition.frame import Frame, Status
from acquisition.store import Run
from opticalnet.dashboard import Dashboard
from opticalnet.preview import REDRAWS_PER_S
from reconstruction.live import LiveReconstruction
from reconstruction.load import frame_predictor, scan_predictor
from reconstruction.predictor import Predictor

CPU = torch.device("cpu")
GRID = 7
ROUNDS = 5
FRAME_S = 0.021
WATCHED = 500


def frames_of(run: Run) -> list[Frame]:
    """Return the frames of a run, as the scan handed them over."""
    plan, points = run.info.plan, run.points()
    images = np.concatenate([run.frames(row) for row in range(plan.rows)])
    return [
        Frame(point, images[point.index], tuple(readback_um), 0.0, 1, Status.VALID)
        for point, readback_um in zip(plan.points(), points.readback_um, strict=True)
    ]


def live(run: Run, predictor: Predictor, impression: Predictor | None = None) -> float:
    """Return frames per second; the map must be complete."""
    frames = frames_of(run)
    reconstruction = LiveReconstruction(predictor, run.info.plan, impression)
    began = drawn = time.perf_counter()
    for frame in frames:
        reconstruction.add(frame)
        if time.perf_counter() - drawn > 1 / REDRAWS_PER_S:
            reconstruction.probability()
            drawn = time.perf_counter()
    reconstruction.finish()
    rate = len(frames) / (time.perf_counter() - began)
    assert np.isfinite(reconstruction.probability()).all()
    return rate


def latencies_ms(run: Run) -> list[float]:
    """Milliseconds from each of some frames to a map that it changed."""
    impression = frame_predictor(run.info, GRID, CPU)[0]
    predictor = scan_predictor(run.info, CPU)[0]
    reconstruction = LiveReconstruction(predictor, run.info.plan, impression)
    took_ms = []
    for frame in frames_of(run)[:WATCHED]:
        before, began = reconstruction.probability(), time.perf_counter()
        reconstruction.add(frame)
        while reconstruction.probability() is before:
            time.sleep(1e-4)
        took_ms.append(1000 * (time.perf_counter() - began))
        time.sleep(max(0.0, began + FRAME_S - time.perf_counter()))
    reconstruction.finish()
    return took_ms


def drawing_ms(run: Run) -> float:
    """Milliseconds that a redraw of a terminal of 110 x 40 takes."""
    reconstruction = LiveReconstruction(frame_predictor(run.info, GRID, CPU)[0], run.info.plan)
    for frame in frames_of(run):
        reconstruction.add(frame)
    reconstruction.finish()
    dashboard = Dashboard(run.info, "run.zarr", reconstruction)
    took_ms = []
    for _ in range(20):
        console = Console(file=io.StringIO(), force_terminal=True, width=110, height=40)
        began = time.perf_counter()
        console.print(dashboard.picture(*console.size))
        took_ms.append(1000 * (time.perf_counter() - began))
    return statistics.median(took_ms)


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
        print_latency(latencies_ms(run), drawing_ms(run))


def print_latency(map_ms: list[float], drawing_ms: float) -> None:
    """Print how soon a frame is on the map, and on the screen at the latest."""
    typical_ms, slow_ms = np.percentile(map_ms, [50, 99])
    print("\n| | ms |\n|---|---|")
    print(f"| frame to map, median | {typical_ms:.1f} |")
    print(f"| frame to map, slowest of a hundred | {slow_ms:.1f} |")
    print(f"| redraw | {drawing_ms:.1f} |")
    latest_ms = slow_ms + 1000 / REDRAWS_PER_S + 2 * drawing_ms
    print(f"| frame to screen, at the latest | {latest_ms:.0f} |")


if __name__ == "__main__":
    main()
