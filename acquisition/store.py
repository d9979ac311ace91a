"""The run on disk, as it is read: ``run.zarr``, finished or not.

A line of the scan is one chunk; a point counts once its record is in the journal.
A reader believes the journal and ignores whatever else lies there.
"""

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from pydantic import ValidationError

from acquisition.frame import Dither, Frame, FrameLine, Status, off_um
from acquisition.journal import JournalReader, PointRecord
from acquisition.landmark_store import LANDMARK_ARRAYS, read_dither
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from configs.errors import RunStoreError
from configs.instrument import InstrumentConfig
from configs.sample import SampleConfig
from configs.value import Positive, Value

LATEST: Final = 8
"""Frames of which a camera may hold one still, and deliver it once more."""
FORMAT: Final = "opticalnet-run-2"


class RunInfo(Value):
    """Everything about a run that is known before its first frame."""

    format: str = FORMAT
    provenance: Provenance
    instrument: InstrumentConfig
    plan: ScanPlan
    sample: str
    """What the user called it."""
    power_w: Positive | None = None
    """Power of the beam on the sample, as far as it is known."""
    sample_config: SampleConfig | None = None
    """What drew it, with the seed of the plan; None on a real microscope."""

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a camera image."""
        return self.instrument.optics.image_px, self.instrument.optics.image_px

    @property
    def open_peak_e(self) -> float:
        """Photo-electrons at the brightest pixel of an all-open sample."""
        return self.instrument.camera.open_peak_e_per_ms * self.plan.exposure_ms


POINT_ARRAYS: Final = (
    ("target_um", (2,), "float64", np.nan),
    ("correction_um", (2,), "float64", np.nan),
    ("drift_um", (2,), "float64", np.nan),
    ("readback_um", (2,), "float64", np.nan),
    ("focus_um", (), "float64", np.nan),
    ("started_s", (), "float64", np.nan),
    ("settling_s", (), "float64", np.nan),
    ("attempts", (), "uint8", 0),
    ("status", (), "uint8", int(Status.PENDING)),
)
"""What is kept of a point: name, shape, type, and what stands where there is nothing."""


class Points:
    """What happened at each point of a scan; arrays run over the scan index.

    Attributes
    ----------
    columns
        Name to array, (scan, ...), of everything in ``POINT_ARRAYS``.
    crc32
        (scan,), checksum of the pixels.
    repeats
        Further looks at points, by their place in ``repeats/frames``.
    latest_crc32
        Checksums of the latest good frames, in the order in which they were acknowledged.
    """

    def __init__(self, count: int) -> None:
        self.columns: dict[str, NDArray[Any]] = {
            name: np.full((count, *tail), fill, dtype)
            for name, tail, dtype, fill in POINT_ARRAYS
        }
        self.crc32 = np.zeros(count, np.int64)
        self.repeats: dict[int, PointRecord] = {}
        self.latest_crc32: deque[int] = deque(maxlen=LATEST)

    def note(self, record: PointRecord) -> None:
        """Enter a record of the journal."""
        if record.status is Status.VALID:
            self.latest_crc32.append(record.crc32)
        if record.repeat is not None:
            self.repeats[record.repeat] = record
            return
        for name, _, _, fill in POINT_ARRAYS:
            value = getattr(record, name)
            self.columns[name][record.index] = fill if value is None else value
        self.crc32[record.index] = record.crc32

    def record(self, index: int, repeat: int | None = None) -> PointRecord:
        """Return what is known of a point that was taken, or of a further look at it."""
        if repeat is not None:
            return self.repeats[repeat]
        values = {name: array[index].tolist() for name, array in self.columns.items()}
        known = {name: v for name, v in values.items() if not np.isnan(v).any()}
        known = {"readback_um": None} | known | {"status": Status(known["status"])}
        return PointRecord(index=index, crc32=int(self.crc32[index]), **known)

    def forget(self, indices: list[int]) -> None:
        """Let some points be as if they had not been taken."""
        self.status[indices] = Status.PENDING

    def only(self, chosen: NDArray[np.bool_]) -> "Points":
        """Return the same points, (scan,), as if all others had not been taken."""
        some = copy(self)
        status = np.where(chosen, self.status, np.uint8(Status.PENDING))
        some.columns = self.columns | {"status": status}
        return some

    @property
    def status(self) -> NDArray[np.uint8]:
        """(scan,) of ``Status``."""
        return self.columns["status"]

    @property
    def readback_um(self) -> NDArray[np.float64]:
        """(scan, 2), measured positions (x, y); NaN where there is none."""
        return self.columns["readback_um"]

    @property
    def drift_um(self) -> NDArray[np.float64]:
        """(scan, 2), by how much the sample had moved, on the stage; NaN where unknown."""
        return self.columns["drift_um"]

    @property
    def latest_s(self) -> float:
        """Beginning of the latest exposure, seconds since the scan began."""
        further_s = [record.started_s for record in self.repeats.values()]
        return float(np.nanmax([0.0, *further_s, *self.columns["started_s"]]))

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(scan,), true where there is a good frame."""
        good: NDArray[np.bool_] = self.status == Status.VALID
        return good

    @property
    def taken(self) -> NDArray[np.bool_]:
        """(scan,), true where a point was taken, valid or not."""
        taken: NDArray[np.bool_] = self.status != Status.PENDING
        return taken

    def count(self, status: Status) -> int:
        """Return how many points are in a status."""
        return int((self.status == status).sum())


