"""The run on disk, as it is read: ``run.zarr``, finished or not.

A line of the scan is one chunk; a point counts once its record is in the journal.
A reader believes the journal and ignores whatever else lies there.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from pydantic import ValidationError

from acquisition.frame import FrameLine, Status, off_um
from acquisition.journal import JournalReader
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from configs.errors import RunStoreError
from configs.instrument import InstrumentConfig
from configs.sample import SampleConfig
from configs.value import Value

FORMAT: Final = "opticalnet-run-1"


class RunInfo(Value):
    """Everything about a run that is known before its first frame."""

    format: str = FORMAT
    provenance: Provenance
    instrument: InstrumentConfig
    plan: ScanPlan
    sample: str
    """What the user called it."""
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


@dataclass(slots=True)
class Points:
    """What happened at each point of a scan; arrays run over the scan index.

    Attributes
    ----------
    status
        (scan,) of ``Status``.
    readback_um
        (scan, 2), measured positions (x, y).
    crc32
        (scan,), checksum of the pixels.
    """

    status: NDArray[np.uint8]
    readback_um: NDArray[np.float64]
    crc32: NDArray[np.int64]

    @classmethod
    def pending(cls, count: int) -> Self:
        """Return points of which nothing has happened yet."""
        status = np.full(count, Status.PENDING, np.uint8)
        return cls(status, np.full((count, 2), np.nan), np.zeros(count, np.int64))

    def note(self, record: dict[str, Any]) -> None:
        """Enter a record of the journal."""
        index = record["index"]
        self.status[index], self.crc32[index] = record["status"], record["crc32"]
        if record["readback_um"] is not None:
            self.readback_um[index] = record["readback_um"]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(scan,), true where there is a good frame."""
        good: NDArray[np.bool_] = self.status == Status.VALID
        return good

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
        points = Points.pending(len(self.info.plan))
        for record in self.journal():
            points.note(record)
        return points

    def journal(self) -> Iterator[dict[str, Any]]:
        """Yield the records of the journal, one a point; a torn last line is left out."""
        return JournalReader(self.path, len(self.info.plan)).records()

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
        points, reader = Points.pending(len(plan)), JournalReader(self.path, len(plan))
        left = set(range(plan.rows))
        while left:
            for record in reader.records():
                points.note(record)
            taken = (points.status != Status.PENDING).reshape(plan.rows, plan.columns)
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
        """Return the good frames of a line.

        Raises
        ------
        RunStoreError
            If an image is not the one that was acknowledged.
        """
        plan = self.info.plan
        columns = np.flatnonzero(points.valid[row * plan.columns : (row + 1) * plan.columns])
        indices = row * plan.columns + columns
        images = np.empty((0, *self.info.frame_shape), np.uint16)
        if columns.size:
            images = self.frames(row)[columns]
        for index, image in zip(indices, images, strict=True):
            if zlib.crc32(image.tobytes()) != points.crc32[index]:
                raise RunStoreError(
                    f"{self.path}: the image of point {index} is not the one that was recorded:"
                    " its checksum differs; the run is damaged there"
                )
        readback = [
            (plan.point(row, int(i % plan.columns)), points.readback_um[i]) for i in indices
        ]
        return FrameLine(row, columns, images, off_um(plan.geometry, readback))

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
