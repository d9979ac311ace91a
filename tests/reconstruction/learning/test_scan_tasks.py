"""Training of the networks that ship: it learns, it repeats, and what it keeps can be read."""

import copy
import math
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from training_bench import Ear

from configs.instrument import SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.learning.describer import ScanDescriber
from reconstruction.learning.frame_network_task import FrameNetworkTask
from reconstruction.learning.launch import Devices, train
from reconstruction.learning.records import STATE, WEIGHTS
from reconstruction.learning.scan_task import ScanTask
from reconstruction.learning.scans import ScanMaker
from reconstruction.learning.symmetry import SYMMETRIES, transformed
from reconstruction.learning.task import SCORE
from reconstruction.load import load_network
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import read_metadata

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
    shares = [next(task.batches(0, rank, 2)) for rank in range(2)]
    for part in range(2):
        assert torch.equal(first[part], again[part])
        assert not torch.equal(first[part], other[part])
        assert not torch.equal(shares[0][part], shares[1][part])
        assert sum(len(share[part]) for share in shares) == len(first[part]) == task.batch


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
    describer = ScanDescriber(scan_task.network)
    scan = describer.describe(scan_task._maker.draw(torch.Generator().manual_seed(0)))
    projection = scan_task.network.projection
    back = torch.linalg.pinv(projection.weight)

    def light(features):
        """Mean square of each point's frame, as far as the components show it."""
        shown = features[: projection.out_features] - projection.bias[:, None, None]
        return torch.tensordot(back, shown, dims=1).square().mean(dim=0)

    for symmetry in range(SYMMETRIES):
        features, coverage = describer.transform(scan, symmetry)
        assert torch.equal(coverage, transformed(scan[1], symmetry))
        expected = transformed(light(scan[0]), symmetry)
        torch.testing.assert_close(light(features), expected, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(("make", "model"), [(ScanTask, "scan"), (FrameNetworkTask, "frame")])
def test_a_training_leaves_weights_that_predictors_read(tmp_path, make, model):
    rows = train(partial(small, make, 1, 2), tmp_path, Devices(CPU))
    assert 0.4 < rows[0]["balanced_accuracy"] <= 1
    _, weights = load_network(tmp_path / WEIGHTS, model)
    weights.trained_for.check("w", Optics(defocus_wavelengths=10.3), 180.0)
    assert (weights.training.epochs_done, weights.start) == (1, None)


def start_network(sign):
    """A small one; components are as good with either sign."""
    torch.manual_seed(0)
    network = ScanNetwork(ScanArchitecture(components=8, width=8, blocks=1))
    with torch.no_grad():
        network.projection.weight.mul_(sign)
        network.projection.bias.mul_(sign)
    return network


def test_a_resumed_training_keeps_its_components(tmp_path):
    """Even where another machine computes others from the same frames."""

    def go(folder, sign=1, **more):
        def make(maker, epochs, seed, steps):
            return ScanTask(maker, epochs, seed, steps, start=start_network(sign))

        train(lambda: small(make, 2, 2), tmp_path / folder, Devices(CPU), **more)

    go("whole")
    with pytest.raises(KeyboardInterrupt):
        go("parts", make_watcher=lambda: Ear(stop_in_epoch=2))
    go("parts", sign=-1, resume=True)
    for name in (STATE, WEIGHTS):
        whole, parts = (load_file(tmp_path / one / name) for one in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    metadata = read_metadata(tmp_path / "parts" / WEIGHTS)
    assert metadata["start"] == "the scan network that ships"


def test_weights_that_are_no_numbers_have_no_score(task):
    network = copy.deepcopy(task.network).requires_grad_(False)
    list(network.parameters())[-1].fill_(torch.nan)
    assert math.isnan(task.validate(network, CPU)[SCORE])
