"""A data set on disk, as it is read: a Zarr v3 group.

For every part, under ``<split>/<name>``, arrays that run over frames: ``frames`` (y, x),
one chunk a line of a scan; ``target_3``, ``target_5``, ``target_7`` (row, column), 1 where a
square around the beam is open; ``scan``, ``row``, ``column``, where the frame belongs;
``position_um`` (x, y), where on the sample the beam was, from its centre; ``focus_nm`` and
``power``, relative. Arrays that run over scans: ``coverage`` and ``cells`` of the sample. What
else there is to know is in the attribute ``opticalnet``: ``DatasetInfo``.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationError

from configs.dataset import DatasetPlan, Split
from configs.errors import RunStoreError
from configs.sample import by_name
from configs.value import Value

FORMAT: Final = "opticalnet-set-1"
_DAMAGE: Final = (OSError, KeyError, ValueError, TypeError, zarr.errors.BaseZarrError)


class PartInfo(Value):
    """What a part turned out to be."""

    split: Split
    name: str
    scans: int
    rows: int
    """Points of a scan, down."""
    columns: int
    frames: int
    histogram: dict[str, tuple[int, ...]]
    """For a grid, "3", "5" or "7": number of frames with 0, 1, 2, ... open squares."""

    @property
    def path(self) -> str:
        """Where the part lies within the set."""
        return f"{self.split}/{self.name}"


def _with_file_names(plan: DatasetPlan) -> DatasetPlan:
    """Leave folders out: elsewhere they are others."""
    return plan.with_samples(by_name)


class DatasetInfo(Value):
    """Everything about a data set but its arrays."""

    format: Literal["opticalnet-set-1"] = FORMAT
    simulated: Literal[True] = True
    software: dict[str, str]
    plan: Annotated[DatasetPlan, AfterValidator(_with_file_names)]
    """With the instrument and the seed; of files, their names and checksums."""
    parts: tuple[PartInfo, ...]


class DatasetPart:
    """Frames of one kind of sample, and what they should say.

    Attributes
    ----------
    info
        Split, name and sizes.
    """

    def __init__(self, path: Path, group: zarr.Group, info: PartInfo) -> None:
        self.info = info
        self._path = path
        self._group = group

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.info.frames

    def frames(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint16]:
        """Return camera images, (n, y, x)."""
        return self._read("frames", slice(start, stop))

    def targets(self, grid: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Return which squares around the beam are open, (n, grid, grid), 0 or 1."""
        return self._read(f"target_{grid}", slice(start, stop))

    def points(self, name: str) -> NDArray[Any]:
        """Return one value a frame: scan, row, column, position_um, focus_nm or power."""
        return self._read(name, slice(None))

    def coverage(self, scan: int) -> NDArray[np.float64]:
        """Return the milled fraction of every square of a scan's sample, (rows, columns)."""
        return self._read("coverage", scan)

    def cells(self, scan: int) -> NDArray[np.float64]:
        """Return the milled fraction of every cell of a scan's sample, (rows, columns)."""
        return self._read("cells", scan)

    def lines(self, grid: int) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.uint8]]]:
        """Yield images and targets, one line of a scan at a time: one chunk on disk."""
        step = self.info.columns
        for start in range(0, len(self), step):
            stop = start + step
            yield self.frames(start, stop), self.targets(grid, start, stop)

    def _read(self, name: str, part: slice | int) -> NDArray[Any]:
        try:
            array = self._group[name]
            assert isinstance(array, zarr.Array)
            return np.asarray(array[part])
        except (*_DAMAGE, RuntimeError) as error:
            raise RunStoreError(
                f"{self._path}: cannot read {self.info.path}/{name}: {error};"
                " the set is damaged there: simulate it again"
            ) from error


class Dataset(Mapping[str, DatasetPart]):
    """A data set; its parts by path, such as ``train/block``.

    Raises
    ------
    RunStoreError
        If there is none, or one that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise RunStoreError(f"no data set at {path}; check the path")
        try:
            self._group = zarr.open_group(self.path, mode="r")
            stored = json.dumps(self._group.attrs["opticalnet"])
            self.info = DatasetInfo.model_validate_json(stored)
            self._parts = {info.path: self._part(info) for info in self.info.parts}
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RunStoreError(
                f"{path}: expected format {FORMAT}, got {key}: {first['msg']};"
                " read it with the version that wrote it"
            ) from error
        except _DAMAGE as error:
            raise RunStoreError(
                f"{path} is no data set: expected a Zarr group that opticalnet simulate wrote,"
                f" got: {error}"
            ) from error

    def __getitem__(self, path: str) -> DatasetPart:
        return self._parts[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def _part(self, info: PartInfo) -> DatasetPart:
        group = self._group[info.path]
        assert isinstance(group, zarr.Group)
        frames = group["frames"]
        assert isinstance(frames, zarr.Array)
        # A chunk that is not there reads as zeros, without a word.
        if frames.nchunks_initialized != frames.nchunks:
            raise RunStoreError(
                f"{self.path}: {info.path}: expected {frames.nchunks} lines of frames, got"
                f" {frames.nchunks_initialized}; the set is damaged: simulate it again"
            )
        return DatasetPart(self.path, group, info)
