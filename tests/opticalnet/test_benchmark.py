"""The command that compares networks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_bench import Command
from safetensors.torch import save_file

import opticalnet
from configs.errors import ConfigError, ReconstructionError
from configs.optics import Optics
from configs.recipe import load_recipe
from opticalnet.benchmark_scans import SAMPLES, SampleSpec, read_folders, scan_sample
from reconstruction.amplitude import relative_amplitude
from reconstruction.baselines.registry import make_baseline
from reconstruction.baselines.sources import level_amplitude
from reconstruction.baselines.weights import BaselineInfo
from reconstruction.benchmarking.candidates import open_candidates
from reconstruction.benchmarking.spreadsheet import table_rows
from reconstruction.trained import TrainingFacts
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


def save_folders(root: Path, *names: str, side: int = 64, grid: int = 3) -> Path:
    """Write images whose brightness is their number, and masks of squares."""
    for name in names:
        for kind in ("img", "mask"):
            (root / "test" / name / kind).mkdir(parents=True)
        for k in range(70):  # a line of 66, and four
            write_image(
                root / "test" / name / "img" / f"{k}.tif", np.full((side, side), k, np.uint8)
            )
            mask = np.zeros((grid, grid), np.uint8)
            mask[grid // 2, grid // 2] = 255 * (k % 2)
            write_image(root / "test" / name / "mask" / f"{k}.tif", mask)
    return root


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(mask: Path, *weights: str, folders: str | None = None) -> opticalnet.Benchmark:
    blocks = (SampleSpec("Block", str(mask), 1), SampleSpec("Block", str(mask), 2))
    star = SampleSpec("Star", str(mask), 3, whole_squares=True)
    return opticalnet.benchmark(
        weights,
        folders=folders,
        out="out/here",
        device="cpu",
        samples=(*blocks, star),
        slow_ms=0.0,
    )


def test_a_report_of_everything(place: Path, mask: Path) -> None:
    save_baseline(place / "light.safetensors")
    save_baseline(place / "levels.safetensors", levels=True)
    save_folders(place / "set", "SS")
    said = compare(mask, "light.safetensors", "levels.safetensors", folders="set")
    assert said.files[0] == Path("out/here/benchmark.md")
    missing = ["resunet-a", "attention-unet", "resnet-34", "transformer"]
    assert (said.findings.missing, said.warnings) == (missing, ())
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
    assert len(rows) == len(table_rows(said.findings))
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


@pytest.fixture
def one_block(mask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command scan a single small sample."""
    small = (SampleSpec("Block", str(mask), 1),)
    monkeypatch.setitem(opticalnet.benchmark.__kwdefaults__, "samples", small)


def test_an_earlier_report_goes_only_when_told(
    place: Path, one_block: None, command: Command
) -> None:
    earlier = place / "out" / "here" / "benchmark-pictures"
    earlier.mkdir(parents=True)
    (earlier / "old.png").write_bytes(b"")
    (place / "out" / "here" / "mine.txt").write_text("mine")
    outcome = command("benchmark", "--out", "out/here")
    assert "benchmark-pictures exists already; choose another --out" in outcome.error
    outcome = command("benchmark", "--out", "out/here", "--overwrite")
    assert (outcome.code, outcome.err) == (0, "")
    assert "scan network" in outcome.out
    assert "transformer; out/here/benchmark.md says how to train them" in outcome.out
    assert not (earlier / "old.png").exists()
    assert {path.name for path in (place / "out" / "here").iterdir()} == FILES | {"mine.txt"}


