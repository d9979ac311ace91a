"""TIFF folders as the paper's authors have them: written, read, and refused."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from configs.dataset import DatasetPlan, PartPlan
from configs.errors import ConfigError, RunStoreError
from configs.instrument import Environment, InstrumentConfig
from configs.optics import Optics
from configs.sample import Block, Star
from simulation.datasets.paper_folders import export_tiff
from simulation.datasets.paper_reader import open_folders
from simulation.datasets.reader import Dataset
from simulation.datasets.scan import draw_scan
from simulation.datasets.sizes import part_sizes
from simulation.datasets.writer import DatasetWriter

IMAGE_PX = 8
LOWEST_ADU, STEP_ADU = 100, 4


def encoded(part, scan, row, column):
    """An image that says where it belongs, on a scale of 4 digital numbers a level."""
    image = np.full((IMAGE_PX, IMAGE_PX), LOWEST_ADU, np.uint16)
    image[0, :4] += STEP_ADU * np.array([part, scan, row, column], np.uint16)
    image[7, 6] += (255 - 9 * part) * STEP_ADU
    image[7, 7] += 20 * STEP_ADU + 3
    return image


def write_set(path, image=encoded):
    optics = Optics(roi_px=4 * IMAGE_PX, binning=4)
    plan = DatasetPlan(
        name="small",
        instrument=InstrumentConfig(name="test", optics=optics, environment=Environment()),
        parts=(
            PartPlan(split="train", name="block", sample=Block(squares=4), scans=2, frames=70),
            PartPlan(split="test", name="block", sample=Block(squares=3), scans=2),
            PartPlan(split="test", name="ss", sample=Star(squares=5, spokes=3)),
            PartPlan(split="train", name="extra", sample=Block(squares=3)),
        ),
    )
    writer = DatasetWriter(path, plan, part_sizes(plan))
    for part, config in enumerate(plan.parts):
        for number in range(config.scans):
            scan = draw_scan(plan, part, number)
            writer.add_scan(scan)
            for row in list(scan.lines(1))[: writer.lines_kept(scan)]:
                images = [image(part, number, row.row, c) for c in range(scan.columns)]
                writer.add_line(row, np.stack(images))
    writer.finish()


@pytest.fixture(scope="module")
def set_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "small.zarr"
    write_set(path)
    return path


@pytest.fixture(scope="module")
def exported(set_path):
    folder = set_path.with_name("tiff")
    export_tiff(set_path, folder, 3)
    return folder


@pytest.fixture
def ours(exported, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(exported, tmp_path / "tiff")


@pytest.fixture
def theirs(tmp_path):
    """A folder that says nothing about itself, written without our code."""
    random = np.random.default_rng(0)
    for path in ("train_valid/A1", "test/ORC"):
        for kind in ("img", "mask"):
            (tmp_path / "theirs" / path / kind).mkdir(parents=True)
        for k in (0, 65, 66, 4355):
            write_theirs(tmp_path / "theirs" / path, k, random.integers(0, 2, (3, 3)))
    return tmp_path / "theirs"


def write_theirs(folder, k, mask, image_px=IMAGE_PX):
    image = np.full((image_px, image_px), k % 251, np.uint8)
    Image.fromarray(image).save(folder / "img" / f"{k}.tif")
    Image.fromarray(mask.astype(np.uint8)).save(folder / "mask" / f"{k}.tif")


FOLDERS = {
    "train_valid/A1": ("train/block", 0, 0, 36, 6),
    "train_valid/A2": ("train/block", 0, 1, 34, 6),
    "train_valid/A3": ("train/extra", 3, 0, 25, 5),
    "test/Block1": ("test/block", 1, 0, 25, 5),
    "test/Block2": ("test/block", 1, 1, 25, 5),
    "test/SS": ("test/ss", 2, 0, 49, 7),
}


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_every_image_and_target_comes_back_from_its_place(set_path, tmp_path, grid):
    export_tiff(set_path, tmp_path / "tiff", grid)
    folders = open_folders(tmp_path / "tiff")
    assert folders.keys() == FOLDERS.keys()
    for path, (part_path, number, scan, length, columns) in FOLDERS.items():
        folder, part = folders[path], Dataset(set_path)[part_path]
        assert folder.grid == grid
        assert f"{folder.split}/{folder.name}" == path.replace("train_valid", "train")
        assert len(folder) == length
        np.testing.assert_array_equal(folder.k, np.arange(length))
        np.testing.assert_array_equal(folder.k, folder.row * columns + folder.column)
        frames = folder.frames()
        assert frames.dtype == np.uint8
        says = frames[:, 0, :4].T
        for meant, said in zip((number, scan, folder.row, folder.column), says, strict=True):
            np.testing.assert_array_equal(said, np.broadcast_to(meant, length))
        here = part.points("scan") == scan
        np.testing.assert_array_equal(folder.targets(), part.targets(grid)[here])
        error = folder.levels.adu(frames) - part.frames()[here]
        assert 0 < np.abs(error).max() <= STEP_ADU / 2


def test_the_scale_is_one_for_the_set_and_exact_where_levels_suffice(tmp_path):
    def dim(part, scan, row, column):
        return encoded(part, scan, row, column) % 200 + part

    write_set(tmp_path / "dim.zarr", dim)
    export_tiff(tmp_path / "dim.zarr", tmp_path / "tiff", 3)
    data = Dataset(tmp_path / "dim.zarr")
    for path, folder in open_folders(tmp_path / "tiff", 3).items():
        part_path, _, scan, _, _ = FOLDERS[path]
        here = data[part_path].points("scan") == scan
        frames = data[part_path].frames()[here]
        np.testing.assert_array_equal(folder.levels.adu(folder.frames()), frames)


def test_files_are_plain_pictures(exported, set_path):
    target = Dataset(set_path)["test/ss"].targets(3)[17]
    with Image.open(exported / "test" / "SS" / "mask" / "17.tif") as mask:
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), target * 255)
    with Image.open(exported / "test" / "SS" / "img" / "17.tif") as image:
        assert (image.mode, image.size) == ("L", (IMAGE_PX, IMAGE_PX))
        assert list(np.asarray(image)[0, :4]) == [2, 0, 2, 3]


def test_progress_reaches_the_end(set_path, tmp_path):
    told = []
    export_tiff(set_path, tmp_path / "tiff", 3, lambda *where: told.append(where))
    assert told[-1] == (194, 194)
    assert told == sorted(told)


def test_nothing_is_left_of_what_fails(set_path, tmp_path):
    def interrupt(done, frames):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_tiff(set_path, tmp_path / "tiff", 3, interrupt)
    damaged = shutil.copytree(set_path, tmp_path / "damaged.zarr")
    (damaged / "test" / "ss" / "frames" / "c" / "3" / "0" / "0").write_bytes(b"x")
    with pytest.raises(RunStoreError, match="cannot read test/ss/frames"):
        export_tiff(damaged, tmp_path / "tiff", 3)
    (tmp_path / "file").touch()
    with pytest.raises(RunStoreError, match=r"cannot write .* nothing was kept"):
        export_tiff(set_path, tmp_path / "file" / "tiff", 3)
    assert {path.name for path in tmp_path.iterdir()} == {"damaged.zarr", "file"}


def test_what_cannot_be_exported(set_path, exported, tmp_path):
    with pytest.raises(ConfigError, match=r"grid: expected 3, 5 or 7 squares, got 4"):
        export_tiff(set_path, tmp_path / "tiff", 4)
    with pytest.raises(RunStoreError, match="exists already"):
        export_tiff(set_path, exported, 3)
    with pytest.raises(RunStoreError, match="no data set"):
        export_tiff(tmp_path / "nothing.zarr", tmp_path / "tiff", 3)


def test_folders_of_others_are_scans_of_66_points_a_line(theirs):
    folders = open_folders(theirs, 3)
    assert folders.keys() == {"train_valid/A1", "test/ORC"}
    folder = folders["test/ORC"]
    np.testing.assert_array_equal(folder.row, [0, 0, 1, 65])
    np.testing.assert_array_equal(folder.column, [0, 65, 0, 65])
    assert folder.levels is None
    np.testing.assert_array_equal(folder.frames()[:, 0, 0], folder.k % 251)
    first = np.asarray(Image.open(theirs / "test" / "ORC" / "mask" / "0.tif"))
    np.testing.assert_array_equal(folder.targets(0, 1)[0], first)


def test_masks_may_be_pictures_of_the_squares(theirs):
    squares = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 0]])
    index = np.arange(64) * 3 // 64
    write_theirs(theirs / "test" / "ORC", 66, 255 * squares[np.ix_(index, index)])
    folder = open_folders(theirs, 3)["test/ORC"]
    np.testing.assert_array_equal(folder.targets(2, 3)[0], squares)
    assert open_folders(theirs)["test/ORC"].grid == 3  # as another mask says
    for path in (theirs / "train_valid" / "A1", theirs / "test" / "ORC"):
        write_theirs(path, 0, 255 * squares[np.ix_(index, index)])
    with pytest.raises(ConfigError, match=r"0\.tif: expected a mask of 3, 5 or 7 pixels a"):
        open_folders(theirs)


def test_black_images_to_train_on_may_lie_beyond_the_scan(theirs):
    write_theirs(theirs / "train_valid" / "A1", 4356, np.zeros((3, 3)))
    folder = open_folders(theirs, 3)["train_valid/A1"]
    assert (folder.k[-1], folder.row[-1], folder.column[-1]) == (4356, -1, -1)
    assert not folder.targets(4).any()
    for path, mask in (("train_valid/A1", np.eye(3)), ("test/ORC", np.zeros((3, 3)))):
        write_theirs(theirs / path, 5000, mask)
        with pytest.raises(RunStoreError, match=r"within the scan, got (4356|5000)\.tif"):
            open_folders(theirs, 3)
        for kind in ("img", "mask"):
            (theirs / path / kind / "5000.tif").unlink()


def test_hidden_files_are_none_of_ours(theirs):
    (theirs / "test" / "ORC" / "img" / ".DS_Store").touch()
    (theirs / "test" / ".DS_Store").touch()
    assert len(open_folders(theirs, 3)["test/ORC"]) == 4


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("mask/7.tif", "remove", r"SS: expected mask/7\.tif for img/7\.tif, found none;"),
        ("img/7.tif", "remove", r"SS: expected img/7\.tif for mask/7\.tif, found none;"),
        ("img/07.tif", "add", r"07\.tif: expected only files <k>\.tif"),
        ("img/a.tif", "add", r"a\.tif: expected only files <k>\.tif"),
        ("mask/7", "add", r"7: expected only files <k>\.tif"),
    ],
)
def test_names_are_checked_when_folders_are_opened(ours, name, change, complaint):
    path = ours / "test" / "SS" / name
    path.unlink() if change == "remove" else path.touch()
    with pytest.raises(RunStoreError, match=complaint):
        open_folders(ours, 3)


def test_several_missing_masks_are_one_line(ours):
    for k in (3, 4, 5):
        (ours / "test" / "SS" / "mask" / f"{k}.tif").unlink()
    with pytest.raises(RunStoreError, match=r"mask/3\.tif .* and 2 more like it"):
        open_folders(ours, 3)


GREY = np.zeros((IMAGE_PX, IMAGE_PX), np.uint8)


@pytest.mark.parametrize(
    ("kind", "content", "complaint"),
    [
        ("img", GREY[:7, :7], "8 x 8 pixels like the first, got 7 x 7"),
        ("img", GREY[:7], r"square grey image of 8 bit, got uint8 of shape \(7, 8\)"),
        ("img", GREY.astype(np.uint16), "8 bit, got uint16 of shape"),
        ("img", np.zeros((8, 8, 3), np.uint8), r"got uint8 of shape \(8, 8, 3\)"),
        ("img", b"no picture", "readable TIFF file of one page"),
        ("img", b"", "readable TIFF file of one page"),
        ("img", [GREY, GREY], "readable TIFF file of one page"),
        ("mask", np.full((3, 3), 2, np.uint8), r"only 0 and 1, or 0 and 255, got \[2\]"),
        ("mask", np.diag([0, 1, 255]).astype(np.uint8), r"got \[0, 1, 255\]"),
        ("mask", np.zeros((5, 5), np.uint8), "3 x 3 squares, .* got 5 x 5"),
        ("mask", np.zeros((2, 2), np.uint8), "3 x 3 squares, .* got 2 x 2"),
        ("mask", np.zeros((3, 3), bool), "8 bit, got bool"),
    ],
)
def test_files_are_checked_when_they_are_read(ours, kind, content, complaint):
    path = ours / "test" / "SS" / kind / "7.tif"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with tifffile.TiffWriter(path) as writer:
            for page in content if isinstance(content, list) else [content]:
                writer.write(page, metadata=None)
    folder = open_folders(ours, 3)["test/SS"]
    read = folder.frames if kind == "img" else folder.targets
    assert len(read(0, 7)) == 7
    with pytest.raises(
        RunStoreError, match=rf"{kind}/7\.tif: expected .*{complaint}"
    ) as raised:
        read()
    assert "\n" not in str(raised.value)


def test_a_torn_file_is_an_error(ours):
    path = ours / "test" / "SS" / "img" / "7.tif"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunStoreError, match=r"7\.tif: expected a readable TIFF"):
        open_folders(ours, 3)["test/SS"].frames()


def test_lost_images_and_wrong_descriptions_are_noticed(ours):
    for kind in ("img", "mask"):
        (ours / "test" / "SS" / kind / "48.tif").unlink()
    with pytest.raises(RunStoreError, match="SS: expected 49 images, got 48"):
        open_folders(ours, 3)
    for kind in ("img", "mask"):
        os.rename(ours / f"test/SS/{kind}/47.tif", ours / f"test/SS/{kind}/490.tif")
    with pytest.raises(RunStoreError, match=r"within the scan, got 490\.tif"):
        open_folders(ours, 3)
    with pytest.raises(ConfigError, match="expected grid 3, that of its targets, got 5"):
        open_folders(ours, 5)
    description = ours / "opticalnet.toml"
    text = description.read_text()
    for wrong, error, complaint in (
        (text.replace("step_adu", "step"), ConfigError, "unknown key levels.step"),
        ("grid = ", RunStoreError, "readable TOML"),
        ("grid = 3", ConfigError, "levels is missing; folders is missing"),
    ):
        description.write_text(wrong)
        with pytest.raises(error, match=complaint):
            open_folders(ours, 3)


def test_what_is_no_set_of_folders(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError, match="expected folders train_valid/NAME or test/NAME"):
            open_folders(path, 3)
    with pytest.raises(ConfigError, match=r"grid: expected 3, 5 or 7 squares, got 9"):
        open_folders(tmp_path, 9)
    (tmp_path / "test" / "SS").mkdir(parents=True)
    with pytest.raises(RunStoreError, match=r"SS.img: expected a readable folder"):
        open_folders(tmp_path, 3)
    for kind in ("img", "mask"):
        (tmp_path / "test" / "SS" / kind).mkdir()
    with pytest.raises(RunStoreError, match=r"SS.img: expected files <k>\.tif, found none"):
        open_folders(tmp_path, 3)
