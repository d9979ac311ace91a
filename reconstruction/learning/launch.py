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
from reconstruction.learning.loop import Loop, free_memory
from reconstruction.learning.records import (
    STATE,
    Records,
    check_free,
    clear_folder,
    read_state,
)
from reconstruction.learning.task import Task
from reconstruction.learning.watcher import Row, Watcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32", "bf16-mixed"]
_OURS: Final = "configs.errors."
_THREADS: Final = "OMP_NUM_THREADS"

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
        How many; each has a process and a share of every batch.
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

    def check_shares(self, batch: int) -> None:
        """Raise ``ConfigError`` unless all get as much of every batch."""
        if batch % self.count:
            raise ConfigError(
                f"devices: expected a divisor of the batch of {batch}, got {self.count};"
                " change one of them"
            )


def train(
    make_task: Callable[[], Task],
    folder: Path,
    devices: Devices,
    *,
    origin: str = "",
    resume: bool = False,
    overwrite: bool = False,
    make_watcher: Callable[[], Watcher] = Watcher,
) -> list[Row]:
    """Train a task; return its log.

    An earlier training in the folder stays until all that is asked for has been found good.

    Parameters
    ----------
    make_task
        Makes a new task, the same in every process; with several devices it is pickled.
    folder
        Where ``records`` puts its files.
    devices
        Where it runs.
    origin
        Kept with the state, for ``read_state`` to give back: what makes the task again.
    resume
        Whether to go on from the folder's state.
    overwrite
        Whether an earlier training in the folder may go.
    make_watcher
        Makes whoever is told how it goes, in the first process.

    Raises
    ------
    ConfigError
        If Lightning Fabric is not installed.
    ReconstructionError
        If the training diverges, several devices run out of memory, or a process is lost.
    RunStoreError
        If the folder is taken, or cannot be read or written.
    """
    if not resume:
        check_free(folder, overwrite=overwrite)
    fabric, has_spare = _fabric(devices), devices.count == 1 and devices.kind.type != "cpu"
    cpu = Devices(torch.device("cpu"), precision=devices.precision)
    with _one_line(folder), _threads_kept():
        rows: list[Row] = fabric.launch(
            partial(
                train_in_process,
                spare=_fabric(cpu) if has_spare else None,
                make_task=make_task,
                folder=folder,
                origin=origin,
                resume=resume,
                make_watcher=make_watcher,
            )
        )
    return rows


def train_in_process(
    fabric: "Fabric",
    *,
    spare: "Fabric | None",
    make_task: Callable[[], Task],
    folder: Path,
    origin: str,
    resume: bool,
    make_watcher: Callable[[], Watcher],
) -> list[Row]:
    """Do what ``train`` does, in one of its processes.

    Where memory is too small for the smallest part of a batch, it goes on with the spare
    device, if there is one, after the last epoch that was kept.
    """
    attempt = partial(_attempt, make_task=make_task, folder=folder, origin=origin)
    with make_watcher() if fabric.is_global_zero else Watcher() as watcher:
        try:
            return attempt(fabric, watcher, resume=resume)
        except torch.OutOfMemoryError as error:
            if spare is None:
                raise ReconstructionError(
                    "training: expected memory for the network, its optimiser and a batch,"
                    " a device has too little; take a smaller batch, a single device, or"
                    " --device cpu"
                ) from error
        # Out of the handler: what it holds of the failed attempt is free by now.
        free_memory()
        watcher.say("out of memory: goes on on the CPU, after the last epoch that was kept")
        return attempt(spare, watcher, resume=(folder / STATE).exists())


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


def _attempt(
    fabric: "Fabric",
    watcher: Watcher,
    *,
    make_task: Callable[[], Task],
    folder: Path,
    origin: str,
    resume: bool,
) -> list[Row]:
    """Train on one device; the log that it returns counts in the first process."""
    state = read_state(folder) if resume else None
    records = Records(folder, make_task(), origin, state.rows if state else [])
    if not resume and fabric.is_global_zero:
        clear_folder(folder)
    Loop(fabric, records, state, watcher).run()
    return records.rows


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Undo what Fabric sets for its own processes: it would hold for all later ones."""
    threads, limit = torch.get_num_threads(), os.environ.get(_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if limit is None:
            os.environ.pop(_THREADS, None)


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
