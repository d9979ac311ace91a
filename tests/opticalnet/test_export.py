"""The command that hands networks to other programs."""

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from command_bench import Command
from safetensors.torch import save_file

from configs.optics import Optics
from configs.recipe import load_recipe
from reconstruction.baselines.registry import make_baseline
from reconstruction.baselines.weights import BaselineInfo
from reconstruction.exporting import onnx_file
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.trained import TrainedFor, TrainingFacts
from reconstruction.weights_file import weights_metadata

SMALL = FrameArchitecture(image_px=16, components=8, width=16, blocks=1)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small weights in half precision, to work in."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    tensors = FrameNetwork(SMALL).half().state_dict()
    trained_for = TrainedFor(optics=Optics(roi_px=64), tolerance={}, pitch_nm=180.0)
    save_file(tensors, "small.safetensors", weights_metadata("frame", SMALL, trained_for))
    return tmp_path


def run(path: str, frames: "np.ndarray") -> "np.ndarray":
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    sensor = {"offset_adu": 100.0, "gain_e_per_adu": 0.46, "open_peak_e": 2000.0}
    there = {tensor.name for tensor in session.get_inputs()} - {"frames"}
    scalars = {name: np.array(sensor[name], np.float32) for name in there}
    (said,) = session.run(None, {"frames": frames, **scalars})
    return np.asarray(said)


def test_the_frame_network_that_ships(command: Command, place: Path) -> None:
    outcome = command("export", "frame", "--out", "new/f.onnx", "--grid", 5)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("frame network, grid 5: within ")
    assert outcome.out.endswith("of torch's probabilities\nfile: new/f.onnx\n")
    said = run("new/f.onnx", np.full((2, 64, 64), 500, np.float32))
    assert said.shape == (2, 5, 5)
    assert ((said > 0) & (said < 1)).all()


def test_the_scan_network_that_ships_for_a_script(command: Command, place: Path) -> None:
    outcome = command("export", "scan", "--out", "s.onnx", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    said = json.loads(outcome.out)
    assert 0 <= said.pop("largest_difference") < 1e-4
    assert said == {"out": "s.onnx", "weights": "scan", "model": "scan network"}
    assert sorted(os.listdir()) == ["s.onnx", "small.safetensors"]


def test_a_package(command: Command, place: Path) -> None:
    outcome = command("export", "small.safetensors", "--out", "s.zip")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("file: s.zip\n")
    assert sorted(os.listdir()) == ["s.zip", "small.safetensors"]
    with zipfile.ZipFile("s.zip") as archive:
        assert b"format_version: 0.5." in archive.read("bioimageio.yaml")


def test_a_baseline_of_the_paper(command: Command, place: Path) -> None:
    network = make_baseline("resnet-18", 3, 64).eval()
    info = BaselineInfo(
        model="resnet-18",
        grid=3,
        image_px=64,
        amplitude="levels",
        optics=None,
        data="folders",
        recipe=load_recipe("paper"),
    )
    facts = TrainingFacts(
        epoch=1, epochs_done=1, epochs_planned=1, seed=0, software={}, validation={}
    )
    metadata = info.metadata() | {"training": facts.model_dump_json()}
    save_file(network.state_dict(), "r18.safetensors", metadata)
    assert "expected 3, that r18.safetensors was trained for, got 5" in (
        command("export", "r18.safetensors", "--out", "r.onnx", "--grid", 5).error
    )
    assert command("export", "r18.safetensors", "--out", "r.onnx").code == 0
    levels = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(levels / 255).sqrt()).sigmoid().numpy()
    np.testing.assert_allclose(run("r.onnx", levels), expected, atol=1e-4)


def test_overwriting_must_be_said(command: Command, place: Path) -> None:
    Path("f.onnx").write_text("mine")
    arguments = ("export", "small.safetensors", "--out", "f.onnx")
    assert "f.onnx exists already; choose another --out" in command(*arguments).error
    assert Path("f.onnx").read_text() == "mine"
    assert command(*arguments, "--overwrite").code == 0
    assert run("f.onnx", np.zeros((1, 16, 16), np.float32)).shape == (1, 7, 7)


@pytest.mark.parametrize("out", ["f.onnx", "f.zip"])
def test_what_does_not_agree_takes_no_place(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    Path(out).write_text("mine")
    outcome = command("export", "small.safetensors", "--out", out, "--overwrite")
    assert "to say what torch says within -1, got a difference of" in outcome.error
    assert sorted(os.listdir()) == [out, "small.safetensors"]
    assert Path(out).read_text() == "mine"


@pytest.mark.parametrize(
    ("out", "module", "missing"),
    [
        ("f.onnx", "onnx_file", "onnxruntime"),
        ("f.onnx", "onnx_file", "onnxscript"),
        ("f.zip", "bioimage_package", "bioimageio.core"),
    ],
)
def test_without_the_extra(
    command: Command,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    module: str,
    missing: str,
) -> None:
    monkeypatch.delitem(sys.modules, f"reconstruction.exporting.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    outcome = command("export", "small.safetensors", "--out", out)
    assert f"expected {missing}, it is not installed" in outcome.error
    assert "install opticalnet with its extra [export]" in outcome.error


MISTAKES = {
    "ending": (["frame", "--out", "f.pt"], ["expected NAME.onnx, or NAME.zip", "'f.pt'"]),
    "no name": (["frame", "--out", ""], ["out: expected a path"]),
    "no grid": (["frame", "--out", "f.onnx", "--grid", "4"], ["3, 5 or 7 squares, got 4"]),
    "scan": (["scan", "--out", "s.zip", "--grid", "3"], ["grid: expected none", "got 3"]),
    "no file": (["nowhere", "--out", "f.onnx"], ["nowhere", "safetensors file"]),
    "no weights": (["other", "--out", "f.onnx"], ["expected format opticalnet-weights-1"]),
    "folder": (["frame", "--out", "taken.onnx"], ["taken.onnx exists already"]),
    "in a file": (["small.safetensors", "--out", "other/f.onnx"], ["cannot write other/f"]),
    "a folder": (
        ["small.safetensors", "--out", "taken.onnx", "--overwrite"],
        ["cannot write taken.onnx"],
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_leave_nothing(command: Command, place: Path, kind: str) -> None:
    (place / "taken.onnx").mkdir()
    (place / "taken.onnx" / "mine").write_text("mine")
    save_file({"a": torch.zeros(1)}, "other")
    before = sorted(place.rglob("*"))
    arguments, said = MISTAKES[kind]
    outcome = command("export", *arguments)
    for part in said:
        assert part in outcome.error
    assert outcome.out == ""
    assert sorted(place.rglob("*")) == before
