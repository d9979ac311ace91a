"""What lies under the beam."""

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from simulation.samples import covered_area, load_sample, random_squares, siemens_star


def test_star_has_36_spokes_and_is_half_open_inside():
    star = siemens_star(squares=64)
    angle = (np.arange(3600) + 0.5) / 3600 * 2 * np.pi
    x, y = (31.5 + 28 * f(angle) for f in (np.cos, np.sin))
    ring = star[np.rint(y).astype(int), np.rint(x).astype(int)] >= 0.5
    assert np.count_nonzero(np.diff(ring.astype(int)) == 1) == pytest.approx(36, abs=1)
    radius = np.hypot(*np.mgrid[-31.5:32, -31.5:32])
    assert star[radius < 30].mean() == pytest.approx(0.5, abs=0.01)
    assert star[radius > 32].sum() == 0


def test_star_is_drawn_continuously():
    star = siemens_star()
    partial = (star > 0.02) & (star < 0.98)
    assert 0.25 < partial.mean() < 0.5


def test_covered_area_of_a_disc_and_of_a_half_plane():
    disc = covered_area(lambda x, y: np.hypot(x, y) <= 5.3, 16)
    assert disc.sum() == pytest.approx(np.pi * 5.3**2, rel=2e-3)
    half = covered_area(lambda x, y: (x <= 0.25) & (y < 99), 4)
    np.testing.assert_allclose(half, [[1, 1, 0.25, 0]] * 4)


def test_glyph_has_strokes_of_many_widths():
    coverage = load_sample("light").coverage
    assert coverage.shape == (64, 64)
    glyph = coverage >= 0.5
    assert 0.15 < glyph.mean() < 0.35
    widths = {
        len(run)
        for row in glyph
        for run in "".join(map(str, row.astype(int))).split("0")
        if run
    }
    assert {1, 2, 3, 4, 5, 6} <= widths
    assert not np.array_equal(glyph, glyph[:, ::-1])


def test_block_has_its_density_and_seed():
    block = load_sample("block", density=0.35, seed=3)
    assert block.coverage.mean() == pytest.approx(0.35, abs=0.03)
    assert set(np.unique(block.coverage)) == {0.0, 1.0}
    assert np.array_equal(block.coverage, random_squares(seed=3))
    assert not np.array_equal(block.coverage, random_squares(seed=4))


def test_masks_keep_their_orientation_and_partial_squares(tmp_path):
    mask = np.zeros((3, 5), np.uint8)
    mask[0, 4], mask[2, 0] = 255, 51
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", mask / 255)
    for name in ("mask.png", "mask.npy"):
        sample = load_sample(str(tmp_path / name))
        assert sample.name == "mask"
        np.testing.assert_allclose(sample.coverage, mask / 255)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.full((2, 2), np.nan), "between 0 and 1"),
        (np.full((2, 2), 2.0), "between 0 and 1"),
        (np.zeros(4), "rows, columns"),
        (np.zeros((0, 4)), "rows, columns"),
        (np.ones((2, 2)) * 1j, "expected numbers, got complex128"),
    ],
)
def test_bad_masks_are_refused(tmp_path, array, complaint):
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(ConfigError, match=complaint):
        load_sample(str(tmp_path / "mask.npy"))


def test_png_masks_of_16_bit_keep_their_fractions(tmp_path):
    mask = np.array([[0, 65_535], [13_107, 32_768]], np.uint16)
    Image.fromarray(mask).save(tmp_path / "deep.png")
    coverage = load_sample(str(tmp_path / "deep.png")).coverage
    np.testing.assert_allclose(coverage, mask / 65_535)


def test_a_png_of_zeros_and_ones_is_no_mask(tmp_path):
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(ConfigError, match=r"brightest pixel is 0\.4% of white"):
        load_sample(str(tmp_path / "mask.png"))


def test_unreadable_masks_are_refused(tmp_path):
    for name in ("a.png", "b.npy"):
        (tmp_path / name).write_bytes(b"no mask")
        with pytest.raises(ConfigError, match="readable PNG or NPY"):
            load_sample(str(tmp_path / name))
        with pytest.raises(ConfigError, match="no such file"):
            load_sample(str(tmp_path / f"missing-{name}"))
    with pytest.raises(ConfigError, match="ss, light, block"):
        load_sample("star")
    with pytest.raises(ConfigError, match="density"):
        load_sample("block", density=1.5)
