"""The two commands, and the five lines of Python that do the same."""

import doctest
import hashlib
import inspect
import json
import re
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import PATIENCE_S, Command, Start, taken
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import configs.errors
import opticalnet
from acquisition.frame import Status
from acquisition.journal import JOURNAL, _sealed
from acquisition.store import Run
from opticalnet import cli
from opticalnet.cli import main
from reconstruction.weights_file import shipped_weights

SCORES = {"accuracy", "balanced_accuracy", "f1", "jaccard", "constant_accuracy"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_object(out: str) -> dict[str, object]:
    """The JSON object that is all of a command's stdout."""
    (line,) = out.splitlines()
    loaded = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(loaded, dict)
    return loaded


def pixels(run: Path) -> np.ndarray:
    group = zarr.open_array(run / "frames", mode="r")
    return np.asarray(group[:])


def test_acquire_for_a_script(command: Command, place: Path, mask: Path) -> None:
    outcome = command("acquire", "--sample", mask, "--json")
    assert outcome.code == 0
    said = one_object(outcome.out)
    seconds = said.pop("seconds")
    assert isinstance(seconds, float)
    # 64 points of 21 ms or more, and 53 looks of 8 frames at landmarks.
    assert 64 * 0.021 + 53 * 8 * 0.011 < seconds < 10
    # 10 ms and more on each square of 180 nm; looks at landmarks are many times that.
    assert 5e-4 < said.pop("dose_j_per_cm2") < 0.2
    assert said.pop("megabytes") == pytest.approx(64 * 64 * 2 * (64 + 75 * 8) / 1e6, rel=0.02)
    assert said == {
        "run": "run.zarr",
        "points": 64,
        "valid": 64,
        "simulated": ["stage", "camera", "shutter"],
    }
    assert "SIMULATED INSTRUMENT: simulated stage, camera and shutter" in outcome.err
    assert "63 of 64 points" in outcome.err
    assert [path.name for path in place.iterdir()] == ["run.zarr"]
    assert taken(place / "run.zarr") == 64


def test_acquire_for_people(command: Command, place: Path, mask: Path) -> None:
    outcome = command("acquire", "--sample", mask, "--out", "deep/er/own.zarr")
    assert (outcome.code, outcome.err) == (0, "")
    first, *_, points, where = outcome.out.splitlines()
    assert first == "SIMULATED INSTRUMENT: simulated stage, camera and shutter"
    assert points.startswith("64 of 64 points valid, ")
    assert points.endswith("s on the instrument's clock, simulated stage, camera and shutter")
    assert where == "run: deep/er/own.zarr"
    assert taken(place / "deep" / "er" / "own.zarr") == 64


def test_reconstruct_for_a_script(command: Command, run_copy: Path) -> None:
    outcome = command("reconstruct", run_copy, "--device", "cpu", "--json")
    assert outcome.code == 0
    lines = outcome.err.splitlines()
    assert lines[:8] == [f"{row} of 8 lines" for row in range(1, 9)]
    assert all(line.startswith(f"step {step}, ") for step, line in enumerate(lines[8:], 1))
    said = one_object(outcome.out)
    assert said["run"] == str(run_copy)
    network, inversion = said["results"]
    assert (network["method"], network["grid"]) == ("network", 7)
    assert (inversion["method"], inversion["grid"]) == ("inversion", None)
    assert inversion["prior"] == "default"
    assert 0.9 < inversion["chi_squared"] < 1.03
    for result in (network, inversion):
        assert (result["device"], result["warnings"]) == ("cpu", [])
        assert (result["valid"], result["invalid"], result["missing"]) == (64, 0, 0)
        assert result["simulated"] == ["stage", "camera", "shutter"]
        assert result["seconds"] * result["frames_per_s"] == pytest.approx(64)
    for scores in (network["frame"], network["stitched"], inversion["stitched"]):
        assert set(scores) == SCORES
        assert all(0 < fraction <= 1 for fraction in scores.values())
    for result in (network, inversion):
        assert result["stitched"]["constant_accuracy"] == 27 / 36
    assert network["stitched"]["accuracy"] > 27 / 36
    assert inversion["stitched"]["accuracy"] >= network["stitched"]["accuracy"]


def test_reconstruct_for_people(command: Command, run_copy: Path) -> None:
    outcome = command("reconstruct", run_copy, "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    assert "64 of 64 points valid, 0 invalid, 0 missing\n" in outcome.out
    assert "SIMULATED stage, camera and shutter: no microscope measured this run" in outcome.out
    network = opticalnet.reconstruct(run_copy)
    inverted = opticalnet.invert(run_copy, start=network)
    scores = {
        "per frame": network.frame,
        "whole scan": network.stitched,
        "inversion": inverted.stitched,
    }
    rows = [line for line in outcome.out.splitlines() if line.startswith("│")]
    for row, (name, expected) in zip(rows, scores.items(), strict=True):
        assert row.split("│")[1].strip() == name
        numbers = [cell.strip() for cell in row.split("│")[2:-1]]
        assert numbers == [f"{value:.3f}" for value in expected.as_dict().values()]
    for name in ("network", "inversion"):
        picture = run_copy.with_name(f"run.{name}.png")
        assert re.search(rf"^{name}: .* s, on cpu\npicture: {picture}$", outcome.out, re.M)
        with Image.open(picture) as image:
            image.load()
            assert image.format == "PNG"
            assert image.width > image.height > 500
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 100


def test_a_run_without_a_known_truth(command: Command, run_copy: Path) -> None:
    shutil.rmtree(run_copy / "truth")
    said = one_object(command("reconstruct", run_copy, "--json").out)
    assert [(one["frame"], one["stitched"]) for one in said["results"]] == 2 * [(None, None)]
    outcome = command("reconstruct", run_copy)
    assert outcome.code == 0
    assert "accuracy" not in outcome.out


def test_reconstruct_from_inside_the_run(
    command: Command, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_copy)
    outcome = command("reconstruct", ".")
    assert (outcome.code, outcome.err) == (0, "")
    assert (run_copy.parent / "run.network.png").exists()


def test_the_result_is_ome_ngff(run_copy: Path) -> None:
    squares = opticalnet.reconstruct(run_copy).squares
    expected = {
        "probability": squares.probability.astype(np.float32),
        "uncertainty": squares.uncertainty.astype(np.float32),
        "binary": (squares.probability >= 0.5).astype(np.uint8),
        "count": squares.count.astype(np.uint32),
        "coverage": squares.coverage.astype(np.float32),
    }
    folder = run_copy / "reconstruction" / "network"
    assert {path.name for path in folder.iterdir()} == {*expected, "zarr.json"}
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [0.18, 0.18]}]
    for name, image in expected.items():
        root = json.loads((folder / name / "zarr.json").read_text())
        assert (root["zarr_format"], root["node_type"]) == (3, "group")
        ome = root["attributes"]["ome"]
        assert ome["version"] == "0.5"
        (multiscale,) = ome["multiscales"]
        assert multiscale["axes"] == axes
        (level,) = multiscale["datasets"]
        assert level["coordinateTransformations"] == scale
        stored = zarr.open_array(folder / name / level["path"], mode="r")
        assert stored.metadata.dimension_names == ("y", "x")
        assert stored.dtype == image.dtype
        assert np.array_equal(stored[:], image)


