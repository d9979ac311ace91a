"""Where frames come from: each once an epoch, and none of what validates."""

import numpy as np
import pytest
import torch
from set_bench import RECIPE, make_set, small_plan

from configs.errors import ConfigError, RunStoreError
from reconstruction.amplitude import relative_amplitude
from reconstruction.baselines.sources import open_source
from reconstruction.baselines.task import BaselineTask
from simulation.datasets.paper_folders import export_tiff
from simulation.datasets.paper_reader import open_folders
from simulation.datasets.reader import Dataset


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("sets") / "set.zarr")


@pytest.fixture(scope="module")
def folders(small_set):
    path = small_set.with_name("folders")
    export_tiff(small_set, path, grid=3)
    return path


def open_(data, grid=3, steps=None):
    return open_source(str(data), grid, steps=steps, held_out=50, workers=0)


def prints(frames):
    """What tells a frame from all others."""
    return [bytes(memoryview(np.asarray(frame, np.uint16))) for frame in frames]


def shown(source, epoch, rank=0, ranks=1, seed=0):
    pairs = list(source.batches(16, seed, epoch, rank, ranks))
    return torch.stack([frames for frames, _ in pairs]), torch.stack([t for _, t in pairs])


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_a_set_is_shown_once_an_epoch(small_set, grid):
    source, part = open_(small_set, grid), Dataset(small_set)["train/block"]
    frames, targets = shown(source, 0)
    assert frames.shape == (162 // 16, 16, 32, 32)
    kept = dict(zip(prints(part.frames()), part.targets(grid), strict=True))
    seen = prints(frames.flatten(0, 1))
    assert len(set(seen)) == 160 == len(seen)
    for frame, target in zip(seen, targets.flatten(0, 1), strict=True):
        assert np.array_equal(kept[frame], target)
    later, _ = shown(source, 1)
    assert prints(later.flatten(0, 1)) != seen
    assert torch.equal(shown(source, 0)[0], frames)
    assert not torch.equal(shown(source, 0, seed=1)[0], frames)


def test_processes_share_each_batch(small_set):
    source = open_(small_set)
    whole, _ = shown(source, 3)
    shares = [shown(source, 3, rank, 4)[0] for rank in range(4)]
    assert torch.equal(torch.stack(shares, 2).flatten(1, 2), whole)


def test_samples_that_validate_are_others(small_set):
    """Neither frames nor samples of the set: no random object has the same neighbours."""
    source, data = open_(small_set, 7), Dataset(small_set)
    assert (len(source.held_out), source.held_out.frames.dtype) == (50, np.uint16)
    for part in data.values():
        assert set(prints(part.frames())).isdisjoint(prints(source.held_out.frames))
    scans = data["train/block"].targets(7).reshape(2, 81, 49)[:, 40]
    middles = {bytes(target) for target in source.held_out.targets.reshape(50, 49)}
    assert middles.isdisjoint(bytes(scan) for scan in scans if 5 < scan.sum() < 45)


def test_what_a_set_is_known_by(small_set):
    source, plan = open_(small_set), small_plan()
    assert source.description == "162 frames of small, seed 3"
    assert source.optics == plan.instrument.optics
    frames, _ = source.held_out[:2]
    expected = relative_amplitude(frames, plan.camera.sensor, 2000.0)
    assert torch.equal(source.amplitude(frames), expected)


def test_folders_hold_a_whole_sample_out(folders):
    source = open_(folders)
    paths = open_folders(folders, 3)
    first, last = (paths[f"train_valid/A{n}"].frames() for n in (1, 2))
    assert set(prints(shown(source, 0)[0].flatten(0, 1))) <= set(prints(first))
    assert prints(source.held_out.frames) == prints(last)
    assert source.optics is None
    levels = torch.tensor([0.0, 255.0, 63.75])
    assert source.amplitude(levels).tolist() == [0.0, 1.0, 0.5]


def test_fresh_frames_never_come_again(small_set):
    source = open_(small_set, steps=3)
    assert source.steps(16) == 3
    runs = [(epoch, rank) for epoch in range(2) for rank in range(2)]
    seen = [prints(shown(source, *run, ranks=2)[0].flatten(0, 1)) for run in runs]
    assert [len(one) for one in seen] == [24] * 4
    held_out = prints(source.held_out.frames)
    assert len(set(sum(seen, held_out))) == 4 * 24 + 50
    again = prints(shown(source, 1, 1, ranks=2)[0].flatten(0, 1))
    assert again == seen[-1]


def test_fresh_frames_need_no_set(tmp_path):
    import tomli_w

    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps(small_plan().model_dump(mode="json", exclude_none=True)))
    frames, targets = next(open_(path, steps=1).batches(4, 0, 0, 0, 1))
    assert (frames.shape, targets.shape) == ((4, 32, 32), (4, 3, 3))


