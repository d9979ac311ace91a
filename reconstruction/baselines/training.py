"""Training a baseline: what it is trained on, and how, in one value that can be resumed."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch

from configs.dataset import dataset_presets
from configs.errors import RunStoreError
from configs.recipe import Recipe
from configs.value import Value
from reconstruction.baselines.registry import make_baseline
from reconstruction.baselines.sources import FrameSource, open_source
from reconstruction.baselines.task import BaselineTask
from reconstruction.baselines.weights import BaselineInfo
from reconstruction.learning.launch import Devices, Precision, train
from reconstruction.learning.task import Task
from reconstruction.learning.watcher import Row, Watcher

_MOST_WORKERS: Final = 8


class BaselinePlan(Value):
    """A baseline, its data and its recipe; kept with every training, to go on from."""

    kind: Literal["baseline"] = "baseline"
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


def train_baseline(
    plan: BaselinePlan,
    folder: Path,
    device: torch.device,
    devices: int = 1,
    *,
    overwrite: bool = False,
    resume: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a baseline, or go on with it; return the whole log.

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
    resume
        Whether to go on with the one in the folder, whose plan it is.
    make_watcher
        Makes whoever is told how it goes.

    Raises
    ------
    ConfigError, RunStoreError
        If plan, data and devices do not go together, the folder is taken, or data are not
        those that the training began with.
    ReconstructionError
        If it diverges or runs out of memory; the best epoch is kept.
    """
    where = Devices(device, devices, plan.precision)
    where.check_shares(plan.recipe.batch)
    if device.type == "cuda" and not resume:
        cores = os.cpu_count() or 1
        plan = plan.changed(workers=min(_MOST_WORKERS, max(1, cores // devices)))
    source = _source(plan)
    if plan.shown not in {None, source.description}:
        raise RunStoreError(
            f"data: expected {plan.shown}, that the training began with, got"
            f" {source.description}; say where it is with --data"
        )
    plan = plan.changed(shown=source.description, data=_findable(plan.data))
    here, anew = partial(_task, plan, source), partial(make_baseline_task, plan)
    return train(
        # Other processes cannot take over this one's data: they open it again.
        here if devices == 1 else anew,
        folder,
        where,
        origin=plan.model_dump_json(),
        resume=resume,
        overwrite=overwrite,
        make_watcher=make_watcher,
    )


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


def _task(plan: BaselinePlan, source: FrameSource) -> BaselineTask:
    image_px = source.held_out.frames.shape[-1]
    info = BaselineInfo(
        model=plan.model,
        grid=plan.grid,
        image_px=image_px,
        amplitude="levels" if source.reads_levels else "electrons",
        optics=source.optics,
        data=source.description,
        recipe=plan.recipe,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.recipe.seed)
        network = make_baseline(plan.model, plan.grid, image_px)
    return BaselineTask(network, source, plan.recipe, info.metadata())


def _findable(data: str) -> str:
    """Return a path that holds in any folder; names of plans and of hubs stay."""
    is_path = data not in dataset_presets() and os.path.exists(data)
    return os.path.abspath(data) if is_path else data
