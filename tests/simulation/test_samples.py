"""What lies under the beam."""

import hashlib

import numpy as np
import pytest
import shapely
from PIL import Image

from configs.errors import ConfigError
from configs.sample import Block, Fabrication, Grating, Light, Mask, Picture, Qr, Star, Text
from simulation.samples import Sample, load_sample, make_sample
from simulation.shapes import brush_strokes

ROUGH = Fabrication(
    corner_radius_nm=25.0,
    overetch_nm=4.0,
    size_jitter_nm=6.0,
    position_jitter_nm=6.0,
    missing=0.05,
)


def test_star_has_36_spokes_and_is_half_open_inside():
    star = load_sample("ss").coverage
    angle = (np.arange(3600) + 0.5) / 3600 * 2 * np.pi
    x, y = (31.5 + 28 * f(angle) for f in (np.cos, np.sin))
    ring = star[np.rint(y).astype(int), np.rint(x).astype(int)] >= 0.5
    assert np.count_nonzero(np.diff(ring.astype(int)) == 1) == pytest.approx(36, abs=1)
    radius = np.hypot(*np.mgrid[-31.5:32, -31.5:32])
    assert star[radius < 30].mean() == pytest.approx(0.5, abs=0.01)
    assert star[radius > 32].sum() == 0


def test_star_is_drawn_continuously():
    star = load_sample("ss").coverage
    partial = (star > 0.02) & (star < 0.98)
    assert 0.25 < partial.mean() < 0.5


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


def test_crossing_strokes_count_once():
    strokes = brush_strokes(64 * 0.18)
    area_um2 = make_sample(Light(), 0).cells.sum() * 0.03**2
    assert area_um2 == pytest.approx(shapely.union_all(strokes).area, rel=1e-9)
    assert area_um2 < 0.99 * shapely.area(strokes).sum()


def test_block_has_its_density_and_seed():
    block = load_sample("block", density=0.35, seed=3)
    assert block.name == "block, density 0.35"
    assert block.cells_per_square == 1
    assert block.coverage.mean() == pytest.approx(0.35, abs=0.03)
    assert set(np.unique(block.coverage)) == {0.0, 1.0}
    # The squares that this seed has always meant.
    always = np.random.default_rng(3).random((64, 64)) < 0.35
    np.testing.assert_array_equal(block.coverage, always)
    assert not np.array_equal(block.coverage, load_sample("block", seed=4).coverage)


@pytest.mark.parametrize(
    "config",
    [
        Star(squares=20),
        Light(squares=20),
        Block(squares=20, cell_nm=30.0),
        Grating(squares=20, angle_deg=20.0),
        Qr(squares=20, modules=20, module_nm=180.0),
        Text(squares=20, text="ab"),
    ],
)
def test_cells_of_any_size_cover_the_same_squares(config):
    fine = make_sample(config, 5)
    assert (fine.name, fine.cells.shape, fine.cells_per_square) == (config.kind, (120, 120), 6)
    assert 0.05 < fine.coverage.mean() < 0.95
    for cell_nm in (20.0, 180.0):
        other = make_sample(config.model_copy(update={"cell_nm": cell_nm}), 5)
        np.testing.assert_allclose(other.coverage, fine.coverage, atol=1e-9)


@pytest.mark.parametrize("kind", [Star, Light, Block, Grating, Qr])
def test_fabrication_changes_a_sample_by_its_seed(kind):
    drawn, rough = make_sample(kind(cell_nm=30.0), 1), make_sample(kind(fabrication=ROUGH), 1)
    assert rough.cells.shape == (384, 384)
    difference = np.abs(rough.cells - drawn.cells).mean()
    assert 0.01 < difference < 0.2
    again, other = (make_sample(kind(fabrication=ROUGH), seed) for seed in (1, 2))
    np.testing.assert_array_equal(again.cells, rough.cells)
    assert not np.array_equal(other.cells, rough.cells)


def test_fabrication_without_errors_is_the_drawing():
    drawn = make_sample(Block(cell_nm=30.0), 1)
    milled = make_sample(Block(fabrication=Fabrication()), 1)
    np.testing.assert_array_equal(milled.cells, drawn.cells)


@pytest.mark.parametrize(("name", "mean"), [("grating", 0.5), ("qr", 0.4)])
def test_gratings_and_codes_have_a_name(name, mean):
    sample = load_sample(name)
    assert (sample.name, sample.coverage.shape) == (name, (64, 64))
    assert sample.coverage.mean() == pytest.approx(mean, abs=0.05)


