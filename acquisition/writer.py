"""Writing a run, durably.

A thread of its own writes pixels and positions line by line, and no later than half a
second after a frame came, whatever the scan is waiting for; then a record per point is
appended to the journal: only then the points count.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Final, Self

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from acquisition.creation import create_run, discard_run
from acquisition.disk import Disk, DurableStore, free_bytes, remove_unfinished
from acquisition.frame import Dither, Frame, LandmarkVisit, Status
from acquisition.journal import JournalWriter, PointRecord
from acquisition.landmark_store import LANDMARK_ARRAYS, write_dither
from acquisition.store import POINT_ARRAYS, Points, Run, RunInfo
from configs.errors import RunStoreError

_LONGEST_WAIT_S: Final = 0.5
"""Until a frame is written, whether its line is whole or not."""
_LOCK: Final = "writer.lock"
_COPY_EVERY_S: Final = 2.0
"""The journal says it all; its copy in ``points/`` may be a little behind."""

_Item = Frame | Dither | LandmarkVisit | PointRecord


class RunWriter:
    """Appends to a run, new or begun before.

    Use it as a context manager: on leaving, for whatever reason, everything it took is
    written. A new run that fails before its first frame leaves nothing behind.

    A disk that is full or gone loses nothing: what could not be written is kept, ``add``
    raises, and ``flush`` tries again.
    """

    def __init__(self, run: Run, disk: Disk | None = None) -> None:
        self._run, self.info, self.path = run, run.info, run.path
        disk = disk or Disk()
        self._alone = _claim(run.path)
        remove_unfinished(run.path)
        self._arrays = _Arrays(run.path, disk, run.info)
        reader = run.journal_reader()
        self.points = run.points_of(reader)
        self._new = False
        self._unsaved = np.flatnonzero(self.points.taken).tolist()
        self._saved_s = 0.0
        self._journal = JournalWriter(run.path, reader.bytes_read, disk)
        self._waiting: list[_Item] = []
        self._due_s = np.inf
        self._trouble: Exception | None = None
        self._closing = self._is_flushing = False
        self._changed = Condition()
        self._thread = Thread(target=self._serve, name="run writer", daemon=True)
        self._thread.start()

    @classmethod
    def create(
        cls,
        path: Path,
        info: RunInfo,
        truth: NDArray[np.float64] | None = None,
        disk: Disk | None = None,
    ) -> Self:
        """Create a run and append to it, with ``disk``; see ``create_run``."""
        create_run(path, info, truth)
        writer = cls(Run(path), disk)
        writer._new = True
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self.flush()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._thread.join()
            self._alone.release()
            if error is not None and self._new and self._arrays.untouched:
                discard_run(self.path)

    def frames_there(self) -> Iterator[Frame]:
        """Yield the good frames that the run has already, line by line."""
        return self._run.good_frames(self.points)

    def records_there(self) -> Iterator[PointRecord]:
        """Yield what the journal has already."""
        return self._run.journal()

    def landmark_there(self) -> tuple[Dither | None, dict[str, NDArray[np.float64]]]:
        """Return what the landmark was learnt from before, and what its visits said."""
        return self._run.dither(), self._run.landmark()

    def add(self, frame: Frame) -> None:
        """Take a frame; it is acknowledged once it is on disk.

        Returns once less than a line waits: with the frame that is taken next, no more than
        a line is lost, whenever the process is killed.

        Raises
        ------
        RunStoreError
            If the disk takes no more. This frame, too, is kept: do not give it again.
        """
        with self._changed:
            self._waiting.append(frame)
            if len(self._waiting) == 1 or self._is_line_waiting:
                self._due_s = self._soon_s()
                self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_line_waiting or self._trouble)
            self._raise_trouble()

    def add_landmark(self, seen: Dither | LandmarkVisit) -> None:
        """Keep a look at the landmark."""
        with self._changed:
            self._waiting.append(seen)
            self._due_s = -np.inf
            self._changed.notify_all()
            self._raise_trouble()

    def withdraw(self, frames: Sequence[tuple[int, int | None]], reason: str) -> None:
        """Let frames on disk, by (point, repeat), be good no longer: records of no attempts."""
        told = {"status": Status.INVALID, "reason": reason, "attempts": 0}
        records = [self.points.record(*frame).changed(**told) for frame in frames]
        with self._changed:
            self._waiting += records
            self._due_s = -np.inf
            self._changed.notify_all()
            self._raise_trouble()

    def flush(self) -> None:
        """Return once everything is on disk; ``RunStoreError`` if it takes it not."""
        with self._changed:
            self._trouble, self._is_flushing = None, True
            self._due_s = -np.inf
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_flushing or self._trouble)
            self._raise_trouble()

    @property
    def _is_line_waiting(self) -> bool:
        """Whether no more may wait."""
        return len(self._waiting) >= self.info.plan.columns

    def _soon_s(self) -> float:
        """Return when what waits is to be written, if all is well."""
        if self._is_flushing or self._is_line_waiting:
            return -np.inf
        return time.monotonic() + _LONGEST_WAIT_S if self._waiting else np.inf

    def _raise_trouble(self) -> None:
        if isinstance(self._trouble, OSError):
            free_mb = free_bytes(self.path) // 1_000_000
            raise RunStoreError(
                f"cannot write to {self.path}: {self._trouble} ({free_mb} MB free);"
                " everything acknowledged is safe: make room"
            ) from self._trouble
        if self._trouble is not None:
            raise self._trouble

    def _serve(self) -> None:
        """Write what waits when it is due, until the end."""
        while True:
            with self._changed:
                while not self._closing and (left_s := self._due_s - time.monotonic()) > 0:
                    self._changed.wait(None if left_s == np.inf else left_s)
                if self._closing:
                    return
                batch = self._waiting.copy()
            trouble = self._tried(partial(self._write, batch))
            with self._changed:
                self._is_flushing &= bool(self._waiting or self._unsaved)
                self._trouble = trouble
                self._due_s = self._soon_s() if trouble is None else np.inf
                self._changed.notify_all()

    def _tried(self, action: Callable[[], None]) -> Exception | None:
        """Write something, or say why not."""
        try:
            action()
        except Exception as error:  # belongs to the scan, not to this thread
            return error
        return None

    def _write(self, batch: Sequence[_Item]) -> None:
        lines: dict[int, list[Frame]] = {}
        taken_back: list[PointRecord] = []
        for item in batch:
            if isinstance(item, Frame) and item.repeat is not None:
                self._write_repeat(item)
            elif isinstance(item, Frame):
                lines.setdefault(item.point.row, []).append(item)
            elif isinstance(item, PointRecord):
                taken_back.append(item)
            else:
                self._arrays.write_landmark(item)
                self._done([item])
        if taken_back:
            self._enter(taken_back)
            self._done(taken_back)
        for row, frames in lines.items():
            records = [PointRecord.of(frame) for frame in frames]
            columns = self.info.plan.columns
            in_line = self.points.valid[row * columns : (row + 1) * columns]
            self._arrays.write_images(row, frames, is_new=not in_line.any())
            self._enter(records)
            self._done(frames)
        if self._is_flushing or time.monotonic() > self._saved_s + _COPY_EVERY_S:
            self._save_points()

    def _write_repeat(self, frame: Frame) -> None:
        record = PointRecord.of(frame)
        self._arrays.write_repeat(frame)
        self._enter([record])
        self._done([frame])

    def _enter(self, records: Sequence[PointRecord]) -> None:
        """Have the journal tell of points, and know it."""
        self._journal.append(records)
        for record in records:
            self.points.note(record)
            self._unsaved += [] if record.repeat is not None else [record.index]

    def _done(self, items: Sequence[_Item]) -> None:
        """Let go of what is on disk: no second try writes it again."""
        done = {id(item) for item in items}
        with self._changed:
            self._waiting = [item for item in self._waiting if id(item) not in done]

    def _save_points(self) -> None:
        """Bring the copy of the journal up to date."""
        self._saved_s = time.monotonic()
        if self._unsaved:
            dirty = range(min(self._unsaved), max(self._unsaved) + 1)
            self._arrays.write_points(self.points, dirty)
            self._unsaved.clear()


def _claim(run: Path) -> FileLock:
    """Return the lock of a run, held until it is released or the process ends."""
    lock = FileLock(run / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunStoreError(
            f"{run}: expected a run that nobody writes, got one that is being scanned by"
            " another process; wait for its end, or stop it"
        ) from None
    except OSError as error:
        raise RunStoreError(f"cannot write to {run}: {error}; make it writable") from error
    return lock


class _Arrays:
    """The arrays of a run; what a line of them has already is kept."""

    def __init__(self, run: Path, disk: Disk, info: RunInfo) -> None:
        self.untouched = True
        self._columns = info.plan.columns
        group = zarr.open_group(DurableStore(run, disk), mode="r+")
        self._frames, self._repeats = _array(group, "frames"), _array(group, "repeats/frames")
        self._points = {
            name: _array(group, f"points/{name}")
            for name, *_ in POINT_ARRAYS
            if f"points/{name}" in group  # a run from before there was one has none
        }
        self._group, self._landmark = group, {}
        if info.plan.landmark is not None:
            names = ("frames", *(name for name, _ in LANDMARK_ARRAYS))
            self._landmark = {name: _array(group, f"landmark/{name}") for name in names}
        self._row = -1
        self._line = np.zeros((self._columns, *info.frame_shape), np.uint16)

    def write_images(self, row: int, frames: Sequence[Frame], *, is_new: bool) -> None:
        """Write images into their line, which has others already unless it is new."""
        self.untouched = False
        span = slice(row * self._columns, (row + 1) * self._columns)
        if row != self._row:
            self._row = row
            self._line[:] = 0 if is_new else self._frames[span]
        for frame in frames:
            self._line[frame.point.column] = frame.image
        self._frames[span] = self._line

    def write_repeat(self, frame: Frame) -> None:
        """Write a further look at a point."""
        assert frame.repeat is not None, "it is one"
        self._repeats.resize(
            (max(frame.repeat + 1, self._repeats.shape[0]), *frame.image.shape)
        )
        self._repeats[frame.repeat] = frame.image

    def write_points(self, points: Points, dirty: range) -> None:
        """Write what the journal says of some points: a copy, for readers of Zarr."""
        for name, array in self._points.items():
            chunk = array.chunks[0]
            first = dirty.start // chunk * chunk
            span = slice(first, min(-(-dirty.stop // chunk) * chunk, array.shape[0]))
            array[span] = points.columns[name][span]

    def write_landmark(self, seen: Dither | LandmarkVisit) -> None:
        """Keep a look at the landmark."""
        self.untouched = False
        if isinstance(seen, Dither):
            write_dither(self._group, seen)
            return
        for name, array in self._landmark.items():
            array.resize((max(seen.visit + 1, array.shape[0]), *array.shape[1:]))
            array[seen.visit] = seen.images if name == "frames" else getattr(seen, name)


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array