class Run:
    """A run on disk, finished or not.

    Raises
    ------
    RunStoreError
        If there is no run, or one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.exists():
                raise RunStoreError(f"no run at {path}; check the path")
            self._group = zarr.open_group(path, mode="r")
            self.info = RunInfo.model_validate_json(json.dumps(self._group.attrs["opticalnet"]))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RunStoreError(
                f"{path}: expected format {FORMAT}, got {key}: {first['msg']};"
                " read it with the version that wrote it"
            ) from error
        except (OSError, KeyError, ValueError, TypeError, zarr.errors.BaseZarrError) as error:
            raise RunStoreError(
                f"{path} is no run: expected a Zarr group that opticalnet acquire wrote,"
                f" got: {error}"
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
        return self.points_of(self.journal_reader())

    def points_of(self, journal: JournalReader) -> Points:
        """Return the points of which a journal tells."""
        points = Points(len(self.info.plan))
        for record in journal.records():
            points.note(record)
        return points

    def journal(self) -> Iterator[PointRecord]:
        """Yield the records of the journal; a torn last line is left out."""
        return self.journal_reader().records()

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal, at its beginning."""
        return JournalReader(self.path, len(self.info.plan))

    def lines(self, points: Points) -> Iterator[FrameLine]:
        """Yield the good frames of every line."""
        return (self.valid_frames(row, points) for row in range(self.info.plan.rows))

    def growing_lines(self, wait: Callable[[], object]) -> Iterator[FrameLine]:
        """Yield the good frames of every line once it is whole, until all have come.

        Parameters
        ----------
        wait
            Called while nothing new is there.
        """
        plan = self.info.plan
        points, reader = Points(len(plan)), self.journal_reader()
        left = set(range(plan.rows))
        while left:
            for record in reader.records():
                points.note(record)
            taken = points.taken.reshape(plan.rows, plan.columns)
            for row in sorted(left.intersection(np.flatnonzero(taken.all(axis=1)).tolist())):
                left.remove(row)
                yield self.valid_frames(row, points)
            if left:
                wait()

    def frames(self, row: int) -> NDArray[np.uint16]:
        """Return the camera images of a scan line, (columns, y, x)."""
        columns = self.info.plan.columns
        return self._array("frames", slice(row * columns, (row + 1) * columns))

    def valid_frames(self, row: int, points: Points) -> FrameLine:
        """Return the good frames of a line; further looks that are damaged are left out.

        Raises
        ------
        RunStoreError
            If an image is not the one that was acknowledged.
        """
        plan = self.info.plan
        columns, images = self._valid_images(row, points)
        indices = row * plan.columns + columns
        if damaged := _damaged(indices, images, points.crc32[indices]):
            raise RunStoreError(
                f"{self.path}: the image of point {damaged[0]} is not the one that was"
                " recorded: its checksum differs; the run is damaged there"
            )
        # A sample of which nothing is known is taken to be where the scan took it to be.
        unknown = np.isnan(points.drift_um)
        drift_um = np.where(unknown, points.columns["correction_um"], points.drift_um)
        places = [(points.readback_um[index], drift_um[index]) for index in indices]
        for slot, record in points.repeats.items():
            is_good = record.status is Status.VALID and points.valid[record.index]
            if record.index // plan.columns == row and is_good:
                image = self._repeat(slot, record)
                if image is None:
                    continue
                columns = np.append(columns, record.index % plan.columns)
                images = np.concatenate([images, image[None]])
                places.append((record.readback_um, record.drift_um or record.correction_um))
        readback_um, drift_um = np.array(places, np.float64).reshape(-1, 2, 2).swapaxes(0, 1)
        there = [plan.point(row, int(column)) for column in columns]
        return FrameLine(
            row, columns, images, off_um(plan.geometry, there, readback_um, drift_um)
        )

    def _repeat(self, slot: int, record: PointRecord) -> NDArray[np.uint16] | None:
        """Return the image, (y, x), of a further look at a point; ``None``: it is damaged."""
        try:
            image: NDArray[np.uint16] = self._array("repeats/frames", slice(slot, slot + 1))
        except RunStoreError:
            return None
        crc32 = np.array([record.crc32])
        if len(image) != 1 or _damaged(np.array([record.index]), image, crc32):
            return None
        one: NDArray[np.uint16] = image[0]
        return one

    def damaged_repeats(self, points: Points) -> list[int]:
        """Return which further looks are not those that were recorded."""
        looks = points.repeats.items()
        return [slot for slot, record in looks if self._repeat(slot, record) is None]

    def damaged(self, row: int, points: Points) -> list[int]:
        """Return the valid points of a line whose images are not those that were recorded."""
        plan = self.info.plan
        valid = np.flatnonzero(points.valid[row * plan.columns : (row + 1) * plan.columns])
        try:
            columns, images = self._valid_images(row, points)
        except RunStoreError:  # nothing of the line can be read
            return (row * plan.columns + valid).tolist()
        indices = row * plan.columns + columns
        return _damaged(indices, images, points.crc32[indices])

    def _valid_images(
        self, row: int, points: Points
    ) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """Columns (n,) and images (n, y, x) of the good frames of a line."""
        columns = self.info.plan.columns
        valid = np.flatnonzero(points.valid[row * columns : (row + 1) * columns])
        if not valid.size:
            return valid, np.empty((0, *self.info.frame_shape), np.uint16)
        return valid, self.frames(row)[valid]

    def good_frames(self, points: Points) -> Iterator[Frame]:
        """Yield the good frames of a run, as they came from the scan."""
        plan, columns = self.info.plan, points.columns
        for row in range(plan.rows):
            for column, image in zip(*self._valid_images(row, points), strict=True):
                point = plan.point(row, int(column))
                drift_um = points.drift_um[point.index]
                focus_um = float(columns["focus_um"][point.index])
                yield Frame(
                    point,
                    image,
                    tuple(columns["readback_um"][point.index]),
                    float(columns["started_s"][point.index]),
                    int(columns["attempts"][point.index]),
                    Status.VALID,
                    correction_um=tuple(columns["correction_um"][point.index]),
                    drift_um=None if np.isnan(drift_um).any() else tuple(drift_um),
                    focus_um=None if np.isnan(focus_um) else focus_um,
                )

    def landmark(self) -> dict[str, NDArray[np.float64]]:
        """Return what the visits to the landmark said: name to array, (visits, ...).

        The names are those of ``LandmarkVisit``; nothing where the sample is not watched.
        """
        if "landmark" not in self._group:
            return {}
        values = {name: self._array(f"landmark/{name}") for name, _ in LANDMARK_ARRAYS}
        whole = min(len(array) for array in values.values())
        return {name: array[:whole] for name, array in values.items()}

    def dither(self) -> Dither | None:
        """Return what the landmark was learnt from last; ``None`` if it was not."""
        return read_dither(self._group)

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


def _damaged(
    indices: NDArray[np.int64], images: NDArray[np.uint16], crc32: NDArray[np.int64]
) -> list[int]:
    """Return the indices of the images that have another checksum."""
    return [
        int(index)
        for index, image, expected in zip(indices, images, crc32, strict=True)
        if zlib.crc32(image.tobytes()) != expected
    ]
