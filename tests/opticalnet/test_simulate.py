"""The command that makes data sets."""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_bench import PATIENCE_S, SMALL_SET, Command, Open, Start, nobody_left

import opticalnet

LONG = SMALL_SET.replace("frames = 70\n", "scans = 200\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plan, to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(SMALL_SET)
    return tmp_path


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} - {"plan.toml"}


def files(place: str) -> dict[Path, bytes | None]:
    """Everything below a folder; folders have no content."""
    return {
        path.relative_to(place): path.read_bytes() if path.is_file() else None
        for path in Path(place).rglob("*")
    }


def test_for_a_script(command: Command, place: Path) -> None:
    outcome = command("simulate", "--preset", "plan.toml", "--seed", "5", "--json")
    assert outcome.code == 0
    (line,) = outcome.out.splitlines()
    said = json.loads(line)
    assert said.pop("frames_per_s") * said.pop("seconds") == pytest.approx(170)
    assert said == {
        "set": "set.zarr",
        "datasheet": "set.datasheet.md",
        "tiff": None,
        "frames": 170,
        "parts": {"train/block": 70, "test/ss": 100},
        "seed": 5,
        "simulated": True,
    }
    assert outcome.err.splitlines()[-1] == "170 of 170 frames"
    assert opticalnet.Dataset("set.zarr").info.plan.seed == 5
    assert names(place) == {"set.zarr", "set.datasheet.md", "set.histogram.png"}


def test_for_people(command: Command, place: Path) -> None:
    outcome = command("simulate", "--preset", "plan.toml", "--out", "deep/own.zarr")
    assert (outcome.code, outcome.err) == (0, "")
    *progress, train, test, speed, where, sheet = outcome.out.splitlines()
    assert len(progress) <= 10
    assert progress[-1] == "170 of 170 frames"
    assert train == "train/block: 70 frames, samples: 1"
    assert test == "test/ss: 100 frames, samples: 1"
    assert speed.endswith("SIMULATED")
    assert where == "set: deep/own.zarr"
    assert sheet == "datasheet: deep/own.datasheet.md"
    assert (place / "deep" / "own.datasheet.md").read_text("utf-8").startswith("# Datasheet")


def test_in_a_terminal(terminal: Open, place: Path) -> None:
    window = terminal("simulate", "--preset", "plan.toml")
    assert window.finish() == 0
    assert "of 170" in window.output.decode()  # the bar, which is gone in the end
    assert "of 170" not in window.text
    assert window.text.rstrip().splitlines()[-1] == "datasheet: set.datasheet.md"


def test_workers_and_seed(command: Command, place: Path) -> None:
    for out, more in (("a", ["--workers", "1"]), ("b", ["--workers", "3", "--seed", "0"])):
        outcome = command("simulate", "--preset", "plan.toml", "--out", out, *more)
        assert outcome.code == 0
    assert files("a") == files("b")
    assert len(files("a")) > 20


def test_tiff_files_beside(command: Command, place: Path) -> None:
    outcome = command("simulate", "--preset", "plan.toml", "--tiff", "folders", "--grid", "5")
    assert outcome.code == 0
    assert "170 of 170 TIFF" in outcome.out
    described = tomllib.loads((place / "folders" / "opticalnet.toml").read_text())
    assert described["grid"] == 5
    assert len(list((place / "folders" / "test" / "SS" / "img").iterdir())) == 100


def test_tiff_files_of_a_set_that_is_there(command: Command, place: Path) -> None:
    made = command("simulate", "--preset", "plan.toml", "--tiff", "one", "--grid", "5")
    assert made.code == 0
    again = command("simulate", "--preset", "plan.toml", "--tiff", "two", "--grid", "5")
    assert again.error.endswith(": opticalnet export-tiff set.zarr two")
    outcome = command("export-tiff", "set.zarr", "two", "--grid", "5", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) == {"set": "set.zarr", "tiff": "two", "grid": 5}
    assert "170 of 170 TIFF" in outcome.err
    assert files("one") == files("two")
    opticalnet.export_tiff("set.zarr", "three", grid=5)
    assert files("one") == files("three")


