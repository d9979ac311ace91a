"""The command that trains."""

import csv
import json
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from command_bench import PATIENCE_S, Command, Open, Start, nobody_left
from safetensors.torch import load_file

import opticalnet
from reconstruction.baselines.weights import load_baseline

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


MISTAKES = {
    "no model": (["--data", "set.zarr"], ["--model: expected one, got none"]),
    "no data": (["--model", "resnet-18"], ["--data: expected one, got none"]),
    "unknown model": ([*TRAIN[1:], "--model", "vgg"], ["expected one of resunet-a", "'vgg'"]),
    "unknown recipe": ([*TRAIN[1:], "--recipe", "mine"], ["fresh, paper", "'mine'"]),
    "no grid": ([*TRAIN[1:], "--grid", "4"], ["expected 3, 5 or 7 squares, got 4"]),
    "no epochs": ([*TRAIN[1:], "--epochs", "0"], ["epochs", "got 0"]),
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
    "no shapes": (["--shapes", "nowhere"], ["shapes: expected a folder, got nowhere"]),
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
    "no time": (["--model", "scan", "--epochs", "0"], ["epochs", "got 0"]),
    "taken": ([*TRAIN[1:], "--out", "taken"], ["taken exists already", "--overwrite"]),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_leave_nothing(command: Command, place: Path, kind: str) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "mine").write_text("mine")
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
