"""The command that compares networks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_bench import Command
from safetensors.torch import save_file

from configs.errors import ConfigError
from configs.optics import Optics
from configs.recipe import load_recipe
from opticalnet.benchmark_command import compare_networks
from opticalnet.benchmark_scans import SUBJECTS, Subject, folder_exams, scan_subject
from reconstruction.baselines.registry import make_baseline
from reconstruction.baselines.weights import BaselineInfo
from reconstruction.benchmarking.contenders import open_contenders
from reconstruction.learning.records import TrainingFacts
from simulation.datasets.tiff import write_image
from simulation.samples import load_sample

FILES = {"benchmark.md", "benchmark.csv", "benchmark.html", "benchmark-pictures"}


def save_baseline(
    path: Path, *, grid: int = 3, levels: bool = False, roi_px: int = 256
) -> Path:
    """Write a small network with new weights, said to have had 20 of 500 epochs."""
    torch.manual_seed(0)
    info = BaselineInfo(
        model="resnet-18",
        grid=grid,
        image_px=roi_px // 4,
        amplitude="levels" if levels else "electrons",
        optics=None if levels else Optics(roi_px=roi_px),
        data="a test",
        recipe=load_recipe("paper"),
    )
    facts = TrainingFacts(
        epoch=20, epochs_done=20, epochs_planned=500, seed=0, software={}, validation={}
    )
    tensors = make_baseline("resnet-18", grid, roi_px // 4).state_dict()
    save_file(tensors, path, info.metadata() | {"training": facts.model_dump_json()})


def save_folders(root: Path, *names: str, side: int = 64) -> Path:
    """Write images whose brightness is their number, and masks of 3 x 3 squares."""
    for name in names:
        for kind in ("img", "mask"):
            (root / "test" / name / kind).mkdir(parents=True)
        for k in range(70):  # a line of 66, and four
            write_image(
                root / "test" / name / "img" / f"{k}.tif", np.full((side, side), k, np.uint8)
            )
            mask = np.zeros((3, 3), np.uint8)
            mask[1, 1] = 255 * (k % 2)
            write_image(root / "test" / name / "mask" / f"{k}.tif", mask)
    return root


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(
    mask: Path, *models: str, folders: str | None = None, overwrite: bool = False
) -> None:
    subjects = (Subject("Block", str(mask), 1), Subject("Block", str(mask), 2))
    star = Subject("Star", str(mask), 3, whole_squares=True)
    compare_networks(
        models,
        folders,
        "out/here",
        "cpu",
        overwrite=overwrite,
        json=True,
        subjects=(*subjects, star),
        slow_ms=0.0,
    )


def test_a_report_of_everything(
    place: Path, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_baseline(place / "light.safetensors")
    save_baseline(place / "levels.safetensors", levels=True)
    save_folders(place / "set", "SS")
    compare(mask, "light.safetensors", "levels.safetensors", folders="set")
    said = json.loads(capsys.readouterr().out)
    assert said["files"][0] == "out/here/benchmark.md"
    assert said["missing"] == ["resunet-a", "attention-unet", "resnet-34", "transformer"]
    assert {path.name for path in (place / "out" / "here").iterdir()} == FILES
    pictures = {path.name for path in (place / "out" / "here" / "benchmark-pictures").iterdir()}
    assert pictures == {"block.png", "star.png", "folder-ss.png", "reliability.png"}
    text = (place / "out" / "here" / "benchmark.md").read_text(encoding="utf-8")
    assert "Block 1, 2; Star 3" in text
    assert "SIMULATED" in text
    page = (place / "out" / "here" / "benchmark.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "<h2>Folders</h2>" in page
    with (place / "out" / "here" / "benchmark.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(said["results"])
    seen = {(row["source"], row["network"]) for row in rows}
    baselines = "resnet-18, 3 x 3 (light.safetensors)", "resnet-18, 3 x 3 (levels.safetensors)"
    assert ("simulated", baselines[0]) in seen
    assert ("simulated", baselines[1]) not in seen
    assert {("folders", name) for name in (*baselines, "scan network")} <= seen
    assert ("folders", "frame network, 5 x 5") not in seen  # the masks have 3 x 3
    assert {row["training"] for row in rows if row["network"] in baselines} == {
        "20 of 500 epochs"
    }
    slow = [
        row for row in rows if row["network"] == baselines[0] and row["source"] != "folders"
    ]
    assert {(row["sample"], row["seed"]) for row in slow} == {("Block", "1"), ("Star", "3")}


def test_an_earlier_report_goes_only_when_told(
    place: Path, mask: Path, command: Command
) -> None:
    earlier = place / "out" / "here" / "benchmark-pictures"
    earlier.mkdir(parents=True)
    (earlier / "old.png").write_bytes(b"")
    (place / "out" / "here" / "mine.txt").write_text("mine")
    outcome = command("benchmark", "--out", "out/here")
    assert "benchmark-pictures exists already; choose another --out" in outcome.error
    compare(mask, overwrite=True)
    assert not (earlier / "old.png").exists()
    assert {path.name for path in (place / "out" / "here").iterdir()} == FILES | {"mine.txt"}


def test_a_failure_leaves_nothing(place: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        compare(place / "none.npy")
    assert list(place.iterdir()) == []


def test_scans_are_read_with_their_truth(mask: Path) -> None:
    told: list[tuple[int, int]] = []
    exam = scan_subject(Subject("any", str(mask), 1), lambda *done: told.append(done))
    assert np.array_equal(exam.truth, np.load(mask) >= 0.5)
    assert exam.images.shape == (64, 64, 64)
    assert told[-1] == (64, 64)
    light = exam.images.mean((1, 2))[exam.index.argsort()].reshape(8, 8)
    assert light[3, 2] > 1.1 * light[6, 6]  # an opening, and film
    middle = exam.targets[exam.index.argsort(), 3, 3].reshape(8, 8)
    assert np.array_equal(middle[1:-1, 1:-1], exam.truth)
    assert np.abs(exam.off_um).max() < 0.005


def test_folders_are_read_as_far_as_they_go(place: Path) -> None:
    save_folders(place / "set", "SS", side=16)
    (exam,) = folder_exams("set")
    assert exam.truth.shape == (2, 66)
    assert exam.truth[0, :4].tolist() == [0, 1, 0, 1]
    assert (exam.truth[1, 4:] == -1).all()
    assert exam.images[:, 0, 0].tolist() == exam.index.tolist() == list(range(70))
    white = exam.amplitude(torch.full((1, 2, 2), 255.0))
    assert torch.equal(white, torch.ones(1, 2, 2))


def test_a_name_alone_needs_no_path(place: Path) -> None:
    save_baseline(place / "light.safetensors")
    *_, baseline = open_contenders([place / "light.safetensors"], torch.device("cpu"))
    assert baseline.marked == "resnet-18, 3 x 3 [20 of 500 epochs]"
    assert baseline.parameters == sum(
        parameter.numel() for parameter in make_baseline("resnet-18", 3, 64).parameters()
    )


def test_what_is_scanned() -> None:
    groups = [subject.group for subject in SUBJECTS]
    assert groups == ["Block", "Block", "Block", "Light", "Star", "Star of squares"]
    assert len({subject.seed for subject in SUBJECTS}) == len(SUBJECTS)
    assert {subject.density for subject in SUBJECTS[:3]} == {0.35}
    for subject in SUBJECTS[3:]:
        assert load_sample(subject.sample).coverage.shape == (64, 64)


def unequal(place: Path) -> None:
    (save_folders(place / "set", "SS") / "test" / "SS" / "mask" / "3.tif").unlink()


MISTAKES = {
    "no file": (["none.safetensors"], "none.safetensors: expected a readable safetensors file"),
    "two, one of them missing": (
        ["--models", "window.safetensors", "none.safetensors"],
        "none.safetensors: expected a readable",
    ),
    "another window": (["window.safetensors"], "optics.roi_px expected 128, got 256"),
    "levels without folders": (["levels.safetensors"], "expected --folders beside it"),
    "another grid": (
        ["levels5.safetensors", "--folders", "good"],
        "targets of 5 squares, got 64 px and 3 squares in good/test/SS",
    ),
    "unequal folders": (["--folders", "set"], "expected mask/3.tif for img/3.tif"),
    "no folders": (["--folders", "nowhere"], "expected folders train_valid/NAME or test/NAME"),
    "no device": (["--device", "tpu"], "expected auto, cpu or cuda"),
    "no name": (["--out", ""], "out: expected a path"),
    "twice": (["light.safetensors", "light.safetensors"], "once, got it 2 times"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_scanned(
    command: Command, place: Path, mistake: str
) -> None:
    arguments, said = MISTAKES[mistake]
    save_baseline(place / "window.safetensors", roi_px=128)
    save_baseline(place / "light.safetensors")
    save_baseline(place / "levels.safetensors", levels=True)
    save_baseline(place / "levels5.safetensors", grid=5, levels=True)
    unequal(place)
    save_folders(place / "good", "SS")
    assert said in command("benchmark", *arguments).error
    assert not (place / "benchmark").exists()
