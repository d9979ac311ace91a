"""Frames that are simulated as they are asked for."""

from itertools import islice

import numpy as np
import pytest
import torch
from dataset_bench import BLOCK, BRIGHT, PARTS, STILL, bench, make, part, small_plan
from torch.utils.data import DataLoader

from configs.errors import ConfigError
from simulation.datasets.fresh_frames import FreshFrames
from simulation.datasets.reader import Dataset

PLAN = small_plan(parts=PARTS)


def take(frames, count):
    """(count, y, x) and (count, grid, grid)."""
    images, targets = zip(*islice(frames, count), strict=True)
    return torch.stack(images), torch.stack(targets)


def unlike(one, other):
    """Whether no frame of one is among those of the other."""
    frames = {frame.numpy().tobytes() for frame in one}
    return frames.isdisjoint(frame.numpy().tobytes() for frame in other)


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_what_comes_out(grid):
    images, targets = take(FreshFrames(PLAN, grid=grid), 20)
    assert (images.shape, images.dtype) == ((20, 16, 16), torch.float32)
    assert (targets.shape, targets.dtype) == ((20, grid, grid), torch.float32)
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert len(torch.unique(images.flatten(1), dim=0)) == 20


def test_the_seed_fixes_the_stream():
    first, again = (take(FreshFrames(PLAN), 100) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert unlike(first[0], take(FreshFrames(small_plan(seed=4)), 100)[0])


def test_frames_go_with_their_targets():
    """The light of a frame is that of the squares around the beam, most of all the middle."""
    plan = small_plan(
        instrument=bench(BRIGHT, STILL), parts=[part("block", squares=16, density=0.3)]
    )
    images, targets = take(FreshFrames(plan, grid=3), 18 * 18)
    light = (images - 100).sum(dim=(1, 2))
    assert np.corrcoef(light, targets.sum(dim=(1, 2)))[0, 1] > 0.8


def test_a_scan_is_shuffled_and_complete():
    plan = small_plan(instrument=bench(BRIGHT, STILL), parts=[BLOCK])
    fresh = take(FreshFrames(plan), 81)
    # The scan after those of the set is the next one that a larger set would have.
    images, targets = _second_scan(plan)
    assert not torch.equal(fresh[0], images)
    order = [
        next(n for n, image in enumerate(images) if torch.equal(image, frame))
        for frame in fresh[0]
    ]
    assert sorted(order) == list(range(81))
    assert torch.equal(fresh[1], targets[order])


def _second_scan(plan):
    from simulation.datasets.lines import LineSimulator
    from simulation.datasets.scan import draw_scan

    simulator, scan = LineSimulator(plan), draw_scan(plan, 0, 1)
    lines = [simulator.frames(line) for line in simulator.lines(scan)]
    images = torch.from_numpy(np.concatenate(lines).astype(np.float32))
    return images, torch.from_numpy(scan.targets(7).astype(np.float32))


def test_nothing_of_the_set_is_shown(tmp_path):
    kept = Dataset(make(PLAN, tmp_path / "set.zarr"))["train/block"].frames()
    fresh, _ = take(FreshFrames(PLAN), 300)
    assert unlike(torch.from_numpy(kept.astype(np.float32)), fresh)


def test_every_scan_has_a_sample_of_its_own():
    _, targets = take(FreshFrames(small_plan(parts=[BLOCK])), 3 * 81)
    scans = [sorted(map(bytes, scan.numpy())) for scan in targets.split(81)]
    assert scans[0] != scans[1] != scans[2] != scans[0]


def test_parts_of_a_split_take_turns():
    film, clear = (
        part("block", name=name, squares=4, density=density)
        for name, density in (("film", 0.0), ("clear", 1.0))
    )
    _, targets = take(FreshFrames(small_plan(parts=[film, clear, PARTS[1]])), 4 * 36)
    shares = [float(scan.mean()) for scan in targets.split(36)]
    assert shares[0] == shares[2] == 0
    assert shares[1] == shares[3] > 0


def test_workers_of_a_loader_share_the_scans():
    """One frame each in turn: the first of scan 0, the first of scan 1, and so on."""
    alone, _ = take(FreshFrames(PLAN), 3 * 81)
    loader = DataLoader(FreshFrames(PLAN), batch_size=None, num_workers=2)
    together, _ = take(loader, 100)
    assert torch.equal(together[0::2], alone[:50])
    assert torch.equal(together[1::2], alone[81:131])


def test_what_chance_does_not_draw_repeats_in_another_light(tmp_path):
    kept = Dataset(make(PLAN, tmp_path / "set.zarr"))["test/ss"]
    fresh, targets = take(FreshFrames(PLAN, split="test"), 2 * 100)
    squares = sorted(map(bytes, kept.targets(7)))
    for scan in targets.split(100):
        assert sorted(map(bytes, scan.numpy().astype(np.uint8))) == squares
    assert unlike(torch.from_numpy(kept.frames().astype(np.float32)), fresh)


def test_splits_are_kept_apart_as_in_a_set():
    larger = part("star", squares=10, spokes=6)
    with pytest.raises(ConfigError, match="no sample in both splits"):
        FreshFrames(small_plan(parts=[larger, PARTS[1]]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"grid": 4}, "expected 3, 5 or 7 squares, got 4"), ({"split": "test"}, "to test with")],
)
def test_mistakes(settings, said):
    with pytest.raises(ConfigError, match=said):
        FreshFrames(small_plan(parts=[BLOCK]), **settings)