def test_an_independent_reader_calls_the_result_valid(run_copy: Path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    opticalnet.reconstruct(run_copy)
    for name in ("probability", "uncertainty", "binary", "count", "coverage"):
        yaozarrs.validate_zarr_store(run_copy / "reconstruction" / "network" / name)


def test_what_is_kept_beside_the_maps(run_copy: Path) -> None:
    result = opticalnet.reconstruct(run_copy)
    group = zarr.open_group(run_copy / "reconstruction" / "network", mode="r")
    kept = group.attrs["opticalnet"]
    assert kept["run_id"] == Run(run_copy).info.provenance.run_id
    assert kept["simulated"] == ["stage", "camera", "shutter"]
    weights = shipped_weights("scan").read_bytes()
    assert kept["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert kept["stitched"] == result.stitched.as_dict()


def test_points_that_are_not_valid_are_told(command: Command, run_copy: Path) -> None:
    records = list(Run(run_copy).journal())[:60]
    records[9] = records[9].changed(status=Status.INVALID)
    (run_copy / JOURNAL).write_bytes(b"".join(map(_sealed, records)))
    outcome = command("reconstruct", run_copy)
    assert "59 of 64 points valid, 1 invalid, 4 missing\n" in outcome.out
    kept = zarr.open_group(run_copy / "reconstruction" / "network", mode="r").attrs
    told = {key: kept["opticalnet"][key] for key in ("valid", "invalid", "missing")}
    assert told == {"valid": 59, "invalid": 1, "missing": 4}


def test_the_same_again_replaces_the_first(command: Command, run_copy: Path) -> None:
    folder = run_copy / "reconstruction"
    picture = run_copy.with_name("run.network.png")
    assert command("reconstruct", run_copy).code == 0
    (folder / "network" / "leftover").write_text("of the first")
    drawn = picture.stat().st_mtime_ns
    assert command("reconstruct", run_copy).code == 0
    assert not (folder / "network" / "leftover").exists()
    assert picture.stat().st_mtime_ns > drawn
    frames = ("--method", "frames", "--grid", "3")
    assert command("reconstruct", run_copy, *frames).code == 0
    names = {path.name for path in folder.iterdir()} - {"zarr.json"}
    assert names == {"network", "inversion", "frames-3"}
    assert run_copy.with_name("run.frames-3.png").exists()


def other_weights(path: Path) -> Path:
    """Weights that ship, in a file with other bytes."""
    with safe_open(str(shipped_weights("scan")), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, file.metadata() | {"other": "yes"})
    return path


def test_a_result_of_other_weights_goes_only_when_told(
    command: Command, run_copy: Path, tmp_path: Path
) -> None:
    other = ("--weights", other_weights(tmp_path / "other.safetensors"))
    assert command("reconstruct", run_copy).code == 0
    kept = zarr.open_group(run_copy / "reconstruction" / "network", mode="r").attrs
    before = kept["opticalnet"]
    error = command("reconstruct", run_copy, *other).error
    assert "made from the same weights_sha256, got another; add --overwrite" in error
    kept = zarr.open_group(run_copy / "reconstruction" / "network", mode="r").attrs
    assert kept["opticalnet"] == before
    assert command("reconstruct", run_copy, *other, "--overwrite").code == 0
    # The picture went with it: it is of these weights now.
    assert command("reconstruct", run_copy, *other).code == 0
    kept = zarr.open_group(run_copy / "reconstruction" / "network", mode="r").attrs
    assert kept["opticalnet"]["weights_sha256"] != before["weights_sha256"]


def test_a_file_in_the_place_of_the_picture_goes_only_when_told(
    command: Command, run_copy: Path
) -> None:
    picture = run_copy.with_name("run.network.png")
    Image.new("RGB", (2, 2)).save(picture)
    before = picture.read_bytes()
    outcome = command("reconstruct", run_copy)
    (error,) = outcome.err.splitlines()
    assert outcome.code == 1
    assert "got another file; the result is in the run" in error
    assert picture.read_bytes() == before
    assert command("reconstruct", run_copy, "--overwrite").code == 0
    assert picture.read_bytes() != before


@pytest.mark.parametrize(
    ("instrument", "devices"),
    [("simulated", "stage, camera and shutter"), ("lab-example", "stage and camera")],
)
def test_a_rehearsal_records_nothing(
    command: Command, place: Path, mask: Path, instrument: str, devices: str
) -> None:
    arguments = ["acquire", "--sample", mask, "--instrument", instrument, "--dry-run"]
    outcome = command(*arguments, "--out", "sub/run.zarr")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0] == (f"DRY RUN, NOTHING IS RECORDED: simulated {devices}")
    assert "64 of 64 points valid" in outcome.out
    assert outcome.out.splitlines()[1].split() == ["checked", "expected", "got"]
    last = "dry run: nothing was recorded; the scan would take 0:0"
    assert outcome.out.splitlines()[-1].startswith(last)
    assert list(place.iterdir()) == []


def test_a_rehearsal_for_a_script(command: Command, place: Path, mask: Path) -> None:
    outcome = command("acquire", "--sample", mask, "--dry-run", "--json")
    said = one_object(outcome.out)
    assert (said["run"], said["points"]) == (None, 64)
    assert said["simulated"] == ["stage", "camera", "shutter"]
    assert list(place.iterdir()) == []


def test_the_seed_fixes_everything(place: Path, mask: Path, finished_run: Path) -> None:
    opticalnet.acquire(str(mask), out="again.zarr", seed=0)
    assert np.array_equal(pixels(place / "again.zarr"), pixels(finished_run))
    readback = [Run(run).points().readback_um for run in (finished_run, place / "again.zarr")]
    assert np.array_equal(*readback)


def test_another_seed_is_other_light(place: Path, mask: Path) -> None:
    # This stage has no noise: what differs is the world's.
    Path("quiet.toml").write_text(
        "name = 'quiet'\n[stage]\nkind = 'simulated'\nnoise_nm = 0.0\n"
    )
    for seed in (0, 1):
        opticalnet.acquire(str(mask), instrument="quiet.toml", out=f"{seed}.zarr", seed=seed)
    assert np.mean(pixels(place / "0.zarr") != pixels(place / "1.zarr")) > 0.5


def test_the_smallest_sample(command: Command, place: Path) -> None:
    np.save("dot.npy", np.ones((1, 1)))
    outcome = command("acquire", "--sample", "dot.npy")
    assert (outcome.code, outcome.err) == (0, "")
    assert taken(place / "run.zarr") == 9
    said = one_object(command("reconstruct", "run.zarr", "--json").out)
    for result in said["results"]:
        assert result["stitched"]["constant_accuracy"] == 1.0


@pytest.mark.parametrize("arguments", [["--help"], ["acquire", "--help"]])
def test_help_imports_nothing_heavy(start: Start, arguments: list[str]) -> None:
    listing = (
        "import sys\n"
        "from opticalnet.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    process = start(*arguments, command=(sys.executable, "-W", "error", "-c", listing))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Usage: " in out
    imported = {name.partition(".")[0] for name in err.split()}
    assert "typer" in imported
    heavy = {"torch", "zarr", "numpy", "matplotlib", "serial", "pymmcore_plus"}
    assert imported & heavy == set()


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="opticalnet")
    assert script.load() is main


def test_the_command_takes_what_python_takes() -> None:
    for name in ("acquire", "reconstruct", "simulate", "export"):
        ours = inspect.signature(getattr(cli, name)).parameters
        theirs = inspect.signature(getattr(opticalnet, name)).parameters
        asked = ours.keys() & theirs.keys()
        assert theirs.keys() - asked <= {"observer", "progress"}
        for option in asked - {"out", "preset", "method"}:
            assert ours[option].default == theirs[option].default, option


def test_every_public_name_is_there() -> None:
    for name in opticalnet.__all__:
        assert getattr(opticalnet, name).__name__ == name
    assert sorted(opticalnet.__all__) == opticalnet.__all__
    with pytest.raises(AttributeError, match="nonsense"):
        opticalnet.nonsense  # noqa: B018


def test_every_error_has_a_public_name() -> None:
    for name, kind in vars(configs.errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert name in opticalnet.__all__
            assert getattr(opticalnet, name) is kind


def test_the_example_of_the_package(
    place: Path, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = doctest.DocTestParser().get_examples(opticalnet.__doc__ or "")
    lines = "".join(example.source for example in examples)
    assert lines.count("\n") == 6
    assert '"ss"' in lines
    exec(lines.replace('"ss"', repr(str(mask))), {})
    assert capsys.readouterr().out.startswith("Scores(accuracy=")
    assert {path.name for path in place.iterdir()} == {"star.zarr", "star.png"}
    with Image.open("star.png") as image:
        image.load()
