"""A run, inverted: squares where these suffice, finer cells where they do not."""

import numpy as np
import pytest
import torch

import opticalnet
from reconstruction.inversion import tiles
from reconstruction.inversion.inversion import LARGEST_CHI_SQUARED, invert

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
    return invert(run, None, CPU)


def test_squares_are_found_and_explained(found, squares):
    assert (found.is_open == (squares > 0)).mean() > 0.97
    decided = ~found.undecided
    assert decided.mean() > 0.8
    assert np.array_equal(found.is_open[decided], squares[decided] > 0)
    assert found.chi_squared < LARGEST_CHI_SQUARED


def test_intervals_hold_what_is_there(found, squares):
    low, high = found.interval(0.9)
    assert ((low <= squares) & (squares <= high)).mean() > 0.75
    assert np.all((low >= 0) & (high <= 1) & (low <= high))
    assert np.all(found.uncertainty >= 0)


def test_tiles_agree_with_the_whole(run, found, monkeypatch):
    monkeypatch.setattr(tiles, "LARGEST_SIDE", 12)
    parts = invert(run, None, CPU)
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
        run, None, CPU, progress=lambda tile, solution: shapes.add(solution.cells.shape)
    )
    squares, cells = sorted(shapes)
    assert cells == (3 * squares[0], 3 * squares[1])
    assert found.chi_squared < LARGEST_CHI_SQUARED
    assert np.sqrt(np.mean((found.coverage - run.truth) ** 2)) < 0.1
