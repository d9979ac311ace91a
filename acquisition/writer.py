"""Writing a run, durably.

Pixels and positions of a line are written and synced, then one journal record per
point is appended and synced: only then the points count.
"""

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.journal import JOURNAL
from acquisition.plan import ScanPlan
from acquisition.store import RunInfo
from configs.errors import RunStoreError

_SPARE_BYTES: Final = 50_000_000
_POINT_ARRAYS: Final = (
    ("target_um", (2,), "float64", np.nan),
    ("readback_um", (2,), "float64", np.nan),
    ("drift_um", (2,), "float64", np.nan),
    ("started_s", (), "float64", np.nan),
    ("attempts", (), "uint8", 0),
    ("status", (), "uint8", int(Status.PENDING)),
)


class RunWriter:
    """Writes a run, line by line.

    Use it as a context manager: on leaving, for whatever reason, the line under
    way is written and the journal closed. A run that fails before its first frame
    leaves nothing behind.

    Raises
    ------
    RunStoreError
        If the path exists, cannot be written, or the disk is too small.
    """

    def __init__(
        self, path: Path, info: RunInfo, truth: NDArray[np.float64] | None = None
    ) -> None:
        self.path = path
        self.info = info
        self._line: list[Frame] = []
        self._empty = True
        check_output(path, info.plan, info.instrument.optics.image_px)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except OSError as error:
            raise _cannot_create(path, error) from error
        try:
            self._create(truth)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise _cannot_create(path, error) from error

    def _create(self, truth: NDArray[np.float64] | None) -> None:
        plan, scan = self.info.plan, len(self.info.plan)
        group = zarr.create_group(self.path, zarr_format=3)
        line = plan.columns
        self._frames = group.create_array(
            "frames",
            shape=(scan, *self.info.frame_shape),
            chunks=(line, *self.info.frame_shape),
            dtype="uint16",
            dimension_names=("scan", "y", "x"),
        )
        points = group.create_group("points")
        self._points = {
            name: points.create_array(
                name,
                shape=(scan, *tail),
                chunks=(line, *tail),
                dtype=dtype,
                fill_value=fill,
                compressors=None,
            )
            for name, tail, dtype, fill in _POINT_ARRAYS
        }
        if plan.landmark is not None:
            self._create_landmark(group, plan.landmark_visits, plan.landmark.frames)
        if truth is not None:
            array = group.create_array("truth", shape=truth.shape, dtype="float32")
            array[:] = truth
        group.attrs["opticalnet"] = self.info.model_dump(mode="json")
        self._journal = (self.path / JOURNAL).open("xb", buffering=0)
        _sync(self.path / "zarr.json", self.path, self.path.parent)

    def _create_landmark(self, group: zarr.Group, visits: int, frames: int) -> None:
        shape = (visits, frames, *self.info.frame_shape)
        landmark = group.create_group("landmark")
        self._landmark_frames = landmark.create_array(
            "frames", shape=shape, chunks=(1, *shape[1:]), dtype="uint16"
        )
        self._landmark_values = {
            name: landmark.create_array(
                name, shape=(visits, *tail), dtype="float64", fill_value=np.nan
            )
            for name, tail in (
                ("residual", ()),
                ("started_s", ()),
                ("line", ()),
                ("target_um", (2,)),
            )
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._journal.close()
            if error is not None and self._empty:
                shutil.rmtree(self.path, ignore_errors=True)

    def add(self, frame: Frame) -> None:
        """Take a frame; it is acknowledged once its line is on disk."""
        self._empty = False
        self._line.append(frame)
        if len(self._line) == self.info.plan.columns:
            self.flush()

    def flush(self) -> None:
        """Write the line under way, whole or not, and acknowledge it."""
        if not self._line:
            return
        line, self._line = self._line, []
        with self._disk_errors():
            self._write_points(line)
            self._append(b"".join(_journal_record(frame) for frame in line))

    def add_landmark(self, visit: LandmarkVisit) -> None:
        """Keep a visit to the landmark."""
        self._empty = False
        with self._disk_errors():
            self._landmark_frames[visit.visit] = visit.images
            for name, array in self._landmark_values.items():
                array[visit.visit] = getattr(visit, name)
            chunks = self.path / "landmark" / "frames" / "c" / str(visit.visit)
            _sync(chunks / "0" / "0" / "0")

    def _append(self, records: bytes) -> None:
        """Write and sync journal records: all of them, or none."""
        end = self._journal.tell()
        try:
            written = 0
            while written < len(records):
                written += self._journal.write(records[written:])
            os.fsync(self._journal.fileno())
        except OSError:
            self._journal.seek(end)
            self._journal.truncate()
            raise

    def _write_points(self, line: list[Frame]) -> None:
        """Write and sync the chunk of a line; points not reached stay as they were."""
        plan = self.info.plan
        row = line[0].point.row
        start = row * plan.columns
        slots = [frame.point.index - start for frame in line]
        images = np.zeros((plan.columns, *self.info.frame_shape), np.uint16)
        images[slots] = [frame.image for frame in line]
        span = slice(start, start + plan.columns)
        self._frames[span] = images
        columns = {
            "target_um": [frame.point.target_um for frame in line],
            "readback_um": [frame.readback_um for frame in line],
            "started_s": [frame.started_s for frame in line],
            "attempts": [frame.attempts for frame in line],
            "status": [frame.status for frame in line],
        }
        paths = [self.path / "frames" / "c" / str(row) / "0" / "0"]
        for name, tail, dtype, fill in _POINT_ARRAYS:
            values = np.full((plan.columns, *tail), fill, dtype)
            if name in columns:
                values[slots] = columns[name]
            self._points[name][span] = values
            paths.append(
                self.path.joinpath("points", name, "c", str(row), *("0" for _ in tail))
            )
        _sync(*(path for path in paths if path.exists()))

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunStoreError(
                f"cannot write to {self.path}: {error} ({_free_mb(self.path)} MB free);"
                " every line before this one is safe: make room and scan again"
            ) from error


def _journal_record(frame: Frame) -> bytes:
    return _json_line(
        {
            "index": frame.point.index,
            "target_um": frame.point.target_um,
            "readback_um": None if math.isnan(frame.readback_um[0]) else frame.readback_um,
            "started_s": frame.started_s,
            "attempts": frame.attempts,
            "status": int(frame.status),
            "reason": frame.reason,
            "crc32": zlib.crc32(frame.image.tobytes()),
        }
    )


def _json_line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def run_bytes(plan: ScanPlan, image_px: int) -> int:
    """Return the size of a run on disk, were nothing compressible."""
    frames = len(plan)
    if plan.landmark is not None:
        frames += plan.landmark_visits * plan.landmark.frames
    return 2 * image_px**2 * frames


def check_output(path: Path, plan: ScanPlan, image_px: int) -> None:
    """Raise ``RunStoreError`` unless a run can be written to a path."""
    try:
        there_already, free_mb = path.exists(), _free_mb(path)
    except OSError as error:
        raise _cannot_create(path, error) from error
    if there_already:
        raise RunStoreError(f"{path} exists already; choose another --out or remove it")
    needed_mb = (run_bytes(plan, image_px) + _SPARE_BYTES) / 1e6
    if free_mb < needed_mb:
        raise RunStoreError(
            f"disk too small for {path}: expected {needed_mb:.0f} MB free,"
            f" got {free_mb} MB; make room or choose another --out"
        )


def _free_mb(path: Path) -> int:
    """Return the room on the disk that a path lies on, or would lie on."""
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free // 1_000_000


def _cannot_create(path: Path, error: OSError) -> RunStoreError:
    return RunStoreError(f"cannot create run {path}: {error}; choose another --out")


def _sync(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot sync folders
        handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
