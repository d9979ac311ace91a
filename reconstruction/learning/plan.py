"""Training of the scan network and the frame network, for any instrument."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

import torch
from pydantic import model_validator

from configs.errors import ConfigError, RunStoreError
from configs.instrument import SimulatedCameraConfig
from configs.optics import FocusedBeam, Optics
from configs.value import PositiveInt, Seed, Value
from reconstruction.learning.frame_network_task import BATCH, FrameNetworkTask
from reconstruction.learning.launch import Devices, Precision, train
from reconstruction.learning.scan_task import SCANS, ScanTask
from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.shapes import Shapes
from reconstruction.learning.task import SCORE, Task
from reconstruction.learning.watcher import Row, Watcher
from reconstruction.load import load_network
from reconstruction.scan_network import ScanNetwork
from reconstruction.weights_file import shipped_weights

EPOCHS: Final = {"scan": 32, "frame": 56}
"""Epochs that each network is trained for, if nobody says otherwise."""
FINE_TUNING_EPOCHS: Final = 3
_FINE_TUNING_STEPS: Final = 200
_ROUND_ZERNIKES: Final = {1, 4, 11, 22}
"""Noll's numbers of the aberrations that are the same in every direction."""
_CLOSENESS: Final = {"scan": 2.0, "frame": 4.0}
"""A single frame can hardly tell what is off, and pays for whatever might be."""
_BATCHES: Final = {"scan": SCANS, "frame": BATCH}


class NetworkPlan(Value):
    """A network, the instrument that it learns, and for how long; kept to go on from."""

    kind: Literal["network"] = "network"
    model: Literal["scan", "frame"]
    shapes: str | None = None
    """Folder of shapes to fine-tune the scan network that ships on."""
    shapes_sha256: str | None = None
    """What the shapes turned out to be."""
    optics: Optics = Optics()
    camera: SimulatedCameraConfig = SimulatedCameraConfig()
    epochs: PositiveInt
    seed: Seed = 0
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


def train_network_plan(
    plan: NetworkPlan,
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    shapes: Shapes | None = None,
    overwrite: bool = False,
    resume: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a network, or go on with it; return the log.

    With shapes it starts from the one that ships. Other parameters, and errors, are those of
    ``train_baseline``; all data are simulated.
    """
    where = Devices(device, devices, plan.precision)
    where.check_shares(_BATCHES[plan.model])
    return train(
        partial(make_task, plan, shapes),
        folder,
        where,
        origin=_with_shapes(plan, shapes).model_dump_json(),
        resume=resume,
        overwrite=overwrite,
        make_watcher=make_watcher,
    )


def _with_shapes(plan: NetworkPlan, shapes: Shapes | None) -> NetworkPlan:
    """Note what the shapes are, or see that they still are that."""
    if shapes is None:
        return plan
    if plan.shapes_sha256 not in {None, shapes.sha256}:
        raise RunStoreError(
            f"shapes: expected those in {plan.shapes} that the training began with, got others;"
            " put them back, or train anew with --shapes"
        )
    return plan.changed(shapes_sha256=shapes.sha256)


def make_task(plan: NetworkPlan, shapes: Shapes | None = None) -> Task:
    """Make the task of a plan, with its shapes."""
    shown = () if shapes is None else shapes.shown
    maker = ScanMaker(
        plan.optics, plan.camera, plan.seed, closeness=_CLOSENESS[plan.model], shapes=shown
    )
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


def score_before(plan: NetworkPlan, shapes: Shapes, device: torch.device) -> float:
    """Score the network that ships on the scans of shapes that validate a training."""
    task = make_task(plan, shapes)
    task.network.to(device).eval()
    return task.validate(task.network, device)[SCORE]


def _shipped_network(optics: Optics) -> ScanNetwork:
    network, _ = load_network(shipped_weights("scan"), "scan")
    if network.architecture.image_px != optics.image_px:
        raise ConfigError(
            f"shapes: expected frames of {network.architecture.image_px} px, which the shipped"
            f" network knows, got {optics.image_px}; train without --shapes"
        )
    return network
