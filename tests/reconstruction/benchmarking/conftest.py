"""Frames that carry their squares in their pixels, and networks that read them there."""

import numpy as np
import pytest
import torch
from torch import nn

from acquisition.plan import ScanPlan
from reconstruction.benchmarking.contenders import Contender
from reconstruction.benchmarking.examination import Exam
from reconstruction.learning.records import TrainingFacts
from reconstruction.mosaic import frame_targets


class Reader(nn.Module):
    """Reads off the squares that a frame shows; ``honesty`` -1 says the contrary."""

    def __init__(self, grid, honesty=1.0):
        super().__init__()
        self.edge, self.grid = (7 - grid) // 2, grid
        self.honesty = nn.Parameter(torch.tensor(honesty))

    def forward(self, amplitude):
        inner = slice(self.edge, self.edge + self.grid)
        return (amplitude[:, inner, inner] - 0.5) * 20 * self.honesty


@pytest.fixture
def make_contender():
    def make(grid=3, honesty=1.0, name="reader", done=None):
        facts = done and TrainingFacts(
            epoch=1, epochs_done=done, epochs_planned=500, seed=0, software={}, validation={}
        )
        return Contender(
            name=name,
            grid=grid,
            network=Reader(grid, honesty).eval(),
            image_px=8,
            levels=False,
            trained_for=None,
            training=facts,
            data="nothing",
        )

    return make


@pytest.fixture
def make_exam():
    def make(group="Block", seed=7, side=10):
        random = np.random.default_rng(seed)
        plan = ScanPlan(rows=side, columns=side + 1, centre_um=(0.0, 0.0))
        truth = random.random(plan.sample_shape) < 0.35
        index = random.permutation(len(plan))  # whatever the order
        targets = frame_targets(truth, plan, 7)[index]
        images = np.zeros((len(plan), 8, 8), np.uint16)
        images[:, :7, :7] = targets > 0
        return Exam(
            group=group,
            seed=seed,
            plan=plan,
            index=index,
            images=images,
            off_um=np.zeros((len(plan), 2)),
            open_peak_e=2000.0,
            amplitude=lambda adu: adu,
            truth=truth.astype(np.int8),
            targets=targets,
        )

    return make
