"""Data sets in the folders of the paper's authors: theirs, or exported ones.

``simulation.datasets.paper_folders`` says how they lie. Names are checked when folders are
opened, files when they are read.
"""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from configs.dataset import Split
from configs.errors import ConfigError, RunStoreError
from configs.grid import GRIDS, check_grid
from simulation.datasets import hub
from simulation.datasets.paper_folders import (
    DESCRIPTION,
    SPLIT_FOLDERS,
    FolderInfo,
    FoldersInfo,
    Levels,
)
from simulation.datasets.tiff import Pixels, read_image, read_mask

_PAPER_POINTS: Final = (66, 66)


@dataclass(frozen=True, slots=True)
class PaperFolder:
    """Images and targets of a scan, or what is kept of it; in the order of k.

    Attributes
    ----------
    path
        The folder.
    split, name
        ``train`` or ``test``; the last part of the path: ``A1``, ``SS``, ...
    grid
        Side of the targets.
    image_px
        Side of the images.
    levels
        What the images' levels stand for, where that is known.
    k, row, column
        (n,), the number of every file, and the point of the scan that it says; -1 for an
        image that was taken nowhere in the scan.
    """

    path: Path
    split: Split
    name: str
    grid: int
    image_px: int
    levels: Levels | None
    k: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.k)

    def frames(self, start: int = 0, stop: int | None = None) -> Pixels:
        """Read images, (n, y, x)."""
        images = [self._image(k) for k in self.k[start:stop]]
        return np.array(images, np.uint8).reshape(-1, self.image_px, self.image_px)

    def targets(self, start: int = 0, stop: int | None = None) -> Pixels:
        """Read which squares around the beam are open, (n, grid, grid), 0 or 1."""
        masks = [
            read_mask(self.path / "mask" / f"{k}.tif", self.grid) for k in self.k[start:stop]
        ]
        return np.array(masks, np.uint8).reshape(-1, self.grid, self.grid)

    def _image(self, k: int) -> Pixels:
        path = self.path / "img" / f"{k}.tif"
        image = read_image(path)
        if len(image) != self.image_px:
            raise RunStoreError(
                f"{path}: expected {self.image_px} x {self.image_px} pixels like the first,"
                f" got {len(image)} x {len(image)}; mend or remove it"
            )
        return image


def open_folders(source: str | Path, grid: int | None = None) -> dict[str, PaperFolder]:
    """Open a data set of TIFF files; folders by path, such as ``train_valid/A1``.

    Parameters
    ----------
    source
        The folder that holds ``train_valid`` and ``test``, or one of them; or
        ``hf://owner/name`` to get it from the Hugging Face hub.
    grid
        Side of the targets, 3, 5 or 7 squares; that of the masks, a pixel a square, if None.

    Raises
    ------
    ConfigError
        If the source is no such folder, or the grid not the folders', or masks are pictures
        that do not tell it.
    RunStoreError
        If files are missing, or are not what they should be.
    """
    if grid is not None:
        check_grid(grid)
    if str(source).startswith(hub.PREFIX):
        wanted = [DESCRIPTION, *(f"{folder}/*" for folder in SPLIT_FOLDERS.values())]
        root = hub.download(str(source), wanted)
    else:
        root = Path(source)
    description = _description(root)
    if description is None:
        paths = _their_paths(root)
        grid = grid or _grid_of(root / paths[0])
        return {path: _their_folder(root, path, grid) for path in paths}
    if grid not in {None, description.grid}:
        raise ConfigError(
            f"{root}: expected grid {description.grid}, that of its targets, got {grid};"
            " ask for that one, or export the set again"
        )
    return {info.path: _our_folder(root, info, description) for info in description.folders}


def _description(root: Path) -> FoldersInfo | None:
    path = root / DESCRIPTION
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunStoreError(
            f"{path}: expected a readable TOML file, got: {error}; export the set again"
        ) from error
    return FoldersInfo.checked(str(path), values)