def test_a_failure_leaves_nothing(place: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        compare(place / "none.npy")
    assert list(place.iterdir()) == []


def test_scans_are_read_with_their_truth(mask: Path) -> None:
    told: list[tuple[int, int]] = []
    scan = scan_sample(SampleSpec("any", str(mask), 1), lambda *done: told.append(done))
    assert np.array_equal(scan.truth, np.load(mask) >= 0.5)
    assert (scan.frames, scan.seed, told[-1]) == (64, 1, (64, 64))
    light = np.array([line.images.mean((1, 2)) for line in scan.lines])
    assert light[3, 2] > 1.1 * light[6, 6]  # an opening, and film
    middle = scan.targets[:, 3, 3].reshape(8, 8)
    assert np.array_equal(middle[1:-1, 1:-1], scan.truth)
    assert max(np.abs(line.off_um).max() for line in scan.lines) < 0.005


def test_folders_are_read_as_far_as_they_go(place: Path) -> None:
    save_folders(place / "set", "SS", side=16)
    (scan,) = read_folders("set")
    assert (scan.truth.shape, scan.frames, scan.seed) == ((2, 66), 70, None)
    assert scan.truth[0, :4].tolist() == [0, 1, 0, 1]
    assert (scan.truth[1, 4:] == -1).all()
    assert (scan.targets[70:] == -1).all()
    for line in scan.lines:
        assert (line.images[:, 0, 0] == 66 * line.row + line.columns).all()
    levels, sensor = torch.arange(256.0), scan.info.instrument.camera.sensor
    light = relative_amplitude(levels, sensor, scan.info.open_peak_e)
    torch.testing.assert_close(light, level_amplitude(levels))


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_masks_say_of_how_many_squares_they_are(place: Path, grid: int) -> None:
    save_folders(place / "set", "SS", side=16, grid=grid)
    (scan,) = read_folders("set")
    assert scan.targets.shape[1:] == (grid, grid)
    assert scan.truth[0, :4].tolist() == [0, 1, 0, 1]


def test_a_name_alone_needs_no_path(place: Path) -> None:
    save_baseline(place / "light.safetensors")
    *_, baseline = open_candidates([place / "light.safetensors"])
    assert baseline.label_with_length == "resnet-18, 3 x 3 [20 of 500 epochs]"
    assert baseline.parameters == sum(
        parameter.numel() for parameter in make_baseline("resnet-18", 3, 64).parameters()
    )


def test_what_is_scanned() -> None:
    groups = [spec.group for spec in SAMPLES]
    assert groups == ["Block", "Block", "Block", "Light", "Star", "Star of squares"]
    assert len({spec.seed for spec in SAMPLES}) == len(SAMPLES)
    assert {spec.density for spec in SAMPLES[:3]} == {0.35}
    for spec in SAMPLES[3:]:
        assert load_sample(spec.sample).coverage.shape == (64, 64)


def test_a_baseline_knows_the_instrument_of_its_data_and_no_other(place: Path) -> None:
    save_baseline(place / "light.safetensors")
    *_, baseline = open_candidates([place / "light.safetensors"])
    baseline.check(Optics())
    with pytest.raises(ReconstructionError, match=r"defocus_wavelengths expected 10\.0, got"):
        baseline.check(Optics(defocus_wavelengths=10.1))


def test_what_a_script_reads(place: Path, one_block: None, command: Command) -> None:
    save_folders(place / "set", "Star")
    save_folders(place / "set", "Small", side=16)
    outcome = command("benchmark", "--folders", "set", "--out", "here", "--json")
    assert outcome.code == 0
    said = json.loads(outcome.out)
    assert said["files"][0] == "here/benchmark.md"
    assert "transformer" in said["missing"]
    assert {row["network"] for row in said["results"]} >= {"scan network", "Transformer"}
    assert "Block, seed 1" in outcome.err
    assert {row["sample"] for row in said["results"] if row["source"] == "folders"} == {"Star"}
    left_out = "test/Small, images of 16 px"
    assert f"warning: no network reads {left_out}: left out" in outcome.err
    report = (place / "here" / "benchmark.md").read_text(encoding="utf-8")
    assert f"No network reads {left_out}." in report


def unequal(place: Path) -> None:
    (save_folders(place / "set", "SS") / "test" / "SS" / "mask" / "3.tif").unlink()


MISTAKES = {
    "no file": (["none.safetensors"], "none.safetensors: expected a readable safetensors file"),
    "two, one of them missing": (
        ["window.safetensors", "none.safetensors"],
        "none.safetensors: expected a readable",
    ),
    "another window": (["window.safetensors"], "optics.roi_px expected 128, got 256"),
    "levels without folders": (["levels.safetensors"], "expected --folders beside it"),
    "another grid": (
        ["levels5.safetensors", "--folders", "good"],
        "targets of 5 squares, got 64 px and 3 squares in good/test/SS",
    ),
    "unequal folders": (["--folders", "set"], "expected mask/3.tif for img/3.tif"),
    "folders of another window": (
        ["--folders", "small"],
        "expected images of 64 px in small, got test/SS, images of 16 px",
    ),
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
    save_folders(place / "small", "SS", side=16)
    assert said in command("benchmark", *arguments).error
    assert not (place / "benchmark").exists()
