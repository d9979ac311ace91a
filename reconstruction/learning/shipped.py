"""Training of the networks that ship, for any instrument."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

import torch
from pydantic import model_validator

from configs.errors import ConfigError
from configs.instrument import SimulatedCameraConfig
from configs.optics import FocusedBeam, Optics
from configs.value import PositiveInt, Value
from reconstruction.learning.frame_network_task import FrameNetworkTask
from reconstruction.learning.launch import Devices, Precision, train
from reconstruction.learning.records import claim_folder
from reconstruction.learning.scan_task import ScanTask
from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.shapes import Shapes
from reconstruction.learning.task import SCORE, Task
from reconstruction.learning.watcher import Row, Watcher
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import read_weights, shipped_weights

EPOCHS: Final = {"scan": 16, "frame": 12}
"""Of each network: some forty minutes on one core."""
FINE_TUNING_EPOCHS: Final = 3
_FINE_TUNING_STEPS: Final = 200
_ROUND_ZERNIKES: Final = {1, 4, 11, 22}


class ShippedPlan(Value):
    """A network that ships, the instrument that it learns, and for how long."""

    model: Literal["scan", "frame"]
    shapes: str | None = None
    """Folder of shapes to fine-tune the scan network on."""
    optics: Optics = Optics()
    camera: SimulatedCameraConfig = SimulatedCameraConfig()
    epochs: PositiveInt
    seed: int = 0
    precision: Precision = "32"

    @model_validator(mode="after")
    def _is_alike_in_all_orientations(self) -> Self:
        """One scan stands for eight; see ``symmetry``."""
        beam = self.optics.beam
        lens = beam if isinstance(beam, FocusedBeam) else None
        terms = [self.optics.collection_zernike_waves, lens.zernike_waves if lens else ()]
        uneven = any(
            waves and index not in _ROUND_ZERNIKES
            for term in terms
            for index, waves in enumerate(term, start=1)
        )
        if uneven or (lens is not None and lens.vectorial):
            raise ValueError(
                "optics must look alike in all orientations, as training turns scans; got"
                f" {'aberrations' if uneven else 'a polarised beam'} that do not: take scalar,"
                " round optics"
            )
        return self


def train_shipped(
    plan: ShippedPlan,
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    shapes: Shapes | None = None,
    overwrite: bool = False,
    resume: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a network that ships, or go on with it; return the log.

    With shapes it starts from what ships. Other parameters, and errors, are those of
    ``baselines.training``; all data are simulated.
    """
    if not resume:
        claim_folder(folder, overwrite=overwrite)
    return train(
        partial(make_task, plan, shapes),
        folder,
        Devices(device, devices, plan.precision),
        origin=plan.model_dump_json(),
        resume=resume,
        make_watcher=make_watcher,
    )


def make_task(plan: ShippedPlan, shapes: Shapes | None = None) -> Task:
    """Make the task of a plan, with its shapes."""
    shown = () if shapes is None else shapes.shown
    maker = ScanMaker(plan.optics, plan.camera, plan.seed, shapes=shown)
    if plan.model == "frame":
        return FrameNetworkTask(maker, plan.epochs, plan.seed)
    if shapes is None:
        return ScanTask(maker, plan.epochs, plan.seed)
    return ScanTask(
        maker,
        plan.epochs,
        plan.seed,
        _FINE_TUNING_STEPS,
        start=_shipped_network(plan.optics),
        held_out=shapes.held_out,
    )


def score_before(plan: ShippedPlan, shapes: Shapes, device: torch.device) -> float:
    """Score the network that ships on the shapes that are held out."""
    task = make_task(plan, shapes)
    task.network.to(device).eval()
    return task.validate(task.network, device)[SCORE]


def _shipped_network(optics: Optics) -> ScanNetwork:
    weights = read_weights(shipped_weights("scan"), "scan")
    network = ScanNetwork(ScanArchitecture(**weights.architecture))
    if network.architecture.image_px != optics.image_px:
        raise ConfigError(
            f"shapes: expected frames of {network.architecture.image_px} px, which the shipped"
            f" network knows, got {optics.image_px}; train without --shapes"
        )
    weights.fill(network, "cpu")
    return network
