"""Points per second from the scan engine to a durable run, beside a stock acquisition.

    python benchmarks/engine_speed.py [--rows 66] [--peer-points 300]

Ours: instant devices, so that only the engine and the store take time; every line is
synced to disk with its journal. Peer: pymmcore-plus running the same grid of positions
on its DemoCamera (no exposure to speak of) into OME-Zarr, as a user would start it.

Then what a point costs when its exposure takes time: a camera that sleeps for 10 ms, on the
same instant stage. Whatever a point takes beyond that is overhead, of engine, store and the
sleep itself, which wakes late; how late is measured beside it, without engine and store.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path
from statistics import median

from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.instrument import InstrumentConfig
from drivers.clock import WallClock
from drivers.protocols import Image
from simulation.instant import InstantStage, PositionCamera

EXPOSURE_MS = 10.0
ROWS_OF_EXPOSURES = 10
REPEATS = 5


class SleepyCamera(PositionCamera):
    """Takes as long for an image as it is told to expose."""

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Remember the exposure, too."""
        super().configure(image_px, binning, exposure_ms)
        self._exposure_s = 1e-3 * exposure_ms

    def snap(self, timeout_s: float) -> Image:
        """Sleep for an exposure."""
        time.sleep(self._exposure_s)
        return super().snap(timeout_s)


def ours(folder: Path, rows: int, columns: int, camera: type[PositionCamera]) -> float:
    """Return seconds per point; the run is checked for completeness."""
    config = InstrumentConfig(name="instant")
    stage = InstantStage(config.travel)
    devices = Instrument(stage, camera(stage), WallClock())
    plan = ScanPlan(
        rows=rows,
        columns=columns,
        centre_um=config.travel.centre_um,
        exposure_ms=EXPOSURE_MS,
        landmark=None,
    )
    info = RunInfo(provenance=Provenance.now({}), instrument=config, plan=plan, sample="speed")
    began = time.perf_counter()
    with RunWriter.create(folder / "ours.zarr", info) as writer:
        scan(info, devices, writer, SilentObserver())
    seconds = time.perf_counter() - began
    assert Run(folder / "ours.zarr").points().valid.all()
    return seconds / len(plan)


def sleep_ms(count: int) -> float:
    """Return how long a sleep of an exposure takes, mean of many in a row."""
    began = time.perf_counter()
    for _ in range(count):
        time.sleep(1e-3 * EXPOSURE_MS)
    return 1e3 * (time.perf_counter() - began) / count


def exposed(folder: Path) -> list[tuple[float, float]]:
    """Return ms per point with exposures, and per sleep without anything else, in turns."""
    return [
        (
            1e3 * ours(folder / f"exposed-{n}", ROWS_OF_EXPOSURES, 66, SleepyCamera),
            sleep_ms(66 * ROWS_OF_EXPOSURES),
        )
        for n in range(REPEATS)
    ]


def stock(folder: Path, points: int) -> float:
    """Return points per second of pymmcore-plus from positions to OME-Zarr."""
    import useq
    from pymmcore_plus import CMMCorePlus

    logging.disable(logging.CRITICAL)
    core = CMMCorePlus()
    core.loadSystemConfiguration()
    core.setProperty("Camera", "PixelType", "16bit")
    core.setROI(0, 0, 64, 64)
    core.setExposure(1)
    positions = [(0.18 * (i % 66), 0.18 * (i // 66)) for i in range(points)]
    sequence = useq.MDASequence(stage_positions=positions)
    began = time.perf_counter()
    core.run_mda(sequence, output=str(folder / "stock.ome.zarr"), block=True)
    seconds = time.perf_counter() - began
    core.unloadAllDevices()
    return points / seconds


def main() -> None:
    """Measure all in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=66)
    parser.add_argument("--peer-points", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder, rows = Path(name), arguments.rows
        mine = 1 / median(ours(folder / str(i), rows, 66, PositionCamera) for i in range(3))
        turns = exposed(folder)
        peer = stock(folder, arguments.peer_points)
    print("| | points/s |\n|---|---|")
    print(f"| OpticalNet, {rows} x 66 points, synced (median of 3) | {mine:,.0f} |")
    print(f"| pymmcore-plus to OME-Zarr, {arguments.peer_points} positions | {peer:,.0f} |")
    print(f"| ratio | {mine / peer:.0f} |\n")
    beyond = [(point - EXPOSURE_MS, sleep - EXPOSURE_MS) for point, sleep in turns]
    overhead, late = (median(column) for column in zip(*beyond, strict=True))
    own = median(point - sleep for point, sleep in turns)
    print(
        f"| exposures of {EXPOSURE_MS:g} ms, {ROWS_OF_EXPOSURES} x 66 points | ms |\n|---|---|"
    )
    print(f"| a point, synced (median of {REPEATS}) | {EXPOSURE_MS + overhead:.2f} |")
    print(f"| of that overhead | {overhead:.2f} |")
    print(f"| a sleep of {EXPOSURE_MS:g} ms by itself wakes late by | {late:.2f} |")
    print(f"| overhead without that (median of {REPEATS}) | {own:.2f} |")
    print(f"| worst overhead of {REPEATS} | {max(point for point, _ in beyond):.2f} |")


if __name__ == "__main__":
    main()
