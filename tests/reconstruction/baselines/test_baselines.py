"""The networks of the paper's benchmark: shapes, what they see, that all of them learns."""

import sys

import pytest
import torch
from torch.nn import functional

from configs.errors import ConfigError
from reconstruction.baselines.registry import BASELINES, make_baseline
from reconstruction.baselines.resunet_a import ResUNetA


@pytest.fixture(scope="module", params=BASELINES)
def network(request):
    torch.manual_seed(0)
    return make_baseline(request.param, 3, 64)


def test_every_weight_learns(network):
    frames, squares = torch.rand(2, 64, 64), torch.ones(2, 3, 3)
    network.train().zero_grad()
    logits = network(frames)
    assert logits.shape == (2, 3, 3)
    functional.binary_cross_entropy_with_logits(logits, squares).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    used = [p.grad.abs().max() > 0 for p in network.parameters()]
    # Biases in front of a normalisation cancel.
    assert sum(used) > 0.75 * len(used)


def test_every_square_is_read_off_the_whole_frame(network):
    """Defocused light of a square is everywhere: no network may look at its place alone."""
    frames = torch.rand(1, 64, 64, requires_grad=True)
    logits = network.eval()(frames)
    for logit in (logits[0, 0, 0], logits[0, 2, 1]):
        (gradient,) = torch.autograd.grad(logit, frames, retain_graph=True)
        blocks = gradient.abs().reshape(4, 16, 4, 16).amax((1, 3))
        assert (blocks > 0).all()


@pytest.mark.parametrize(("grid", "image_px"), [(5, 32), (7, 96)])
@pytest.mark.parametrize("name", BASELINES)
def test_other_grids_and_frames(name, grid, image_px):
    with torch.device("meta"):  # shapes alone
        logits = make_baseline(name, grid, image_px)(torch.rand(4, image_px, image_px))
    assert logits.shape == (4, grid, grid)


def test_a_seed_makes_a_network():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(make_baseline("resnet-18", 3, 32).state_dict())
    weights = [state["network.conv1.weight"] for state in states]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_dilations_beyond_a_map_are_not_made():
    with torch.device("meta"):
        branches = [len(block.branches) for block in ResUNetA(64).encoder]
        assert branches == [4, 4, 3, 2, 1, 1]
        assert [len(block.branches) for block in ResUNetA(256).encoder] == [4, 4, 3, 3, 1, 1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("resnet-19", 3, 64), "model: expected one of resunet-a, attention-unet, resnet-18"),
        (("resnet-18", 4, 64), "expected 3, 5 or 7 squares, got 4"),
        (("resunet-a", 3, 48), "multiple of 32 px, got 48"),
        (("resunet-a", 3, 0), "multiple of 32 px, got 0"),
    ],
)
def test_what_there_is_not(settings, said):
    with pytest.raises(ConfigError, match=said):
        make_baseline(*settings)


def test_without_monai(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(ConfigError, match=r"resnet-34: expected MONAI.*its extra \[train\]"):
        make_baseline("resnet-34", 3, 64)
    make_baseline("transformer", 3, 32)
