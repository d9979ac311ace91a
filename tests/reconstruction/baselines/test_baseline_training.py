"""A baseline from a set to a file, and back."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from configs.dataset import DatasetPlan
from configs.errors import ConfigError, ReconstructionError, RunStoreError
from configs.instrument import InstrumentConfig
from configs.optics import Optics
from configs.recipe import Recipe
from reconstruction.baselines.sources import open_source
from reconstruction.baselines.training import BaselinePlan, train_baseline
from reconstruction.baselines.weights import FORMAT, load_baseline
from reconstruction.learning.records import read_state
from reconstruction.weights_file import read_tensors
from simulation.datasets.maker import make_dataset
from simulation.datasets.workers import LocalWorkers

CPU = torch.device("cpu")
RECIPE = Recipe(
    epochs=2,
    batch=16,
    learning_rate=1e-3,
    learning_rate_factor=0.9,
    factor_every_epochs=1,
    validation_frames=40,
)


def make_set(path, seed=3):
    sample = {"kind": "block", "squares": 7}
    plan = DatasetPlan.checked(
        "small",
        {
            "name": "small",
            "seed": seed,
            "instrument": InstrumentConfig(name="bench", optics=Optics(roi_px=128)),
            "parts": [{"split": "train", "name": "block", "sample": sample, "frames": 70}],
        },
    )
    make_dataset(plan, path, LocalWorkers(1), lambda done, frames: None)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def plan(place):
    return BaselinePlan(
        model="resnet-18", recipe=RECIPE, data=str(make_set(place / "set.zarr"))
    )


@pytest.fixture(scope="module")
def trained(place, plan):
    train_baseline(plan, place / "out", CPU)
    return place / "out"


def test_what_is_kept_with_the_weights(trained, plan, place):
    baseline = load_baseline(trained / "weights.safetensors")
    info, facts = baseline.info, baseline.training
    assert (info.model, info.grid, info.image_px) == ("resnet-18", 3, 32)
    assert (info.recipe, info.optics) == (RECIPE, Optics(roi_px=128))
    assert (info.amplitude, info.data) == ("electrons", "70 frames of small, seed 3")
    assert (facts.epochs_done, facts.epochs_planned, facts.seed) == (2, 2, 0)
    assert {"opticalnet", "torch", "monai", "lightning-fabric"} <= facts.software.keys()
    assert str(place) not in (trained / "weights.safetensors").read_bytes().decode("latin-1")


def test_the_file_gives_the_scores_that_it_says(trained, plan):
    baseline = load_baseline(trained / "weights.safetensors")
    source = open_source(plan.data, 3, steps=None, held_out=40, workers=0)
    frames, targets = source.held_out[:]
    with torch.inference_mode():
        said = baseline.network(source.amplitude(frames)) > 0
    accuracy = (said == (targets > 0)).double().mean().item()
    assert accuracy == pytest.approx(baseline.training.validation["accuracy"])


def test_more_epochs_are_as_if_planned_at_once(trained, plan, place):
    longer = plan.changed(recipe=RECIPE.changed(epochs=3))
    train_baseline(longer, place / "whole", CPU)
    shutil.copytree(trained, place / "parts")
    begun = BaselinePlan.model_validate_json(read_state(place / "parts").origin)
    train_baseline(begun.changed(recipe=longer.recipe), place / "parts", CPU, resume=True)
    whole, parts = (load_file(place / name / "last.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert load_baseline(place / "parts" / "weights.safetensors").training.epochs_planned == 3


def test_other_data_are_refused_on_resume(trained, place):
    make_set(place / "other.zarr", seed=4)
    begun = BaselinePlan.model_validate_json(read_state(trained).origin)
    other = begun.changed(data=str(place / "other.zarr"))
    with pytest.raises(RunStoreError, match=r"expected 70 frames of small, seed 3,.*seed 4"):
        train_baseline(other, trained, CPU, resume=True)


def test_folders_and_fresh_frames_train_as_well(place, plan):
    from simulation.datasets.tiff import write_image

    folders, random = place / "folders", np.random.default_rng(0)
    for sample in ("A1", "A2"):
        for kind, side in (("img", 32), ("mask", 3)):
            (folders / "train_valid" / sample / kind).mkdir(parents=True)
            for k in range(16):
                picture = random.integers(2, size=(side, side)).astype(np.uint8) * 255
                path = folders / "train_valid" / sample / kind / f"{k}.tif"
                write_image(path, picture)
    one = RECIPE.changed(epochs=1)
    train_baseline(plan.changed(data=str(folders), recipe=one), place / "f", CPU)
    info = load_baseline(place / "f" / "weights.safetensors").info
    assert (info.amplitude, info.optics) == ("levels", None)
    assert info.data == "16 images in 1 folders, A2 held out"
    endless = one.changed(steps_per_epoch=2)
    train_baseline(plan.changed(recipe=endless), place / "e", CPU)
    info = load_baseline(place / "e" / "weights.safetensors").info
    assert info.data == "fresh frames of small, seed 3"


def test_half_of_each_batch_for_each_device(plan, place):
    odd = plan.changed(recipe=RECIPE.changed(batch=15))
    with pytest.raises(ConfigError, match="expected a divisor of the batch of 15, got 2"):
        train_baseline(odd, place / "none", CPU, 2)
    assert not (place / "none").exists()


def test_wrong_data_leave_an_earlier_training(trained, plan):
    before = (trained / "weights.safetensors").read_bytes()
    with pytest.raises(RunStoreError, match="no data set at nowhere"):
        train_baseline(plan.changed(data="nowhere"), trained, CPU, overwrite=True)
    with pytest.raises(ConfigError, match="devices: expected 1 to"):
        train_baseline(plan, trained, CPU, 99_999, overwrite=True)
    with pytest.raises(ConfigError, match="expected one of resunet-a"):
        train_baseline(plan.changed(model="vgg"), trained, CPU, overwrite=True)
    with pytest.raises(RunStoreError, match="exists already"):
        train_baseline(plan, trained, CPU)
    assert (trained / "weights.safetensors").read_bytes() == before


def test_the_global_generator_is_left_alone(plan, place):
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    with pytest.raises(ConfigError):
        train_baseline(plan.changed(grid=5, recipe=RECIPE.changed(batch=99)), place / "n", CPU)
    assert torch.equal(torch.rand(1), before)


def test_files_that_are_no_baselines(trained, tmp_path):
    good = trained / "weights.safetensors"
    tensors, metadata = read_tensors(good)

    def load(tensors, **changes):
        save_file(tensors, tmp_path / "w", metadata | changes)
        return load_baseline(tmp_path / "w")

    assert isinstance(load(tensors).network, nn.Module)
    bigger = json.dumps(json.loads(metadata["baseline"]) | {"grid": 5})
    unknown = json.dumps(json.loads(metadata["baseline"]) | {"colour": 1})
    for changes, said in (
        ({"format": "other"}, f"expected format {FORMAT}, got other"),
        ({"baseline": bigger}, "expected tensors of the stated sizes"),
        ({"baseline": unknown}, "expected their baseline beside them, got baseline.colour"),
        ({"training": "{}"}, "expected their training beside them"),
    ):
        with pytest.raises(ReconstructionError, match=said) as caught:
            load(tensors, **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(ReconstructionError, match="finite numbers"):
        load({name: tensor * torch.nan for name, tensor in tensors.items()})
    with pytest.raises(ReconstructionError, match="readable safetensors"):
        load_baseline(tmp_path / "missing")
