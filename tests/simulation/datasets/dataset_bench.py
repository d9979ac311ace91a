"""Small data sets, and what is really in their folders."""

from pathlib import Path

import numpy as np
import zarr

from configs.dataset import DatasetPlan
from configs.instrument import (
    Environment,
    InstrumentConfig,
    Sensor,
    SensorMaps,
    SimulatedCameraConfig,
)
from configs.optics import Optics
from configs.toml import load_instrument
from simulation.datasets.maker import make_dataset
from simulation.datasets.workers import LocalWorkers

STILL = load_instrument("simulated-still").environment
CAMERA, ENVIRONMENT = SimulatedCameraConfig(), Environment()
BRIGHT = SimulatedCameraConfig(
    sensor=Sensor(read_noise_e=0.01),
    maps=SensorMaps(response_nonuniformity=0, hot_pixels=0, dark_e_per_s=0),
    open_peak_e_per_ms=2000.0,  # little noise in comparison
)
BLOCK = {"split": "train", "name": "block", "sample": {"kind": "block", "squares": 7}}
STAR = {"split": "test", "name": "ss", "sample": {"kind": "star", "squares": 8, "spokes": 6}}
PARTS = [{**BLOCK, "scans": 2, "frames": 100}, STAR]


def bench(camera=CAMERA, environment=ENVIRONMENT) -> InstrumentConfig:
    """An instrument with images of 16 x 16 pixels."""
    optics = Optics(roi_px=64)
    return InstrumentConfig(name="bench", optics=optics, camera=camera, environment=environment)


def small_plan(**changes) -> DatasetPlan:
    """100 of 162 frames of random squares, and all 100 of a star; lines of 9 and 10 points."""
    values = {"name": "small", "seed": 3, "instrument": bench(), "parts": PARTS}
    return DatasetPlan.checked("small", values | changes)


def part(kind: str, split: str = "train", name: str = "it", **sample) -> dict:
    """A part of one scan."""
    return {"split": split, "name": name, "sample": {"kind": kind, **sample}}


def make(plan: DatasetPlan, out: Path, workers=None) -> Path:
    """Make a set, silently."""
    make_dataset(plan, out, workers or LocalWorkers(2), lambda done, frames: None)
    return out


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array in a Zarr group, by path, read without our reader."""
    found = {}
    for file in sorted(path.rglob("zarr.json")):
        if '"node_type": "array"' in file.read_text():
            name = str(file.parent.relative_to(path))
            found[name] = np.asarray(zarr.open_array(file.parent, mode="r")[...])
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
