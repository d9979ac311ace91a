"""One training on one device or on several, each with a process of its own."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import active_children
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from configs.errors import ConfigError, ReconstructionError
from reconstruction.learning.loop import Loop
from reconstruction.learning.records import read_state
from reconstruction.learning.task import Task
from reconstruction.learning.watcher import Row, Watcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32", "bf16-mixed"]
_OURS: Final = "configs.errors."

# When this module is imported, so that it holds in new processes before they join the others;
# one level below the library's own logger, whose level it sets itself.
for _part in ("connector", "strategies", "utilities"):
    logging.getLogger(f"lightning_fabric.{_part}").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Devices:
    """What a training runs on.

    Attributes
    ----------
    kind
        A CPU or CUDA GPUs.
    count
        Of them; each has a process and a share of every batch.
    precision
        Single, or mixed with bfloat16.

    Raises
    ------
    ConfigError
        If there are not as many.
    """

    kind: torch.device
    count: int = 1
    precision: Precision = "32"

    def __post_init__(self) -> None:
        there = torch.cuda.device_count() if self.kind.type == "cuda" else os.cpu_count() or 1
        if not 1 <= self.count <= there:
            raise ConfigError(
                f"devices: expected 1 to {there} of kind {self.kind.type}, got {self.count}"
            )


def train(
    make_task: Callable[[], Task],
    folder: Path,
    devices: Devices,
    *,
    origin: str = "",
    resume: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a task; return its log.

    Parameters
    ----------
    make_task
        Makes the task, the same in every process; with several devices it is pickled.
    folder
        Where ``records`` puts its files.
    devices
        Where it runs.
    origin
        Kept with the state, for ``read_state`` to give back: what makes the task again.
    resume
        Whether to go on from the folder's state.
    make_watcher
        Makes whoever is told how it goes, in the first process.

    Raises
    ------
    ConfigError
        If Lightning Fabric is not installed.
    ReconstructionError
        If the training diverges, runs out of memory, or loses a process.
    RunStoreError
        If the folder cannot be read or written.
    """
    fabric = _fabric(devices)
    with _one_line(folder):
        rows: list[Row] = fabric.launch(
            partial(
                _process,
                make_task=make_task,
                folder=folder,
                origin=origin,
                resume=resume,
                make_watcher=make_watcher,
            )
        )
    return rows


def _fabric(devices: Devices) -> "Fabric":
    try:
        fabric = import_module("lightning_fabric")
    except ImportError as error:
        raise ConfigError(
            "training: expected Lightning Fabric, it is not installed; install opticalnet with"
            " its extra [train]"
        ) from error
    made: Fabric = fabric.Fabric(
        accelerator=devices.kind.type,
        devices=devices.count,
        strategy="auto" if devices.count == 1 else "ddp_spawn",
        precision=devices.precision,
    )
    return made


def _process(
    fabric: "Fabric",
    *,
    make_task: Callable[[], Task],
    folder: Path,
    origin: str,
    resume: bool,
    make_watcher: Callable[[], Watcher],
) -> list[Row]:
    """Train in one process; what it returns counts in the first one."""
    state = read_state(folder) if resume else None
    with make_watcher() if fabric.is_global_zero else Watcher() as watcher:
        try:
            return Loop(fabric, make_task(), state, watcher).run(folder, origin)
        except torch.OutOfMemoryError as error:
            raise ReconstructionError(
                "training: expected memory for the network and its optimiser, the device has"
                " too little; free some, or take --device cpu"
            ) from error


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """Explain what ended processes, and leave none of them behind."""
    before = active_children()
    try:
        yield
    except ProcessRaisedException as error:
        kind, _, said = str(error).rstrip().splitlines()[-1].partition(": ")
        if not kind.startswith(_OURS):
            raise
        raise ReconstructionError(said) from error
    except ProcessExitedException as error:
        raise ReconstructionError(
            f"training: expected all processes to go on, one ended: {error};"
            f" go on with --resume {folder}"
        ) from error
    finally:
        for process in active_children():
            if process not in before:
                process.terminate()
                process.join()
