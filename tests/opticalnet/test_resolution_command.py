"""The command that says how fine a structure a run shows."""

import json
from pathlib import Path

import pytest
from command_bench import Command
from PIL import Image

import opticalnet

STAR = 'kind = "star"\nsquares = 16\nspokes = 4\n'


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("star")
    (folder / "star.toml").write_text(STAR)
    out = folder / "run.zarr"
    opticalnet.acquire(str(folder / "star.toml"), instrument="simulated-still", out=out)
    opticalnet.reconstruct(out)
    return out


def test_a_star(command: Command, star: Path) -> None:
    outcome = command("resolution", star, "--spokes", 4, "--json")
    assert "exists already; add --overwrite" in command("resolution", star).error
    assert (outcome.code, outcome.err) == (0, "")
    said = json.loads(outcome.out)
    assert said["limit_nm"] == pytest.approx(633 / 1.8)
    assert set(said["contrast"]) == {"network", "truth"}
    assert 360 <= said["contrast"]["network"]["resolved_nm"] < 600
    assert 360 <= said["correlation"]["resolved_nm"] < 900
    with Image.open(star.with_name("run.resolution.png")) as picture:
        assert picture.width > picture.height > 500


def test_for_people(command: Command, star: Path, tmp_path: Path) -> None:
    picture = tmp_path / "other.png"
    outcome = command("resolution", star, "--out", picture)  # it knows its spokes
    assert (outcome.code, outcome.err) == (0, "")
    for part in ("star at 26 % contrast, network", "half scans", "352 nm"):
        assert part in outcome.out
    assert outcome.out.splitlines()[-1] == f"picture: {picture}"
    assert picture.exists()


def test_what_is_no_star(command: Command, run_copy: Path, tmp_path: Path) -> None:
    outcome = command("resolution", run_copy, "--out", tmp_path / "other.svg")
    assert outcome.code == 0
    assert "contrast" not in outcome.out
    assert "half scans" in outcome.out


@pytest.mark.parametrize(
    ("spokes", "said"),
    [
        (0, "spokes: expected at least 1, got 0"),
        (36, "shows periods of 36 spokes, got 16 x 16"),
    ],
)
def test_spokes_that_cannot_be(command: Command, star: Path, spokes: int, said: str) -> None:
    out = star.with_name("none.png")
    assert said in command("resolution", star, "--spokes", spokes, "--out", out).error
    assert not out.exists()


def test_a_run_without_results(command: Command, finished_run: Path) -> None:
    error = command("resolution", finished_run, "--spokes", 4).error
    assert "expected results, got none that can be read; run opticalnet reconstruct" in error
