"""Frames that carry their squares in their pixels, and networks that read them there."""

import numpy as np
import pytest
import torch
from torch import nn

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from configs.instrument import Sensor, SimulatedCameraConfig
from reconstruction.benchmarking.candidates import Candidate, FullTraining
from reconstruction.benchmarking.known_scan import KnownScan
from reconstruction.mosaic import frame_targets
from reconstruction.trained import TrainingFacts

OPEN_ADU = 400
CAMERA = SimulatedCameraConfig(
    sensor=Sensor(offset_adu=0.0, gain_e_per_adu=5.0), open_peak_e_per_ms=200.0
)


class Reader(nn.Module):
    """Reads off the squares that a frame shows; ``honesty`` -1 says the contrary."""

    def __init__(self, grid, honesty=1.0):
        super().__init__()
        self.edge, self.grid = (7 - grid) // 2, grid
        self.honesty = nn.Parameter(torch.tensor(honesty))

    def forward(self, amplitude):
        assert amplitude.max() <= 1
        inner = slice(self.edge, self.edge + self.grid)
        return (amplitude[:, inner, inner] - 0.5) * 20 * self.honesty


@pytest.fixture
def make_candidate():
    def make(grid=3, honesty=1.0, name="reader", **facts):
        """One whose full training is 500 epochs of 1,000 examples; ``facts`` of its own."""
        usual = {"epoch": 1, "epochs_planned": 500, "seed": 0, "software": {}, "validation": {}}
        return Candidate(
            name=name,
            grid=grid,
            network=Reader(grid, honesty).eval(),
            image_px=8,
            reads_levels=False,
            trained_for=None,
            training=TrainingFacts(**usual | facts) if facts else None,
            full=FullTraining(500, 500_000),
            data="nothing",
        )

    return make


@pytest.fixture
def make_scan(make_info):
    def make(group="Block", seed=7, side=10, missing=()):
        random = np.random.default_rng(seed)
        plan = ScanPlan(rows=side, columns=side + 1, centre_um=(0.0, 0.0))
        truth = random.random(plan.sample_shape) < 0.35
        targets = frame_targets(truth, plan, 7)
        images = np.zeros((len(plan), 8, 8), np.uint16)
        images[:, :7, :7] = OPEN_ADU * (targets > 0)
        there = np.setdiff1d(np.arange(len(plan)), missing)
        lines = []
        for row in random.permutation(side):  # whatever the order
            here = there[there // plan.columns == row]
            still = np.zeros((len(here), 2))
            lines.append(FrameLine(row, here % plan.columns, images[here], still))
        return KnownScan(
            group=group,
            seed=seed,
            info=make_info(plan, camera=CAMERA),
            lines=lines,
            truth=truth.astype(np.int8),
            targets=targets,
        )

    return make
