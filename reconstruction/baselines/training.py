"""Training a baseline: what it is trained on, and how, in one value that can be resumed."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
from pydantic import ValidationError

from configs.errors import ConfigError, RunStoreError
from configs.recipe import Recipe
from configs.value import Value
from reconstruction.baselines.registry import make_baseline
from reconstruction.baselines.weights import BaselineInfo
from reconstruction.learning.frame_task import FrameTask
from reconstruction.learning.launch import Devices, Precision, train
from reconstruction.learning.records import claim_folder, read_state
from reconstruction.learning.sources import FrameSource, level_amplitude, open_source
from reconstruction.learning.task import Task
from reconstruction.learning.watcher import Row, Watcher

_MOST_WORKERS: Final = 8


class BaselinePlan(Value):
    """A baseline, its data and its recipe; kept with every training, to go on from."""

    model: str
    """One of ``registry.BASELINES``."""
    recipe: Recipe
    data: str
    """As for ``open_source``."""
    grid: int = 3
    precision: Precision = "32"
    workers: int = 0
    """Processes that simulate fresh frames for each device."""
    shown: str | None = None
    """What the data turned out to be."""

    def changed(self, **values: object) -> "BaselinePlan":
        """Return the same plan with other values."""
        return BaselinePlan.checked("training", self.model_dump() | values)


def train_baseline(
    plan: BaselinePlan,
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    overwrite: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a baseline; return the log.

    Parameters
    ----------
    plan
        What, on what, and how.
    folder
        Where it is kept: ``weights.safetensors`` is the best epoch's.
    device, devices
        CPU or CUDA, and how many.
    overwrite
        Whether an earlier training in the folder may go.
    make_watcher
        Makes whoever is told how it goes.

    Raises
    ------
    ConfigError, RunStoreError
        If plan, data and devices do not go together, or the folder is taken.
    ReconstructionError
        If it diverges or runs out of memory; the best epoch is kept.
    """
    where = Devices(device, devices, plan.precision)
    if device.type == "cuda":
        cores = os.cpu_count() or 1
        plan = plan.changed(workers=min(_MOST_WORKERS, max(1, cores // devices)))
    task, plan = _open(plan, devices)
    claim_folder(folder, overwrite=overwrite)
    return _train(task, plan, folder, where, make_watcher)


def resume_baseline(
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    epochs: int | None = None,
    data: str | None = None,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Go on where a training was stopped; return the whole log.

    Parameters
    ----------
    folder
        Of the training.
    device, devices, make_watcher
        As for ``train_baseline``.
    epochs
        In all, if not as many as planned.
    data
        Where it is now, if it was moved.

    Raises
    ------
    ConfigError, RunStoreError, ReconstructionError
        As for ``train_baseline``, or if there is no training, or other data.
    """
    plan = _begun(folder)
    where = Devices(device, devices, plan.precision)
    if epochs is not None:
        plan = plan.changed(recipe=plan.recipe.changed(epochs=epochs))
    if data is not None:
        plan = plan.changed(data=_findable(data))
    task, now = _open(plan, devices)
    if now.shown != plan.shown:
        raise RunStoreError(
            f"data: expected {plan.shown}, that the training began with, got {now.shown};"
            " say where it is with --data"
        )
    return _train(task, plan, folder, where, make_watcher, resume=True)


def _begun(folder: Path) -> BaselinePlan:
    try:
        return BaselinePlan.model_validate_json(read_state(folder).origin)
    except ValidationError as error:
        raise RunStoreError(
            f"{folder}: expected the training of a baseline of this version, got"
            f" {error.errors()[0]['msg']}; resume it as it was begun"
        ) from error


def _train(
    task: Task,
    plan: BaselinePlan,
    folder: Path,
    devices: Devices,
    make_watcher: Callable[[], Watcher],
    *,
    resume: bool = False,
) -> list[Row]:
    # Other processes cannot take over this one's data: they open it again.
    make_task = (lambda: task) if devices.count == 1 else partial(make_baseline_task, plan)
    return train(
        make_task,
        folder,
        devices,
        origin=plan.model_dump_json(),
        resume=resume,
        make_watcher=make_watcher,
    )


def _open(plan: BaselinePlan, devices: int) -> tuple[Task, BaselinePlan]:
    """Open the data, here rather than in every process, where it may not fit."""
    if plan.recipe.batch % devices:
        raise ConfigError(
            f"devices: expected a divisor of the recipe's batch of {plan.recipe.batch}, got"
            f" {devices}; change one of them"
        )
    source = _source(plan)
    plan = plan.changed(shown=source.description, data=_findable(plan.data))
    return _task(plan, source), plan


def make_baseline_task(plan: BaselinePlan) -> Task:
    """Open the data of a plan, and make its network with new weights."""
    return _task(plan, _source(plan))


def _source(plan: BaselinePlan) -> FrameSource:
    return open_source(
        plan.data,
        plan.grid,
        steps=plan.recipe.steps_per_epoch,
        held_out=plan.recipe.validation_frames,
        workers=plan.workers,
    )


def _task(plan: BaselinePlan, source: FrameSource) -> FrameTask:
    image_px = source.held_out.frames.shape[-1]
    info = BaselineInfo(
        model=plan.model,
        grid=plan.grid,
        image_px=image_px,
        amplitude="levels" if source.amplitude is level_amplitude else "electrons",
        optics=source.optics,
        data=source.description,
        recipe=plan.recipe,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.recipe.seed)
        network = make_baseline(plan.model, plan.grid, image_px)
    return FrameTask(network, source, plan.recipe, info.metadata())


def _findable(data: str) -> str:
    """Return a path that holds in any folder; names of plans and of hubs stay."""
    return os.path.abspath(data) if os.path.exists(data) else data