def test_samples_from_toml_are_called_like_their_file(tmp_path):
    file = tmp_path / "wide star.toml"
    file.write_text("kind = 'star'\nspokes = 8\nsquares = 20\ncell_nm = 60\n")
    sample = load_sample(str(file))
    assert (sample.name, sample.cells.shape) == ("wide star", (60, 60))
    np.testing.assert_array_equal(
        sample.cells, make_sample(Star(spokes=8, squares=20, cell_nm=60.0), 0).cells
    )


def test_masks_keep_their_orientation_and_partial_squares(tmp_path):
    mask = np.zeros((3, 5), np.uint8)
    mask[0, 4], mask[2, 0] = 255, 51
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", mask / 255)
    for name in ("mask.png", "mask.npy"):
        sample = load_sample(str(tmp_path / name))
        assert sample.name == "mask"
        np.testing.assert_allclose(sample.coverage, mask / 255)


def test_a_sample_knows_what_drew_it(tmp_path):
    assert load_sample("ss").config == Star()
    assert load_sample("block", density=0.5, seed=3).config == Block(density=0.5)
    for name in ("mask.npy", "mask.toml"):
        np.save(tmp_path / "mask.npy", np.eye(3))
        (tmp_path / "mask.toml").write_text("kind = 'mask'\npath = 'mask.npy'\n")
        drawn = load_sample(str(tmp_path / name)).config
        digest = hashlib.sha256((tmp_path / "mask.npy").read_bytes()).hexdigest()
        assert drawn == Mask(path=str(tmp_path / "mask.npy"), sha256=digest)
        np.testing.assert_array_equal(make_sample(drawn, 0).cells, np.eye(3))
        np.save(tmp_path / "mask.npy", np.ones((3, 3)))
        with pytest.raises(ConfigError, match=f"expected a file with SHA-256 {digest}, got"):
            make_sample(drawn, 0)


def test_masks_may_be_finer_than_squares(tmp_path):
    cells = np.random.default_rng(0).random((12, 18))
    np.save(tmp_path / "fine.npy", cells)
    sample = make_sample(Mask(path=str(tmp_path / "fine.npy"), cell_nm=30.0), 0)
    assert (sample.name, sample.coverage.shape) == ("fine", (2, 3))
    assert sample.coverage[1, 2] == pytest.approx(cells[6:, 12:].mean())
    with pytest.raises(ConfigError, match=r"whole squares of 9 x 9 cells, got \(12, 18\)"):
        make_sample(Mask(path=str(tmp_path / "fine.npy"), cell_nm=20.0), 0)


def test_pictures_fill_the_field_the_right_way_up(tmp_path):
    colours = np.zeros((100, 200, 3), np.uint8)
    colours[:50, 100:] = 255
    for name in ("wide.bmp", "wide.webp", "wide.gif"):
        Image.fromarray(colours).save(tmp_path / name)
        sample = make_sample(Picture(path=str(tmp_path / name), squares=8), 0)
        assert (sample.name, sample.cells.shape) == ("wide", (48, 48))
        expected = np.zeros((8, 8))
        expected[2:4, 4:] = 1
        np.testing.assert_allclose(sample.coverage, expected, atol=0.02)


def test_what_is_transparent_in_a_picture_is_closed(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:, :2, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "logo.png")
    picture = make_sample(Picture(path=str(tmp_path / "logo.png"), squares=4), 0)
    for sample in (picture, load_sample(str(tmp_path / "logo.png"))):
        np.testing.assert_array_equal(sample.coverage, [[0, 0, 1, 1]] * 4)


def test_unreadable_pictures_are_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"readable picture in .*a\.jpg"):
        make_sample(Picture(path=str(tmp_path / "a.jpg")), 0)
    with pytest.raises(ConfigError, match=r"no such file .*b\.jpg; give the path of a picture"):
        make_sample(Picture(path=str(tmp_path / "b.jpg")), 0)


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
    with pytest.raises(ConfigError, match=complaint):
        Sample("made by hand", array)


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
    for density in (1.5, float("nan")):
        with pytest.raises(ConfigError, match=f"between 0 and 1, got {density}"):
            load_sample("block", density=density)
    with pytest.raises(ConfigError, match=r"expected a \.png or \.npy mask, got 'a\.jpg'"):
        make_sample(Mask(path="a.jpg"), 0)
