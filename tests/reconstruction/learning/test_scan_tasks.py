"""Training of the networks that ship: it learns, it repeats, and what it keeps can be read."""

from functools import partial

import pytest
import torch

from configs.instrument import SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.learning.frame_network_task import FrameNetworkTask
from reconstruction.learning.launch import Devices, train
from reconstruction.learning.records import WEIGHTS
from reconstruction.learning.scan_task import ScanTask
from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.symmetry import SYMMETRIES, transformed
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import read_weights

CPU = torch.device("cpu")


def small(make, epochs=2, steps=12):
    maker = ScanMaker(Optics(), SimulatedCameraConfig(), 0, side=6, instruments=2)
    return make(maker, epochs, 0, steps)


@pytest.fixture(scope="module")
def scan_task():
    return small(ScanTask)


@pytest.fixture(scope="module")
def frame_task():
    return small(FrameNetworkTask, steps=6)


@pytest.fixture(params=["scan_task", "frame_task"])
def task(request):
    return request.getfixturevalue(request.param)


def test_batches_follow_from_epoch_and_process(task):
    first, again = (next(task.batches(0, 0, 1)) for _ in range(2))
    other = next(task.batches(1, 0, 1))
    share = next(task.batches(0, 1, 2))
    for part in range(2):
        assert torch.equal(first[part], again[part])
        assert not torch.equal(first[part], other[part])
        assert len(share[part]) == len(first[part]) // 2


def test_the_learning_rate_rises_and_falls_to_nothing(task):
    rates = [task.learning_rate(epoch / 50) for epoch in range(101)]
    assert rates.index(max(rates)) < 60
    assert rates[0] < 0.1 * max(rates)
    assert rates[-1] < 1e-6


def test_steps_lower_the_loss(task):
    task.network.train()
    losses = []
    for batch in list(task.batches(0, 0, 1)) * 2:
        loss = task.loss(task.network, batch)
        task.optimiser.zero_grad()
        loss.backward()
        task.optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_scan_that_is_turned_afterwards_is_one_of_the_turned_sample(scan_task):
    scan = scan_task._drawn(torch.Generator().manual_seed(0))
    projection = scan_task._describer.projection
    back = torch.linalg.pinv(projection.weight)

    def light(features):
        """Mean square of each point's frame, as far as the components show it."""
        shown = features[: projection.out_features] - projection.bias[:, None, None]
        return torch.tensordot(back, shown, dims=1).square().mean(dim=0)

    for symmetry in range(SYMMETRIES):
        features, coverage = scan_task._transformed(scan, symmetry)
        assert torch.equal(coverage, transformed(scan[1], symmetry))
        expected = transformed(light(scan[0]), symmetry)
        torch.testing.assert_close(light(features), expected, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "model", "network"),
    [
        (ScanTask, "scan", lambda sizes: ScanNetwork(ScanArchitecture(**sizes))),
        (FrameNetworkTask, "frame", lambda sizes: FrameNetwork(FrameArchitecture(**sizes))),
    ],
    ids=["scan", "frame"],
)
def test_a_training_leaves_weights_that_predictors_read(tmp_path, make, model, network):
    rows = train(partial(small, make, 1, 2), tmp_path, Devices(CPU))
    assert 0.4 < rows[0]["balanced_accuracy"] <= 1
    weights = read_weights(tmp_path / WEIGHTS, model)
    weights.fill(network(weights.architecture), "cpu")
    weights.trained_for.check("w", Optics(defocus_wavelengths=10.3), 180.0)
