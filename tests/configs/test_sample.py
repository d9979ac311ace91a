"""Samples as settings: strict, and back from TOML as they went in."""

import pytest
import tomli_w

from configs.errors import ConfigError
from configs.sample import Block, Fabrication, Grating, Mask, Picture, Star, Text
from configs.sample import parse_sample as parse
from configs.sample import read_sample as read


@pytest.mark.parametrize("kind", ["star", "light", "block", "grating", "qr"])
def test_a_kind_is_enough(kind):
    sample = parse(f"kind = '{kind}'", "x.toml")
    assert (sample.kind, sample.squares, sample.fabrication) == (kind, 64, None)
    assert sample.cells_per_square == (1 if kind == "block" else 6)


@pytest.mark.parametrize(
    "sample",
    [
        Star(squares=20, spokes=8, radius_um=1.5, rotation_deg=3.0, centre_um=(0.1, -0.2)),
        Block(density=0.5, fabrication=Fabrication(missing=0.1, overetch_nm=-4.0)),
        Grating(period_nm=500.0, duty=0.3, angle_deg=30.0, cell_nm=20.0),
        Text(text="light"),
        Picture(path="cat.png", squares=32),
        Mask(path="mask.npy", cell_nm=30.0),
    ],
)
def test_samples_survive_a_round_trip(sample):
    text = tomli_w.dumps(sample.model_dump(mode="json", exclude_none=True))
    assert parse(text, "copy.toml") == sample


def test_a_block_gets_fine_cells_where_it_has_edges_within_squares():
    assert Block().cells_per_square == 1
    assert Block(fabrication=Fabrication()).cells_per_square == 6
    assert Block(cell_nm=20.0).cells_per_square == 9
    assert Block(cell_nm=180 / 7, fabrication=Fabrication()).cells_per_square == 7


def test_the_star_fills_its_field_unless_told_otherwise():
    assert Star().outer_radius_um == pytest.approx(31 * 0.18)
    assert Star(squares=20).outer_radius_um == pytest.approx(9 * 0.18)
    assert Star(radius_um=1.0).outer_radius_um == 1.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kind = 'moon'", "kind: expected one of star, light, block, grating, qr, text"),
        ("kind = ['star']", "kind: expected one of star"),
        ("spokes = 36", "kind: expected one of star"),
        ("kind = 'star'\nspoke = 3", "unknown key spoke"),
        ("kind = 'star'\nspokes = 0", "spokes: "),
        ("kind = 'star'\nradius_um = -1", "radius_um: "),
        ("kind = 'star'\nrotation_deg = nan", "rotation_deg: "),
        ("kind = 'star'\ncentre_um = [0.0, 2000.0]", "centre_um.1: "),
        ("kind = 'star'\nsquares = 2", "squares: "),
        ("kind = 'light'\nsquares = 6.5", "squares: "),
        ("kind = 'light'\ncell_nm = 25", "cell_nm: expected a whole number of cells"),
        ("kind = 'light'\ncell_nm = 25", "nearest are 22.5 and 25.7142857143, got 25"),
        ("kind = 'mask'\npath = 'a.png'\ncell_nm = 170.0", "the nearest are 90 and 180"),
        ("kind = 'light'\ncell_nm = 1e-320", "cell_nm: "),
        ("kind = 'light'\ncell_nm = 0", "cell_nm: "),
        ("kind = 'light'\ncell_nm = 200", "cell_nm: "),
        ("kind = 'light'\nsquares = 1000", "at most 4096 cells along a side, got 6000"),
        ("kind = 'block'\ndensity = 1.5", "density: "),
        ("kind = 'grating'\nduty = 1.0", "duty: "),
        ("kind = 'grating'\nperiod_nm = 1", "period_nm: "),
        ("kind = 'qr'\nsquares = 57", "29 need 58 squares along a side, got 57"),
        ("kind = 'text'\ntext = ''", "text: "),
        ("kind = 'image'", "path is missing"),
        ("kind = 'mask'\npath = 'a.png'\nsquares = 3", "unknown key squares"),
        ("kind = 'mask'\npath = 'a.png'\nsha256 = 'A'", "sha256: "),
        ("kind = 'star'\n[fabrication]\nmissing = 2.0", "fabrication.missing: "),
        ("kind = 'star'\n[fabrication]\nsize_jitter_nm = -1", "fabrication.size_jitter_nm: "),
        ("kind = 'image'\npath = 'a'\n[fabrication]", "unknown key fabrication"),
        ("kind =", "valid TOML"),
    ],
)
def test_errors_name_file_key_and_expectation(text, named):
    with pytest.raises(ConfigError) as error:
        parse(text, "star.toml")
    assert str(error.value).startswith("star.toml: ")
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_the_cells_that_an_error_names_are_allowed():
    assert parse("kind = 'star'\ncell_nm = 25.7142857143", "x").cells_per_square == 7
    assert parse("kind = 'star'\ncell_nm = 22.5", "x").cells_per_square == 8


def test_pictures_lie_beside_their_toml_file(tmp_path):
    (tmp_path / "cat.toml").write_text("kind = 'image'\npath = 'cat.png'\n")
    assert read(tmp_path / "cat.toml") == Picture(path=str(tmp_path / "cat.png"))
    (tmp_path / "far.toml").write_text("kind = 'mask'\npath = '/far/mask.npy'\n")
    assert read(tmp_path / "far.toml") == Mask(path="/far/mask.npy")


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.toml"):
        read(tmp_path / "nowhere.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read .*bytes.toml"):
        read(tmp_path / "bytes.toml")
