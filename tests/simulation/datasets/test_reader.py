"""A set that is damaged, or none at all."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from dataset_bench import contents, make, small_plan

from configs.dataset import load_dataset_plan
from configs.errors import ConfigError, RunStoreError
from configs.sample import Mask
from simulation.datasets.reader import Dataset

CHUNK = Path("train/block/frames/c/3/0/0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make(small_plan(), tmp_path_factory.mktemp("whole") / "set.zarr")


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "set.zarr"))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_bit_that_has_turned_over_is_seen(copy):
    flip(copy / CHUNK)
    part = Dataset(copy)["train/block"]
    assert part.frames(0, 27).any()
    with pytest.raises(RunStoreError, match=r"train/block/frames.*damaged"):
        part.frames(27, 28)


def test_a_target_that_has_turned_over_is_seen(copy):
    flip(copy / "test/ss/target_5/c/0/0/0")
    with pytest.raises(RunStoreError, match=r"test/ss/target_5.*damaged"):
        Dataset(copy)["test/ss"].targets(5)


@pytest.mark.parametrize("gone", [CHUNK, CHUNK.parents[3], Path("test/ss")])
def test_what_has_gone_is_missed_at_once(copy, gone):
    path = copy / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunStoreError, match=r"set\.zarr"):
        Dataset(copy)


def test_a_set_outlives_the_mask_that_it_shows(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir(), here.mkdir()
    np.save(there / "mask.npy", np.tri(4))
    (there / "plan.toml").write_text(
        "name = 'own'\n[[parts]]\nsplit = 'train'\nname = 'it'\n"
        "sample = { kind = 'mask', path = 'mask.npy' }\n"
        "[instrument]\nname = 'bench'\noptics = { roi_px = 64 }\n"
    )
    first = make(load_dataset_plan(str(there / "plan.toml")), here / "set.zarr")
    (there / "mask.npy").rename(here / "mask.npy")
    part = Dataset(first).info.plan.parts[0]
    digest = hashlib.sha256((here / "mask.npy").read_bytes()).hexdigest()
    assert part.sample == Mask(path="mask.npy", sha256=digest)

    # The plan in the datasheet makes it again, from that mask and no other.
    text = (here / "set.datasheet.md").read_text(encoding="utf-8")
    (here / "plan.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    again = make(load_dataset_plan(str(here / "plan.toml")), here / "again.zarr")
    assert contents(again) == contents(first)
    np.save(here / "mask.npy", np.eye(4))
    with pytest.raises(ConfigError, match="expected a file with SHA-256"):
        load_dataset_plan(str(here / "plan.toml"))


def change(path, **values):
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["opticalnet"].update(values)
    (path / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize("values", [{"format": "opticalnet-set-9"}, {"magic": 1}])
def test_another_format(copy, values):
    change(copy, **values)
    with pytest.raises(RunStoreError, match="expected format opticalnet-set-1") as raised:
        Dataset(copy)
    assert next(iter(values)) in str(raised.value)


def make_group(path):
    zarr.create_group(path)


def make_array(path):
    zarr.create_array(path, data=np.zeros(3))


@pytest.mark.parametrize("write", [Path.mkdir, Path.touch, make_group, make_array])
def test_what_is_no_set(tmp_path, write):
    write(tmp_path / "set.zarr")
    with pytest.raises(RunStoreError, match="is no data set"):
        Dataset(tmp_path / "set.zarr")


def test_no_set_at_all(tmp_path):
    with pytest.raises(RunStoreError, match="no data set at"):
        Dataset(tmp_path / "set.zarr")
