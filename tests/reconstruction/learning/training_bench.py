"""Trainings that take moments: a task of a few numbers."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reconstruction.learning.task import SCORE
from reconstruction.learning.watcher import Watcher


class ToyTask:
    """Finds a matrix: 24 batches in an epoch, a network that drops some of it."""

    def __init__(
        self, epochs=4, dropout=0.0, largest=1000, bad_epoch=None, trace=None, batch=8
    ):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(6, 16), nn.Dropout(dropout), nn.Linear(16, 3))
        self.optimiser = torch.optim.Adam(self.network.parameters())
        self.epochs, self.steps, self.batch, self.seed = epochs, 24, batch, 5
        self.metadata = {"format": "toy"}
        self.losses = []
        self._truth = torch.arange(18).reshape(6, 3) / 18
        self.largest, self._bad_epoch, self._trace = largest, bad_epoch, trace

    def learning_rate(self, epoch):
        return 0.01 / (1 + epoch)

    def batches(self, epoch, rank, ranks):
        random = np.random.default_rng(epoch)
        shown = []
        for _ in range(self.steps):
            whole = random.normal(size=(self.batch, 6)).astype(np.float32)
            x = torch.from_numpy(whole)[rank::ranks]
            shown.append(x)
            bad = torch.nan if epoch == self._bad_epoch else 0.0
            yield x, x @ self._truth + bad
        if self._trace is not None:
            weights = [p.detach().clone() for p in self.network.parameters()]
            torch.save((torch.stack(shown), weights), self._trace / f"{rank}-{epoch}.pt")

    def loss(self, network, batch):
        x, y = batch
        if len(x) > self.largest:
            raise torch.OutOfMemoryError("as CUDA raises it")
        loss = functional.mse_loss(network(x), y)
        self.losses.append(loss.item())
        return loss

    def validate(self, network, device):
        x = torch.eye(6, device=device)
        error = functional.mse_loss(network(x), self._truth.to(device)).item()
        return {SCORE: 1 / (1 + error)}


class StepsOn(ToyTask):
    """Learns for an epoch, then unlearns."""

    def learning_rate(self, epoch):
        return 0.01 if epoch < 1 else 1.0


class Starved(ToyTask):
    """Has no memory for half a batch from its third epoch on."""

    def batches(self, epoch, rank, ranks):
        if epoch == 2:
            self.largest = self.batch // 2 - 1
        return super().batches(epoch, rank, ranks)


class Ear(Watcher):
    """Keeps what it is told; may end the training in the middle of an epoch."""

    def __init__(self, stop_in_epoch=None, error=KeyboardInterrupt):
        self.said, self.rows, self.begun = [], [], None
        self._stop, self._error, self._done = stop_in_epoch, error, 0

    def begin(self, done, epochs, steps):
        self.begun, self._done = (done, epochs, steps), done

    def say(self, text):
        self.said.append(text)

    def step(self, step, loss):
        if self._done + 1 == self._stop:
            raise self._error

    def epoch(self, row):
        self.rows.append(row)
        self._done += 1