def _their_paths(root: Path) -> list[str]:
    """Find the folders of a set that does not say what is in it."""
    paths = [
        f"{folder}/{name}"
        for folder in SPLIT_FOLDERS.values()
        if (root / folder).is_dir()
        for name in _names(root / folder)
    ]
    if not paths:
        expected = " or ".join(f"{folder}/NAME" for folder in SPLIT_FOLDERS.values())
        raise ConfigError(f"{root}: expected folders {expected}, found none; check the path")
    return paths


def _grid_of(folder: Path) -> int:
    """Read off the first mask how many squares masks have along a side."""
    path = folder / "mask" / f"{_numbers(folder / 'mask')[0]}.tif"
    side = len(read_image(path))
    if side not in GRIDS:
        raise ConfigError(
            f"{path}: expected a mask of 3, 5 or 7 pixels a side, one a square, got {side};"
            " write them so, or name the grid to opticalnet.open_folders"
        )
    return side


def _our_folder(root: Path, info: FolderInfo, description: FoldersInfo) -> PaperFolder:
    points = info.rows, info.columns
    folder = _folder(root, info.path, description.grid, points, description.levels)
    _check_inside(folder)
    if len(folder) != info.frames:
        raise RunStoreError(
            f"{folder.path}: expected {info.frames} images, got {len(folder)};"
            " files were lost: export the set again"
        )
    return folder


def _their_folder(root: Path, path: str, grid: int) -> PaperFolder:
    """Open a folder of the authors' or of somebody else's.

    Table 1 of the paper counts 26,316 images to train on in six folders: 30 more in each
    than 66 x 66 points. We take those for the extra black ones that it mentions.
    """
    folder = _folder(root, path, grid, _PAPER_POINTS, None)
    inside = int(np.count_nonzero(folder.row >= 0))
    if folder.split == "test" or folder.targets(inside).any():
        _check_inside(folder)
    return folder


def _check_inside(folder: PaperFolder) -> None:
    outside = folder.k[folder.row < 0]
    if outside.size:
        raise RunStoreError(
            f"{folder.path}: expected k = row * columns + column within the scan, got"
            f" {outside[0]}.tif; remove it"
        )


def _folder(
    root: Path, path: str, grid: int, points: tuple[int, int], levels: Levels | None
) -> PaperFolder:
    folder = root / path
    k = _numbers(folder / "img")
    _check_pairs(folder, k, _numbers(folder / "mask"))
    row, column = np.divmod(k, points[1])
    inside = row < points[0]
    return PaperFolder(
        path=folder,
        split="train" if path.startswith(SPLIT_FOLDERS["train"]) else "test",
        name=folder.name,
        grid=grid,
        image_px=len(read_image(folder / "img" / f"{k[0]}.tif")),
        levels=levels,
        k=k,
        row=np.where(inside, row, -1),
        column=np.where(inside, column, -1),
    )


def _numbers(folder: Path) -> NDArray[np.int64]:
    """Return the numbers of the files <k>.tif in a folder, in order."""
    names = _names(folder)
    stems = [name.removesuffix(".tif") for name in names]
    for name, stem in zip(names, stems, strict=True):
        # int() alone takes signs, spaces, underscores and leading zeros.
        if stem == name or not stem.isdecimal() or str(int(stem)) != stem:
            raise RunStoreError(
                f"{folder / name}: expected only files <k>.tif, k a whole number; remove it"
            )
    if not stems:
        raise RunStoreError(f"{folder}: expected files <k>.tif, found none; check the set")
    return np.array(sorted(int(stem) for stem in stems), np.int64)


def _names(folder: Path) -> list[str]:
    """List a folder, without the hidden files that systems leave everywhere."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise RunStoreError(
            f"{folder}: expected a readable folder, got: {error}; check the set"
        ) from error


def _check_pairs(folder: Path, images: Iterable[int], masks: Iterable[int]) -> None:
    images, masks = set(images), set(masks)
    for here, there, missing in (
        ("img", "mask", images - masks),
        ("mask", "img", masks - images),
    ):
        if missing:
            k = min(missing)
            more = f", and {len(missing) - 1} more like it" if len(missing) > 1 else ""
            raise RunStoreError(
                f"{folder}: expected {there}/{k}.tif for {here}/{k}.tif, found none{more};"
                " add the one or remove the other"
            )
