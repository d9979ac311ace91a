"""A run, inverted: squares where these suffice, finer cells where they do not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from command_bench import Command
from PIL import Image

import opticalnet
from configs.errors import ConfigError, ReconstructionError
from reconstruction.inversion import tiles
from reconstruction.inversion.inversion import invert
from reconstruction.inversion.inversion_map import LARGEST_CHI_SQUARED

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def squares():
    return (np.random.default_rng(2).random((10, 12)) < 0.4).astype(np.uint8)


@pytest.fixture(scope="module")
def run(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    np.save(folder / "squares.npy", squares)
    out = folder / "run.zarr"
    opticalnet.acquire(str(folder / "squares.npy"), instrument="simulated-still", out=out)
    return opticalnet.Run(out)


@pytest.fixture(scope="module")
def found(run):
    return invert(run, run.points(), None, CPU)


def test_squares_are_found_and_explained(found, squares):
    assert (found.is_open == (squares > 0)).mean() > 0.97
    decided = ~found.undecided
    assert decided.mean() > 0.8
    assert np.array_equal(found.is_open[decided], squares[decided] > 0)
    assert found.chi_squared < LARGEST_CHI_SQUARED


def test_intervals_hold_what_is_there(found, squares):
    low, high = found.interval(0.9)
    held = ((low <= squares + 1e-6) & (squares <= high + 1e-6)).mean()
    assert 0.85 < held < 0.97
    assert np.all((low >= 0) & (high <= 1) & (low <= high))
    assert np.all(found.uncertainty >= 0)


def test_tiles_agree_with_the_whole(tmp_path, monkeypatch):
    squares = (np.random.default_rng(6).random((5, 34)) < 0.4).astype(np.uint8)
    np.save(tmp_path / "squares.npy", squares)
    out = tmp_path / "run.zarr"
    opticalnet.acquire(str(tmp_path / "squares.npy"), instrument="simulated-still", out=out)
    run = opticalnet.Run(out)
    found = invert(run, run.points(), None, CPU)
    monkeypatch.setattr(tiles, "LARGEST_SIDE", 12)
    seen = [tile.seen_columns for tile in tiles.tiles(run.info.plan, 8)]
    assert seen[0].stop < seen[-1].start + 16  # not all of them see all
    assert seen[-1].start > 12
    parts = invert(run, run.points(), None, CPU)
    decided = ~(found.undecided | parts.undecided)
    assert np.array_equal(parts.is_open[decided], found.is_open[decided])
    assert np.abs(parts.coverage - found.coverage).mean() < 0.05
    assert np.isfinite(parts.of_frames).all()


def test_edges_within_squares_take_finer_cells(tmp_path):
    sample = tmp_path / "star.toml"
    sample.write_text('kind = "star"\nsquares = 8\nspokes = 5\n')
    out = tmp_path / "run.zarr"
    opticalnet.acquire(str(sample), instrument="simulated-still", exposure_ms=50.0, out=out)
    run, shapes = opticalnet.Run(out), set()
    found = invert(
        run, run.points(), None, CPU, progress=lambda step: shapes.add(step.cells_per_square)
    )
    assert shapes == {1, 3}
    assert found.chi_squared < LARGEST_CHI_SQUARED
    assert np.sqrt(np.mean((found.coverage - run.truth) ** 2)) < 0.1


def test_what_is_kept_in_the_run(run_copy: Path) -> None:
    result = opticalnet.invert(run_copy)
    low, high = result.inversion.interval(0.9)
    group = zarr.open_group(run_copy / "reconstruction" / "inversion", mode="r")
    expected = {
        "probability": result.squares.probability,
        "undecided": result.inversion.undecided,
        "low": low,
        "high": high,
        "chi_squared": result.inversion.of_frames,
        "chi_squared_of_pixels": result.inversion.of_pixels,
    }
    for name, image in expected.items():
        assert group[f"{name}/0"][:] == pytest.approx(np.asarray(image, float), abs=1e-6)
    assert group["chi_squared/0"].shape == (8, 8)
    assert group["chi_squared_of_pixels/0"].shape == (64, 64)
    kept = group.attrs["opticalnet"]
    assert (kept["prior"], kept["start"]) == ("default", "nothing")
    assert kept["stitched"] == result.stitched.as_dict()


def test_another_prior_or_start_goes_only_when_told(command: Command, run_copy: Path) -> None:
    alone = ("reconstruct", run_copy, "--method", "inversion")
    assert command(*alone).code == 0
    assert not (run_copy / "reconstruction" / "network").exists()
    assert command(*alone).code == 0
    with pytest.raises(
        ReconstructionError, match="the same prior and start and refinement, got another"
    ):
        opticalnet.invert(run_copy, prior="binary")
    with pytest.raises(ReconstructionError, match="add --overwrite"):
        opticalnet.invert(run_copy, start=np.zeros((6, 6)))
    assert command(*alone, "--prior", "binary", "--overwrite").code == 0


def test_what_the_model_does_not_explain_is_told_loudly(
    command: Command, run_copy: Path
) -> None:
    file = run_copy / "zarr.json"
    said = file.read_text()
    assert '"defocus_wavelengths": 10.0' in said
    file.write_text(said.replace('"defocus_wavelengths": 10.0', '"defocus_wavelengths": 11.5'))
    outcome = command("reconstruct", run_copy, "--method", "inversion", "--json")
    (result,) = json.loads(outcome.out)["results"]
    assert result["chi_squared"] > LARGEST_CHI_SQUARED
    (warning,) = result["warnings"]
    assert warning.startswith("NOT EXPLAINED BY THE MODEL: reduced chi-squared ")
    with Image.open(run_copy.with_name("run.inversion.png")) as picture:
        red = (np.asarray(picture.convert("RGB"))[:60] == (0xD1, 0x49, 0x5B)).all(axis=2)
    assert red.sum() > 50  # the headline


def test_a_start_of_another_shape(run_copy: Path) -> None:
    with pytest.raises(ConfigError, match=r"start: expected .* \(6, 6\), got \(8, 8\)"):
        opticalnet.invert(run_copy, start=np.zeros((8, 8)))


def test_where_no_frame_is_nothing_is_known(run_copy: Path) -> None:
    journal = run_copy / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:16]))
    result = opticalnet.invert(run_copy)
    assert np.isfinite(result.squares.probability[:4]).all()
    assert np.isnan(result.squares.probability[4:]).all()
    assert not result.squares.is_open[4:].any()
    assert np.isnan(result.inversion.of_frames[2:]).all()
