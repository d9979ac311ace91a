"""What is promised of the shipped weights, on whole simulated scans."""

import pytest

import opticalnet


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return opticalnet.acquire("ss", out=tmp_path_factory.mktemp("star") / "run.zarr")


def test_star(star):
    stitched = opticalnet.reconstruct(star.path).stitched
    assert stitched.accuracy >= 0.93
    assert stitched.f1 >= 0.925
    assert stitched.jaccard >= 0.865


def test_star_by_single_frames(star):
    stitched = opticalnet.reconstruct(star.path, method="frames", grid=3).stitched
    assert stitched.accuracy >= 0.91
    assert stitched.f1 >= 0.905
    assert stitched.accuracy > stitched.constant_accuracy + 0.2


@pytest.mark.parametrize(
    ("sample", "seed", "accuracy"), [("block", 11, 0.985), ("light", 0, 0.99)]
)
def test_other_samples(tmp_path, sample, seed, accuracy):
    run = opticalnet.acquire(sample, seed=seed, out=tmp_path / "run.zarr")
    stitched = opticalnet.reconstruct(run.path).stitched
    assert stitched.accuracy >= accuracy
    assert stitched.constant_accuracy < 0.8