def test_frames_and_targets_are_turned_alike(small_set):
    source = open_(small_set)
    network = torch.nn.Linear(1, 1)
    plain = BaselineTask(network, source, RECIPE.changed(flips=False, quarter_turns=False), {})
    turned = BaselineTask(network, source, RECIPE, {})
    changed = 0
    for (a, s), (b, t) in zip(plain.batches(0, 0, 1), turned.batches(0, 0, 1), strict=True):
        for frame, target, other, squares in zip(a, s, b, t, strict=True):
            ways = [way for way in range(8) if torch.equal(in_a_way(frame, way), other)]
            assert len(ways) == 1
            assert torch.equal(in_a_way(target, ways[0]), squares)
            changed += ways[0] > 0
    assert 100 < changed < 160


def in_a_way(picture, way):
    turned = picture.rot90(way % 4)
    return turned.flip(1) if way > 3 else turned


def test_the_schedule_is_the_recipes(small_set):
    recipe = RECIPE.changed(epochs=90, learning_rate_factor=0.9, factor_every_epochs=30)
    task = BaselineTask(torch.nn.Linear(1, 1), open_(small_set), recipe, {})
    assert (task.epochs, task.steps) == (90, 10)
    rates = [task.learning_rate(epoch) for epoch in (0, 29.9, 30, 59.9, 60)]
    assert rates == pytest.approx([1e-3, 1e-3, 9e-4, 9e-4, 8.1e-4])


def test_validation_scores_every_held_out_frame(small_set):
    class Known(torch.nn.Module):
        """Says open, but never of the last frame."""

        def __init__(self):
            super().__init__()
            self.seen = 0
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, amplitude):
            self.seen += len(amplitude)
            return torch.ones(len(amplitude), 3, 3)

    network, source = Known(), open_(small_set)
    task = BaselineTask(network, source, RECIPE, {})
    scores = task.validate(network, torch.device("cpu"))
    assert network.seen == 50
    assert scores["accuracy"] == pytest.approx(source.held_out.targets.mean())
    assert scores["balanced_accuracy"] == 0.5


MISTAKES = {
    "nowhere": ("nowhere", None, RunStoreError, "no data set at nowhere"),
    "a plan": ("paper", None, ConfigError, "opticalnet simulate --preset paper"),
    "endless folders": (".", 5, ConfigError, "got folders"),
    "no folders": (".", None, ConfigError, "expected folders train_valid/NAME"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_data_that_does_not_fit(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    data, steps, error, said = MISTAKES[kind]
    with pytest.raises(error, match=said):
        open_(data, steps=steps)


def test_a_batch_larger_than_the_set(small_set):
    with pytest.raises(ConfigError, match="expected a batch of 200 frames or more"):
        open_(small_set).steps(200)


def test_folders_that_do_not_fit(folders, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folders, copy, ignore=shutil.ignore_patterns("opticalnet.toml"))
    (copy / "train_valid" / "A1" / "mask" / "3.tif").unlink()
    with pytest.raises(RunStoreError, match=r"expected mask/3\.tif for img/3\.tif"):
        open_(copy)
    shutil.rmtree(copy / "train_valid" / "A1")
    with pytest.raises(ConfigError, match=r"expected two samples or more.*got 1"):
        open_(copy)
