"""Frames and targets in the same symmetry: what a flipped object looks like."""

import numpy as np
import pytest
import torch

from configs.geometry import SQUARE_NM
from configs.optics import Optics
from reconstruction.baselines.augment import draw_symmetries
from reconstruction.learning.symmetry import each_transformed
from simulation.forward import ForwardModel

RANDOM = np.random.default_rng(0)


def test_a_changed_frame_is_the_frame_of_the_changed_object():
    model = ForwardModel(Optics(), SQUARE_NM)
    objects = torch.from_numpy(RANDOM.integers(2, size=(8, model.cells, model.cells))).float()
    middle = slice(model.cells // 2 - 2, model.cells // 2 + 3)
    every_one = np.arange(8)
    frames = model.frames(objects, torch.zeros(8, 2))
    targets = each_transformed(objects[:, middle, middle], every_one)
    changed = each_transformed(objects, every_one)
    seen = model.frames(changed, torch.zeros(8, 2))
    error = (each_transformed(frames, every_one) - seen).abs().amax((1, 2)) / seen.amax((1, 2))
    assert error.max() < 1e-5
    assert torch.equal(targets, changed[:, middle, middle])
    # None of it holds by accident: the objects are like none of their changed selves.
    assert (frames - seen).abs().amax((1, 2))[1:].min() > 0.01 * seen.max()


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "expected"),
    [(True, True, set(range(8))), (True, False, {0, 1, 2, 3}), (False, False, {0})],
)
def test_all_that_are_wanted_are_drawn_alike(flips, quarter_turns, expected):
    drawn = draw_symmetries(8000, RANDOM, flips=flips, quarter_turns=quarter_turns)
    counts = np.bincount(drawn, minlength=8)
    assert set(np.flatnonzero(counts)) == expected
    assert abs(counts[counts > 0] * len(expected) / 8000 - 1).max() < 0.15


def test_turns_alone_never_mirror():
    picture = torch.arange(9.0).reshape(1, 3, 3)
    turns = {tuple(picture.rot90(k, (1, 2)).flatten().tolist()) for k in range(4)}
    drawn = draw_symmetries(200, RANDOM, flips=False, quarter_turns=True)
    seen = each_transformed(picture.expand(200, 3, 3), drawn)
    assert {tuple(one.flatten().tolist()) for one in seen} == turns