NO_EXPORTS = {
    "no set": (["plan.toml", "t"], ["plan.toml"]),
    "no such grid": (["set.zarr", "t", "--grid", "4"], ["grid: expected 3, 5 or 7", "got 4"]),
    "there": (["set.zarr", "plan.toml"], ["plan.toml exists already"]),
    "in the set": (["set.zarr", "set.zarr/a/t"], ["expected a folder apart from set.zarr"]),
    "no place": (["set.zarr", "plan.toml/t"], ["cannot write plan.toml/t"]),
    "empty": (["set.zarr", ""], ["folder: expected a path, got ''"]),
}


@pytest.mark.parametrize("kind", NO_EXPORTS)
def test_a_refused_export_leaves_the_set(command: Command, place: Path, kind: str) -> None:
    opticalnet.simulate("plan.toml")
    before = files(".")
    arguments, said = NO_EXPORTS[kind]
    outcome = command("export-tiff", *arguments)
    for part in said:
        assert part in outcome.error
    assert files(".") == before


def test_the_same_in_python(place: Path) -> None:
    said = []
    result = opticalnet.simulate(
        "plan.toml", out="py.zarr", progress=lambda *now: said.append(now)
    )
    assert (result.frames, result.path) == (170, Path("py.zarr"))
    assert said[-1] == ("frames", 170, 170)
    assert result.histogram.exists()


MISTAKES = {
    "unknown preset": (["--preset", "papre"], ["expected one of paper", "'papre'"]),
    "no such file": (["--preset", "no.toml"], ["cannot read no.toml"]),
    "negative seed": (["--seed", "-1"], ["seed", "-1"]),
    "no workers": (["--workers", "0"], ["workers: expected 1 or more, got 0"]),
    "both": (
        ["--workers", "2", "--scheduler", "tcp://127.0.0.1:9"],
        ["workers: expected none"],
    ),
    "grid alone": (["--grid", "5"], ["grid: expected none without tiff"]),
    "no such grid": (["--grid", "4", "--tiff", "t"], ["grid: expected 3, 5 or 7", "got 4"]),
    "set there": (["--out", "plan.toml"], ["plan.toml exists already"]),
    "folders there": (["--tiff", "plan.toml"], ["plan.toml exists already"]),
    "nobody there": (["--scheduler", "tcp://127.0.0.1:9"], ["Dask scheduler", "127.0.0.1:9"]),
    "no place": (["--out", "plan.toml/set.zarr"], ["cannot write", "set.zarr"]),
    "empty place": (["--out", ""], ["out: expected a path, got ''"]),
    "empty folder": (["--tiff", ""], ["tiff: expected a path, got ''"]),
    "folder in the set": (["--tiff", "./set.zarr/t"], ["a folder apart from set.zarr"]),
    "folder is the set": (["--tiff", "set.zarr"], ["expected a folder apart from set.zarr"]),
    "folder around the set": (
        ["--out", "t/set.zarr", "--tiff", "t"],
        ["expected a folder apart from set.zarr"],
    ),
    "folder is the datasheet": (["--tiff", "set.datasheet.md"], ["apart from set.data"]),
    "no place for a folder": (["--tiff", "plan.toml/t"], ["cannot write plan.toml/t"]),
    "nobody there, deep down": (
        ["--out", "a/b/set.zarr", "--tiff", "a/t", "--scheduler", "tcp://127.0.0.1:9"],
        ["Dask scheduler", "127.0.0.1:9"],
    ),
    "empty picture": (["--show", "--out", ""], ["expected", "''"]),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_leave_nothing(command: Command, place: Path, kind: str) -> None:
    arguments, said = MISTAKES[kind]
    plan = [] if "--show" in arguments else ["--preset", "plan.toml"]
    outcome = command("simulate", *plan, *arguments)
    for part in said:
        assert part in outcome.error
    assert outcome.out == ""
    assert names(place) == set()
    assert (place / "plan.toml").read_text() == SMALL_SET


def wait_for_frames(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    while "frames" not in (line := process.stdout.readline()):
        assert line, "it ended before it said anything"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(start: Start, place: Path, number: int, code: int) -> None:
    (place / "plan.toml").write_text(LONG)
    process = start("simulate", "--preset", "plan.toml", "--out", "deep/er/set.zarr")
    wait_for_frames(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (code, "error: stopped; nothing was kept\n")
    assert names(place) == set()
    assert nobody_left(process)
