"""Sets of a few frames."""

from configs.dataset import DatasetPlan, PartPlan
from configs.instrument import InstrumentConfig
from configs.optics import Optics
from configs.recipe import Recipe
from simulation.datasets.maker import make_dataset
from simulation.datasets.workers import LocalWorkers

RECIPE = Recipe(
    epochs=2,
    batch=16,
    learning_rate=1e-3,
    learning_rate_factor=0.5,
    factor_every_epochs=1,
    validation_frames=50,
)


def small_plan(seed=3, px=32):
    """Two scans of 9 x 9 points over random squares to train on, a star to test with."""
    return DatasetPlan(
        name="small",
        seed=seed,
        instrument=InstrumentConfig(name="bench", optics=Optics(roi_px=4 * px)),
        parts=[
            _part("train", {"kind": "block", "squares": 7}, scans=2),
            _part("test", {"kind": "star", "squares": 8, "spokes": 6}),
        ],
    )


def _part(split, sample, **more):
    values = {"split": split, "name": sample["kind"], "sample": sample, **more}
    return PartPlan.checked("part", values)


def make_set(path, plan=None):
    make_dataset(plan or small_plan(), path, LocalWorkers(1), lambda done, frames: None)
    return path
