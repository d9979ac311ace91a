"""Points per second from the scan engine to a durable run, beside a stock acquisition.

    python benchmarks/engine_speed.py [--rows 66] [--peer-points 300]

Ours: instant devices, so that only the engine and the store take time; every line is
synced to disk with its journal. Peer: pymmcore-plus running the same grid of positions
on its DemoCamera (no exposure to speak of) into OME-Zarr, as a user would start it.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from acquisition.engine import scan
from acquisition.instrument import Instrument
from acquisition.observer import SilentObserver
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.instrument import InstrumentConfig
from drivers.clock import WallClock
from simulation.instant import InstantStage, PositionCamera


def ours(folder: Path, rows: int, columns: int) -> float:
    """Return points per second; the run is checked for completeness."""
    config = InstrumentConfig(name="instant")
    stage = InstantStage(config.travel)
    devices = Instrument(stage, PositionCamera(stage), WallClock())
    plan = ScanPlan(
        rows=rows, columns=columns, centre_um=config.travel.centre_um, landmark=None
    )
    info = RunInfo(provenance=Provenance.now({}), instrument=config, plan=plan, sample="speed")
    began = time.perf_counter()
    with RunWriter.create(folder / "ours.zarr", info) as writer:
        scan(info, devices, writer, SilentObserver())
    seconds = time.perf_counter() - began
    assert Run(folder / "ours.zarr").points().valid.all()
    return len(plan) / seconds


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
    """Measure both in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=66)
    parser.add_argument("--peer-points", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        mine = sorted(ours(Path(folder) / str(i), arguments.rows, 66) for i in range(3))[1]
        peer = stock(Path(folder), arguments.peer_points)
    print("| | points/s |\n|---|---|")
    print(f"| OpticalNet, {arguments.rows} x 66 points, synced (median of 3) | {mine:,.0f} |")
    print(f"| pymmcore-plus to OME-Zarr, {arguments.peer_points} positions | {peer:,.0f} |")
    print(f"| ratio | {mine / peer:.0f} |")


if __name__ == "__main__":
    main()
