"""Training of the networks that ship, for any instrument."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch

from configs.instrument import SimulatedCameraConfig
from configs.optics import Optics
from configs.value import PositiveInt, Value
from reconstruction.learning.frame_network_task import FrameNetworkTask
from reconstruction.learning.launch import Devices, Precision, train
from reconstruction.learning.records import claim_folder
from reconstruction.learning.scan_task import ScanTask
from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.task import Task
from reconstruction.learning.watcher import Row, Watcher

EPOCHS: Final = {"scan": 16, "frame": 12}
"""Of each network: some forty minutes on one core."""


class ShippedPlan(Value):
    """A network that ships, the instrument that it learns, and for how long."""

    model: Literal["scan", "frame"]
    optics: Optics = Optics()
    camera: SimulatedCameraConfig = SimulatedCameraConfig()
    epochs: PositiveInt
    seed: int = 0
    precision: Precision = "32"


def train_shipped(
    plan: ShippedPlan,
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    overwrite: bool = False,
    resume: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a network that ships, or go on with it; return the log.

    Parameters and errors are those of ``baselines.training``; all data are simulated.
    """
    if not resume:
        claim_folder(folder, overwrite=overwrite)
    return train(
        partial(make_task, plan),
        folder,
        Devices(device, devices, plan.precision),
        origin=plan.model_dump_json(),
        resume=resume,
        make_watcher=make_watcher,
    )


def make_task(plan: ShippedPlan) -> Task:
    """Make the task of a plan."""
    maker = ScanMaker(plan.optics, plan.camera, plan.seed)
    if plan.model == "scan":
        return ScanTask(maker, plan.epochs, plan.seed)
    return FrameNetworkTask(maker, plan.epochs, plan.seed)
