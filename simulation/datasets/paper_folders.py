"""A data set as TIFF files, in the folders that the paper's authors use.

``train_valid/<A1, A2, ...>/{img,mask}/<k>.tif`` and ``test/<SS, Light, ...>/...``: a folder a
scan, 8 bit, k = row * columns + column. Masks are 0 and 255: as 0 and 1, they look black,
and libraries of pictures turn them wrongly. What files of 8 bit cannot say is kept beside
them, in ``opticalnet.toml``.
"""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import Field

from configs.dataset import Split
from configs.drafts import check_absent, draft_beside, named
from configs.errors import ConfigError
from configs.grid import check_grid
from configs.value import NonNegative, Positive, PositiveInt, Value
from simulation.datasets.reader import Dataset, DatasetPart
from simulation.datasets.tiff import WHITE, write_image

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""

DESCRIPTION: Final = "opticalnet.toml"
SPLIT_FOLDERS: Final[dict[Split, str]] = {"train": "train_valid", "test": "test"}
_TEST_NAMES: Final = {"ss": "SS", "light": "Light", "block": "Block"}


class Levels(Value):
    """Digital numbers as levels of 8 bit: one linear scale for a whole set."""

    lowest_adu: NonNegative
    """What level 0 stands for."""
    step_adu: Positive
    """From one level to the next; half of it is the largest error."""

    def of(self, adu: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return the nearest level of every digital number."""
        levels = np.rint((adu - self.lowest_adu) / self.step_adu)
        nearest: NDArray[np.uint8] = levels.astype(np.uint8)
        return nearest

    def adu(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the digital numbers, within half a step."""
        return (levels * self.step_adu + self.lowest_adu).astype(np.float32)


class FolderInfo(Value):
    """One folder: a scan, or what is kept of it."""

    path: str
    """Below the set's folder, with a slash between."""
    part: str
    """Of the set it was made from."""
    rows: PositiveInt
    """Points of the scan, down."""
    columns: PositiveInt
    frames: PositiveInt


class FoldersInfo(Value):
    """What is in ``opticalnet.toml``."""

    format: Literal["opticalnet-folders-1"] = "opticalnet-folders-1"
    grid: int
    """Side of the targets."""
    levels: Levels
    folders: Annotated[tuple[FolderInfo, ...], Field(min_length=1, strict=False)]


def export_tiff(
    set_path: str | Path,
    folder: str | Path,
    grid: int = 3,
    progress: Progress = lambda done, frames: None,
) -> None:
    """Write a simulated set as TIFF files.

    Parameters
    ----------
    set_path
        The set.
    folder
        Where the files go; must not exist, nor lie within the set.
    grid
        Side of the targets, 3, 5 or 7 squares.
    progress
        Told how far it has come.

    Raises
    ------
    ConfigError
        If there is no such target, or the folder is none beside the set.
    RunStoreError
        If the set cannot be read, or the folder exists or cannot be written; nothing is
        left behind.
    """
    check_grid(grid)
    folder = named(folder, "folder")
    data = Dataset(set_path)
    check_folder(folder, Path(set_path))
    levels, scans = _levels(data), list(_scans(data))
    done, total = 0, sum(info.frames for info, _, _ in scans)
    with draft_beside(folder) as draft:
        draft.mkdir()
        for info, part, first in scans:
            for start in range(0, info.frames, info.columns):
                line = range(start, min(start + info.columns, info.frames))
                frames = part.frames(first + line.start, first + line.stop)
                targets = part.targets(grid, first + line.start, first + line.stop)
                _write_line(draft / info.path, line, levels.of(frames), targets)
                done += len(line)
                progress(done, total)
        folders = tuple(info for info, _, _ in scans)
        description = FoldersInfo(grid=grid, levels=levels, folders=folders)
        text = tomli_w.dumps(description.model_dump(mode="json"))
        (draft / DESCRIPTION).write_text(text, encoding="utf-8")
        os.rename(draft, folder)


def check_folder(folder: Path, *taken: Path) -> None:
    """Refuse a folder that could not be made, or not without what is ``taken``."""
    ours = Path(os.path.realpath(folder))
    for path in (Path(os.path.realpath(path)) for path in taken):
        if ours.is_relative_to(path) or path.is_relative_to(ours):
            raise ConfigError(
                f"{folder}: expected a folder apart from {path.name}; choose another"
            )
    check_absent(folder)
    with draft_beside(folder):
        pass  # it can be written


def _levels(data: Dataset) -> Levels:
    """Spread the levels over all digital numbers of a set, and never finer than those."""
    ends = [
        (frames.min(), frames.max()) for part in data.values() for frames, _ in part.lines(3)
    ]
    lowest, highest = min(low for low, _ in ends), max(high for _, high in ends)
    step = max((float(highest) - float(lowest)) / WHITE, 1.0)
    return Levels(lowest_adu=float(lowest), step_adu=step)


def _scans(data: Dataset) -> Iterator[tuple[FolderInfo, DatasetPart, int]]:
    """Yield the folder of every scan of a set, the scan's part and its first frame there."""
    train_folders = count(1)
    for part in data.values():
        info = part.info
        points = info.rows * info.columns
        for scan in range(info.scans):
            if info.split == "train":
                name = f"A{next(train_folders)}"
            else:
                name = _TEST_NAMES.get(info.name, info.name)
                name += f"{scan + 1}" if info.scans > 1 else ""
            folder = FolderInfo(
                path=f"{SPLIT_FOLDERS[info.split]}/{name}",
                part=info.path,
                rows=info.rows,
                columns=info.columns,
                frames=min(points, len(part) - scan * points),
            )
            yield folder, part, scan * points


def _write_line(
    folder: Path, line: range, images: NDArray[np.uint8], targets: NDArray[np.uint8]
) -> None:
    """Write images and masks of the points of a line, numbered as in ``line``."""
    for kind, pictures in (("img", images), ("mask", targets * np.uint8(WHITE))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for k, picture in zip(line, pictures, strict=True):
            write_image(folder / kind / f"{k}.tif", picture)
