"""The command that trains."""

import csv
import json
import re
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from command_bench import PATIENCE_S, Command, Open, Start, nobody_left, save_mask
from PIL import Image
from safetensors.torch import load_file, save_file

import opticalnet
from configs.errors import RunStoreError
from reconstruction.baselines.weights import load_baseline
from reconstruction.learning import plan, scan_task
from reconstruction.learning.records import read_state
from reconstruction.learning.scans import ScanMaker
from reconstruction.weights_file import read_tensors

SET = """
name = "small"
[instrument]
name = "bench"
[instrument.optics]
roi_px = 128
[[parts]]
split = "train"
name = "block"
frames = 70
[parts.sample]
kind = "block"
squares = 7
"""
RECIPE = """
epochs = 2
batch = 16
learning_rate = 1e-3
learning_rate_factor = 0.9
factor_every_epochs = 1
validation_frames = 40
"""
TRAIN = ("train", "--model", "resnet-18", "--data", "set.zarr", "--recipe", "own.toml")


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    (folder / "plan.toml").write_text(SET)
    return opticalnet.simulate(str(folder / "plan.toml"), out=folder / "set.zarr").path


@pytest.fixture
def place(small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set and a recipe, to work in."""
    (tmp_path / "set.zarr").symlink_to(small_set)
    (tmp_path / "own.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return [
            {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
        ]


def test_for_a_script(command: Command, place: Path) -> None:
    outcome = command(*TRAIN, "--grid", 5, "--seed", 7, "--out", "r18", "--json")
    assert outcome.code == 0
    said = json.loads(outcome.out)
    assert (said["weights"], said["epochs"]) == ("r18/weights.safetensors", 2)
    best = load_baseline("r18/weights.safetensors")
    assert said["best"]["epoch"] == best.training.epoch
    assert said["best"]["balanced_accuracy"] == best.training.validation["balanced_accuracy"]
    assert (best.info.grid, best.info.recipe.seed) == (5, 7)
    assert [line[:7] for line in outcome.err.splitlines()] == ["epoch 1", "epoch 2"]
    assert {path.name for path in (place / "r18").iterdir()} == {
        "weights.safetensors",
        "last.safetensors",
        "log.csv",
        "tensorboard",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_training_goes_on_as_if_it_had_not(
    start: Start, command: Command, place: Path
) -> None:
    process = start(*TRAIN, "--epochs", 40, "--out", "parts")
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("epoch 1"):
        assert line, "it ended before it was killed"
    process.kill()
    process.wait(PATIENCE_S)
    epochs = str(len(log(place / "parts")) + 1)
    resumed = command("train", "--resume", "parts", "--epochs", epochs)
    assert resumed.code == 0
    *_, best, weights = resumed.out.splitlines()
    assert best.startswith("best epoch ")
    assert weights == "weights: parts/weights.safetensors"
    assert command(*TRAIN, "--epochs", epochs, "--out", "whole").code == 0
    for name in ("weights.safetensors", "last.safetensors"):
        parts, whole = (load_file(place / out / name) for out in ("parts", "whole"))
        assert parts.keys() == whole.keys()
        assert all(torch.equal(parts[key], whole[key]) for key in parts)
    assert log(place / "parts") == log(place / "whole")


def test_ctrl_c_in_a_terminal(terminal: Open, place: Path) -> None:
    window = terminal(*TRAIN, "--epochs", 400)
    while not re.search(r"epochs.* 1 of 400.*epoch 1: balanced accuracy", window.text):
        assert window.read(), window.text
    window.process.send_signal(signal.SIGINT)
    assert window.finish() == 130, window.text
    assert nobody_left(window.process)
    said = "error: stopped; every finished epoch is kept: opticalnet train --resume training"
    assert " ".join(window.text.split()) == said  # the bars are gone
    done = load_baseline(place / "training" / "weights.safetensors").training.epochs_done
    assert 1 <= done == len(log(place / "training")) < 400


def test_the_papers_data_where_nobody_says_others(command: Command, place: Path) -> None:
    model = ("train", "--model", "resnet-18", "--epochs", 1)
    assert command(*model, "--recipe", "own.toml", "--out", "set").code == 0
    assert load_baseline("set/weights.safetensors").info.data == "70 frames of small, seed 0"
    (place / "fresh.toml").write_text(RECIPE + "steps_per_epoch = 1")
    (place / "paper").mkdir()  # which is not the plan of that name
    assert command(*model, "--recipe", "fresh.toml", "--out", "plan").code == 0
    assert load_baseline("plan/weights.safetensors").info.data.startswith(
        "fresh frames of paper"
    )
    assert json.loads(read_state(Path("plan")).origin)["data"] == "paper"
    (place / "set.zarr").unlink()
    said = command(*model, "--recipe", "paper").error
    assert "there is no set.zarr here" in said
    assert "opticalnet simulate --preset paper --out set.zarr" in said


def test_two_processes_share_the_recipes_batches(command: Command, place: Path) -> None:
    two = ("--model", "resunet-a", "--device", "cpu", "--devices", 2, "--epochs", 1)
    outcome = command(*TRAIN, *two, "--out", "two", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["epochs"] == 1
    facts = load_baseline(place / "two" / "weights.safetensors").training
    assert facts.examples_done == 70 // 16 * 16


@pytest.fixture
def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shapes, and scans so small that they are learnt in moments."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for name, rows in (("a", ("##.", "#..")), ("b", ("#.#", ".#.")), ("c", ("###", ".#."))):
        save_mask(folder / f"{name}.npy", *rows)
    Image.new("L", (4, 5), 255).save(folder / "D.PNG")
    (folder / "notes.txt").write_text("mine")
    Image.new("L", (4, 5)).save(folder / "photo.tif")
    monkeypatch.setattr(plan, "ScanMaker", partial(ScanMaker, side=6, instruments=2))
    monkeypatch.setattr(plan, "_FINE_TUNING_STEPS", 2)
    monkeypatch.setattr(scan_task, "_FIRST_SCANS", 2)
    monkeypatch.setattr(scan_task, "_VALIDATION_SCANS", 2)
    monkeypatch.chdir(tmp_path)
    return folder


def test_own_shapes(command: Command, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before is what ships; after is the last epoch, not one that was chosen by it."""
    with monkeypatch.context() as still:
        still.setattr(scan_task, "_FINE_TUNING_RATE", 0.0)
        outcome = command(
            "train", "--shapes", "masks", "--out", "tuned", "--epochs", 2, "--json"
        )
    said = json.loads(outcome.out)
    assert said["before"] == said["after"] == said["best"]["balanced_accuracy"]
    left_out = "shapes: expected .npy, .png, .toml, left out notes.txt, photo.tif"
    assert outcome.err.splitlines()[0] == left_out
    folder = masks.with_name("tuned")
    monkeypatch.chdir("/")  # where the shapes lie is known from everywhere
    monkeypatch.setattr(scan_task, "_FINE_TUNING_RATE", 0.1)
    outcome = command("train", "--resume", folder, "--epochs", 4)
    assert outcome.code == 0
    scores = [float(row["balanced_accuracy"]) for row in log(folder)]
    assert scores[0] == scores[1] == said["before"]
    assert scores[3] != scores[1]
    before, after = f"{scores[0]:.3f} before", f"{scores[3]:.3f} after the last epoch"
    assert f"shapes held out: balanced accuracy {before}, {after}" in outcome.out


def test_other_shapes_are_refused_on_resume(command: Command, masks: Path) -> None:
    train = ("train", "--shapes", "masks", "--out", "tuned", "--epochs", 1)
    assert command(*train).code == 0
    save_mask(masks / "a.npy", "###", "###")
    kept = log(masks.with_name("tuned"))
    resume = ("train", "--resume", "tuned", "--epochs", 2)
    assert "that the training began with, got others" in command(*resume).error
    assert "--data: expected none with --model scan" in command(*resume, "--data", "x").error
    assert log(masks.with_name("tuned")) == kept


def test_trainings_that_cannot_go_on_as_asked(command: Command, place: Path) -> None:
    assert command(*TRAIN).code == 0
    fewer = command("train", "--resume", "training", "--epochs", 1).error
    assert "--epochs: expected 2 or more, as 2 are done, got 1" in fewer
    tensors, metadata = read_tensors(place / "training" / "last.safetensors", RunStoreError)
    (place / "older").mkdir()
    save_file(tensors, place / "older" / "last.safetensors", metadata | {"origin": "{}"})
    assert read_state(place / "older").origin == "{}"
    older = command("train", "--resume", "older").error
    assert "older: expected a training of this version" in older


MISTAKES = {
    "no model": (["--data", "set.zarr"], ["--model: expected one, got none"]),
    "unknown model": (
        ["--model", "Scan"],
        ["--model: expected one of scan, frame, resunet-a", "got 'Scan'"],
    ),
    "shapes for an unknown model": (
        ["--shapes", "taken", "--model", "bogus"],
        ["--model: expected one of", "got 'bogus'"],
    ),
    "empty shapes": (["--shapes", ""], ["shapes: expected a path, got ''"]),
    "empty place": ([*TRAIN[1:], "--out", ""], ["out: expected a path, got ''"]),
    "empty resume": (["--resume", ""], ["resume: expected a path, got ''"]),
    "unknown recipe": ([*TRAIN[1:], "--recipe", "mine"], ["fresh, paper", "'mine'"]),
    "no grid": ([*TRAIN[1:], "--grid", "4"], ["expected 3, 5 or 7 squares, got 4"]),
    "no epochs": ([*TRAIN[1:], "--epochs", "0"], ["epochs", "got 0"]),
    "seed": ([*TRAIN[1:], "--seed", "-1"], ["seed", "got -1"]),
    "seed of a network": (["--model", "scan", "--seed", "-1"], ["seed", "got -1"]),
    "precision": ([*TRAIN[1:], "--precision", "16"], ["'32' or 'bf16-mixed', got '16'"]),
    "no set": ([*TRAIN[1:], "--data", "nowhere"], ["no data set at nowhere"]),
    "too small": ([*TRAIN[1:], "--recipe", "big.toml"], ["a batch of 99 frames or more"]),
    "unknown device": ([*TRAIN[1:], "--device", "tpu"], ["expected auto, cpu or cuda"]),
    "odd devices": (
        [*TRAIN[1:], "--devices", "2", "--recipe", "big.toml"],
        ["expected a divisor", "got 2"],
    ),
    "no devices": ([*TRAIN[1:], "--devices", "0"], ["devices: expected 1 to", "got 0"]),
    "nothing to resume": (["--resume", "nowhere"], ["nowhere: expected a training"]),
    "both": (["--resume", "x", "--grid", "5"], ["--grid: expected none with --resume"]),
    "data of its own": (
        ["--model", "scan", "--data", "set.zarr"],
        ["--data: expected none with --model scan"],
    ),
    "another recipe": (
        ["--model", "frame", "--recipe", "paper"],
        ["--recipe: expected none with --model frame"],
    ),
    "no such instrument": (
        ["--model", "scan", "--instrument", "mine"],
        ["instrument: expected one of", "'mine'"],
    ),
    "an instrument for a baseline": (
        [*TRAIN[1:], "--instrument", "simulated"],
        ["--instrument: expected none with a baseline"],
    ),
    "no shapes": (["--shapes", "nowhere"], ["shapes: expected a folder, got /", "nowhere"]),
    "too few shapes": (["--shapes", "taken"], ["expected two or more", "got 0"]),
    "shapes for frames": (
        ["--model", "frame", "--shapes", "taken"],
        ["--shapes: expected none with --model frame"],
    ),
    "polarised light": (
        ["--model", "scan", "--instrument", "polarised.toml"],
        ["look alike in all orientations", "a polarised beam"],
    ),
    "coma": (
        ["--model", "frame", "--instrument", "coma.toml"],
        ["look alike in all orientations", "aberrations that do not"],
    ),
    "no such devices": (
        ["--model", "scan", "--devices", "9999", "--out", "taken", "--overwrite"],
        ["devices: expected 1 to", "got 9999"],
    ),
    "no time": (["--model", "scan", "--epochs", "0"], ["epochs", "got 0"]),
    "taken": ([*TRAIN[1:], "--out", "taken"], ["taken exists already", "--overwrite"]),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_leave_nothing(command: Command, place: Path, kind: str) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "mine").write_text("mine")
    (place / "taken" / "log.csv").write_text("of an earlier training")
    optics = "name = 'own'\n[optics]\n"
    (place / "polarised.toml").write_text(f"{optics}beam.kind = 'focused'\n")
    coma = "collection_zernike_waves = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1]"
    (place / "coma.toml").write_text(optics + coma)
    (place / "big.toml").write_text(RECIPE.replace("16", "99"))
    before = sorted(place.rglob("*"))
    arguments, said = MISTAKES[kind]
    outcome = command("train", *arguments)
    for part in said:
        assert part in outcome.error
    assert outcome.out == ""
    assert sorted(place.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu(command: Command, place: Path) -> None:
    assert "torch sees none" in command(*TRAIN, "--device", "cuda").error
