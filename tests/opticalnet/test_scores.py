"""What is promised of the shipped weights, on whole simulated scans."""

import pytest

import opticalnet


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return opticalnet.acquire("ss", out=tmp_path_factory.mktemp("star") / "run.zarr")


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_star(star, grid):
    stitched = opticalnet.reconstruct(star.path, method="frames", grid=grid).stitched
    assert stitched.accuracy >= 0.88
    assert stitched.f1 >= 0.85
    assert stitched.accuracy > stitched.constant_accuracy + 0.2


def test_random_squares(tmp_path):
    run = opticalnet.acquire("block", grid=3, seed=11, out=tmp_path / "run.zarr")
    assert opticalnet.reconstruct(run.path).stitched.accuracy >= 0.85
