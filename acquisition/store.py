"""The run on disk: ``run.zarr``, readable while it grows and after any crash.

A line of the scan is one chunk. Its pixels and positions are written and synced,
then one journal record per point is appended and synced: only then the points
count. A reader believes the journal and ignores whatever else lies there.
"""

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from pydantic import ValidationError

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from configs.errors import RunStoreError
from configs.instrument import InstrumentConfig
from configs.value import Value

FORMAT: Final = "opticalnet-run-1"
_SPARE_BYTES: Final = 50_000_000


class RunInfo(Value):
    """Everything about a run that is known before its first frame."""

    format: str = FORMAT
    provenance: Provenance
    instrument: InstrumentConfig
    plan: ScanPlan
    sample: str

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a camera image."""
        return self.instrument.optics.image_px, self.instrument.optics.image_px


class RunWriter:
    """Writes a run, line by line.

    Use it as a context manager: on leaving, for whatever reason, the line under
    way is written and the journal closed.

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
        check_output(path, info)
        try:
            self._create(truth)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise RunStoreError(
                f"cannot create run {path}: {error}; choose another --out"
            ) from error

    def _create(self, truth: NDArray[np.float64] | None) -> None:
        plan, scan = self.info.plan, len(self.info.plan)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir()
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
            self._create_landmark(group, plan)
        if truth is not None:
            array = group.create_array("truth", shape=truth.shape, dtype="float32")
            array[:] = truth
        group.attrs["opticalnet"] = self.info.model_dump(mode="json")
        self._journal = (self.path / "journal.jsonl").open("xb")
        _sync(self.path / "zarr.json", self.path, self.path.parent)

    def _create_landmark(self, group: zarr.Group, plan: ScanPlan) -> None:
        assert plan.landmark is not None
        visits = -(-plan.rows // plan.landmark.every_lines)
        shape = (visits, plan.landmark.frames, *self.info.frame_shape)
        landmark = group.create_group("landmark")
        self._landmark_frames = landmark.create_array(
            "frames", shape=shape, chunks=(1, *shape[1:]), dtype="uint16"
        )
        self._landmark_values = {
            name: landmark.create_array(
                name, shape=(visits,), dtype="float64", fill_value=np.nan
            )
            for name in ("residual", "started_s", "line")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._journal.close()

    def add(self, frame: Frame) -> None:
        """Take a frame; it is acknowledged once its line is on disk."""
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
            self._journal.write(b"".join(_journal_record(frame) for frame in line))
            self._journal.flush()
            os.fsync(self._journal.fileno())

    def add_landmark(self, visit: LandmarkVisit) -> None:
        """Keep a visit to the landmark."""
        with self._disk_errors():
            self._landmark_frames[visit.visit] = visit.images
            for name, array in self._landmark_values.items():
                array[visit.visit] = getattr(visit, name)

    def note(self, **events: Any) -> None:
        """Append a record that is no point to the journal."""
        with self._disk_errors():
            self._journal.write(_json_line(events))
            self._journal.flush()
            os.fsync(self._journal.fileno())

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
            free_mb = shutil.disk_usage(self.path).free // 1_000_000
            raise RunStoreError(
                f"cannot write to {self.path}: {error} ({free_mb} MB free);"
                " every line before this one is safe: make room and scan again"
            ) from error


@dataclass(frozen=True, slots=True)
class Points:
    """What happened at each point of a scan; arrays run over the scan index.

    Attributes
    ----------
    status
        (scan,) of ``Status``.
    readback_um
        (scan, 2), measured positions (x, y).
    """

    status: NDArray[np.uint8]
    readback_um: NDArray[np.float64]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(scan,), true where there is a good frame."""
        good: NDArray[np.bool_] = self.status == Status.VALID
        return good


class Run:
    """A run on disk, finished or not.

    Raises
    ------
    RunStoreError
        If there is no run, or one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise RunStoreError(f"no run at {path}; check the path")
        try:
            self._group = zarr.open_group(path, mode="r")
            self.info = RunInfo.model_validate_json(json.dumps(self._group.attrs["opticalnet"]))
        except (OSError, KeyError, zarr.errors.BaseZarrError, json.JSONDecodeError) as error:
            raise RunStoreError(
                f"{path} is no run: expected a Zarr group that opticalnet acquire wrote,"
                f" got: {error}"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RunStoreError(
                f"{path}: expected format {FORMAT}, got {key}: {first['msg']};"
                " read it with the version that wrote it"
            ) from error
        if self.info.format != FORMAT:
            raise RunStoreError(f"{path}: expected format {FORMAT}, got {self.info.format}")

    @property
    def truth(self) -> NDArray[np.float32] | None:
        """(rows, columns) milled fraction of each square, where it is known."""
        if "truth" not in self._group:
            return None
        return self._array("truth")

    def points(self) -> Points:
        """Return the acknowledged points."""
        scan = len(self.info.plan)
        status = np.full(scan, Status.PENDING, np.uint8)
        readback_um = np.full((scan, 2), np.nan)
        for record in self.journal():
            if "index" in record:
                status[record["index"]] = record["status"]
                if record["readback_um"] is not None:
                    readback_um[record["index"]] = record["readback_um"]
        return Points(status, readback_um)

    def journal(self) -> Iterator[dict[str, Any]]:
        """Yield the records of the journal; a torn last line is left out."""
        try:
            lines = (self.path / "journal.jsonl").read_bytes().split(b"\n")
        except OSError as error:
            raise RunStoreError(
                f"{self.path}: expected a readable journal.jsonl: {error}"
            ) from error
        for number, line in enumerate(lines[:-1], 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunStoreError(
                    f"{self.path}: journal line {number} is damaged: {error}"
                ) from error

    def frames(self, row: int) -> NDArray[np.uint16]:
        """Return the camera images of a scan line, (columns, y, x)."""
        columns = self.info.plan.columns
        return self._array("frames", slice(row * columns, (row + 1) * columns))

    def landmark_residuals(self) -> NDArray[np.float64]:
        """Return the normalised residual of each visit to the landmark, (visits,)."""
        if "landmark" not in self._group:
            return np.empty(0)
        residuals: NDArray[np.float64] = self._array("landmark/residual")
        return residuals[np.isfinite(residuals)]

    def _array(self, name: str, part: slice = slice(None)) -> NDArray[Any]:
        try:
            array = self._group[name]
            assert isinstance(array, zarr.Array)
            return np.asarray(array[part])
        except (
            OSError,
            KeyError,
            ValueError,
            RuntimeError,
            zarr.errors.BaseZarrError,
        ) as error:
            raise RunStoreError(
                f"{self.path}: cannot read {name}: {error}; the run is damaged there"
            ) from error


_POINT_ARRAYS: Final = (
    ("target_um", (2,), "float64", np.nan),
    ("readback_um", (2,), "float64", np.nan),
    ("drift_um", (2,), "float64", np.nan),
    ("started_s", (), "float64", np.nan),
    ("attempts", (), "uint8", 0),
    ("status", (), "uint8", int(Status.PENDING)),
)


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


def run_bytes(info: RunInfo) -> int:
    """Return the size of a run on disk, were nothing compressible."""
    pixels = info.frame_shape[0] * info.frame_shape[1]
    visits = 0
    if info.plan.landmark is not None:
        visits = (
            -(-info.plan.rows // info.plan.landmark.every_lines) * info.plan.landmark.frames
        )
    return 2 * pixels * (len(info.plan) + visits)


def check_output(path: Path, info: RunInfo) -> None:
    """Raise ``RunStoreError`` unless a run can be written to a path."""
    if path.exists():
        raise RunStoreError(f"{path} exists already; choose another --out or remove it")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    free, needed = shutil.disk_usage(there).free, run_bytes(info) + _SPARE_BYTES
    if free < needed:
        raise RunStoreError(
            f"disk too small for {path}: expected {needed / 1e6:.0f} MB free,"
            f" got {free / 1e6:.0f} MB; make room or choose another --out"
        )


def _sync(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot sync folders
        handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
