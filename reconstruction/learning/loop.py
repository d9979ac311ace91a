"""The loop over epochs, in one process or in each of several.

Whatever is random in an epoch follows from the seed, the epoch and the process: an epoch
after a resume is the epoch that would have been.
"""

import gc
import math
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import torch

from configs.errors import ReconstructionError
from reconstruction.learning.board import Board
from reconstruction.learning.records import Records, TrainingState
from reconstruction.learning.task import SCORE, Batch
from reconstruction.learning.watcher import Row, Watcher
from simulation.streams import Stream, derived_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LOOK_EVERY_STEPS: Final = 20
_CHANCE: Final = 1
"""Sets the seeds of a network's chance apart from those of fresh scans."""
_FEWEST_FRAMES: Final = 2
"""Networks that normalise over a batch need two."""


class Loop:
    """Trains a task, epoch by epoch.

    Parameters
    ----------
    fabric
        Launched: devices, processes, precision.
    records
        Of a task that is made alike in every process; its rows are the epochs done so far.
    state
        To go on from, or None.
    watcher
        Told how it goes, in the first process.
    """

    def __init__(
        self,
        fabric: "Fabric",
        records: Records,
        state: TrainingState | None,
        watcher: Watcher,
    ) -> None:
        self._fabric = fabric
        self._task = task = records.task
        self._watcher = watcher
        self._records = records
        self._parts = 1
        if state is not None:
            state.restore_network(task)
        self._network, self._optimiser = fabric.setup(task.network, task.optimiser)
        if state is not None:
            state.restore_optimiser(self._optimiser)

    def run(self) -> None:
        """Train the epochs that are left.

        Raises
        ------
        ReconstructionError
            If the loss is no number any more.
        RunStoreError
            If the folder cannot be written.
        torch.OutOfMemoryError
            If memory is too small for a batch, and for two frames in a single process.
        """
        task, records = self._task, self._records
        done = len(records.rows)
        with ExitStack() as stack:
            if self._fabric.is_global_zero:
                board = Board(records.folder, self._watcher)
                stack.callback(board.close)
                stack.callback(records.finish)
            self._watcher.begin(done, task.epochs, task.steps)
            for epoch in range(done, task.epochs):
                began = time.perf_counter()
                loss = self._train(epoch)
                if self._fabric.is_global_zero:
                    row = self._row(epoch, loss, began)
                    records.add(row, self._optimiser)
                    board.add(row)
                    self._watcher.epoch(row)

    def _train(self, epoch: int) -> float:
        """Train an epoch; return its mean loss."""
        fabric, task = self._fabric, self._task
        key = epoch, fabric.global_rank, _CHANCE
        torch.manual_seed(derived_seed(task.seed, Stream.TRAINING, *key))
        self._network.train()
        total, mean = torch.zeros((), device=fabric.device), math.nan
        batches = task.batches(epoch, fabric.global_rank, fabric.world_size)
        for step, batch in enumerate(batches, 1):
            self._set_learning_rate(task.learning_rate(epoch + (step - 1) / task.steps))
            total += self._step(fabric.to_device(batch))
            if step % _LOOK_EVERY_STEPS == 0 or step == task.steps:
                mean = self._checked(total / step, epoch)
                self._watcher.step(step, mean)
        return mean

    def _set_learning_rate(self, value: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = value

    def _step(self, batch: Batch) -> torch.Tensor:
        """Take one step; where memory is too small, in smaller parts of the batch."""
        while True:
            try:
                loss = self._gradients(batch)
            except torch.OutOfMemoryError:
                if self._more_parts(len(batch[0])) == self._parts:
                    raise
                loss = None
            if loss is not None:
                self._optimiser.step()
                return loss
            # Out of the handler: what it holds of the failed attempt is free by now.
            self._take_more_parts(len(batch[0]))

    def _gradients(self, batch: Batch) -> torch.Tensor:
        self._optimiser.zero_grad()
        count = len(batch[0])
        total = torch.zeros((), device=self._fabric.device)
        for part in zip(*(tensor.tensor_split(self._parts) for tensor in batch), strict=True):
            loss = self._task.loss(self._network, part) * (len(part[0]) / count)
            self._fabric.backward(loss)
            total += loss.detach()
        return total

    def _more_parts(self, count: int) -> int:
        if self._fabric.world_size > 1:
            return self._parts
        return max(self._parts, min(2 * self._parts, count // _FEWEST_FRAMES))

    def _take_more_parts(self, count: int) -> None:
        self._parts = self._more_parts(count)
        self._optimiser.zero_grad()
        free_memory()
        largest = math.ceil(count / self._parts)
        self._watcher.say(f"out of memory: batches of {count} now go in parts of {largest}")

    def _checked(self, mean: torch.Tensor, epoch: int) -> float:
        """Return the mean loss of all processes; stop where it is none."""
        reduced = self._fabric.all_reduce(mean, reduce_op="mean")
        assert isinstance(reduced, torch.Tensor)
        self._check_finite(reduced.item(), epoch)
        return reduced.item()

    def _check_finite(self, value: float, epoch: int) -> None:
        if math.isfinite(value):
            return
        raise ReconstructionError(
            f"training diverged: expected finite numbers, got {value} in epoch {epoch + 1};"
            f" {self._records.kept()}: train again with a smaller learning_rate"
        )

    def _row(self, epoch: int, loss: float, began: float) -> Row:
        self._task.network.eval()
        with torch.inference_mode():
            scores = self._task.validate(self._task.network, self._fabric.device)
        self._check_finite(scores[SCORE], epoch)
        return {
            "epoch": epoch + 1,
            "loss": loss,
            **scores,
            "learning_rate": self._optimiser.param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - began, 3),
        }


def free_memory() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
