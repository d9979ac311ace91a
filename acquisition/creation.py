"""A new run on disk: its arrays, empty, and what is known of it before its first frame."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from acquisition.disk import (
    Disk,
    DurableStore,
    free_bytes,
    make_folder,
    sync_folder,
    what_exists,
)
from acquisition.journal import JOURNAL
from acquisition.landmark_store import FRAME_CODEC, LANDMARK_ARRAYS
from acquisition.plan import ScanPlan
from acquisition.store import POINT_ARRAYS, RunInfo
from configs.errors import RunStoreError
from configs.instrument import InstrumentConfig

_CHUNK_POINTS: Final = 4096
_LONGEST_WAIT_S: Final = 5.0
"""For another process that creates the same run."""


def create_run(path: Path, info: RunInfo, truth: NDArray[np.float64] | None = None) -> None:
    """Create a run without frames: all of it, durably, or nothing by that name.

    It is made beside its path and renamed. What a killed process left of it is removed.

    Parameters
    ----------
    path
        Of the run.
    info
        All that is known of it.
    truth
        (rows, columns), milled fraction of each square, where that is known.

    Raises
    ------
    RunStoreError
        If the path exists, cannot be written, is being created by another process, or the
        disk is too small.
    """
    check_output(path, info.plan, info.instrument)
    try:
        with _draft_of(path) as draft:
            check_output(path, info.plan, info.instrument)  # nobody was faster meanwhile
            _create_arrays(draft, info, truth)
            Disk().replace(draft / JOURNAL, memoryview(b""))
            draft.rename(path)
            sync_folder(path.parent)
    except OSError as error:
        raise _cannot_create(path, error) from error


def discard_run(path: Path) -> None:
    """Remove a run, as far as the disk lets one: all of it, or nothing."""
    with suppress(OSError, RunStoreError), _draft_of(path) as draft:
        path.rename(draft)


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """Give a path beside a run, for one process at a time; what is there then is removed."""
    folder = path.with_name(f".draft-{path.name}")
    # The lock is not in the draft: Windows renames no folder in which a file is open.
    draft, lock = folder / path.name, FileLock(folder / "lock")
    _claim(path, folder, lock)
    try:
        if draft.exists():
            shutil.rmtree(draft)  # its process was killed
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # Windows removes no open file, but does so on release
            Path(lock.lock_file).unlink()
        lock.release()
        with suppress(OSError):  # another process is in it by now
            folder.rmdir()


def _claim(path: Path, folder: Path, lock: FileLock) -> None:
    """Take the lock in a folder, which is made, and may be removed by whoever had it."""
    while not lock.is_locked:
        make_folder(folder)
        try:
            lock.acquire(timeout=_LONGEST_WAIT_S)
        except FileNotFoundError:
            continue  # the folder has just gone
        except Timeout:
            raise RunStoreError(
                f"{path}: expected a path of its own, got one that another process is"
                " creating a run at; wait for its end, or choose another --out"
            ) from None


def _create_arrays(path: Path, info: RunInfo, truth: NDArray[np.float64] | None) -> None:
    plan, scan = info.plan, len(info.plan)
    group = zarr.create_group(DurableStore(path, Disk()), zarr_format=3)
    group.create_array(
        "frames",
        shape=(scan, *info.frame_shape),
        chunks=(plan.columns, *info.frame_shape),
        dtype="uint16",
        compressors=FRAME_CODEC,
        dimension_names=("scan", "y", "x"),
    )
    group.create_array(
        "repeats/frames",
        shape=(0, *info.frame_shape),
        chunks=(1, *info.frame_shape),
        dtype="uint16",
        compressors=FRAME_CODEC,
        dimension_names=("repeat", "y", "x"),
    )
    points = group.create_group("points")
    for name, tail, dtype, fill in POINT_ARRAYS:
        points.create_array(
            name,
            shape=(scan, *tail),
            chunks=(_CHUNK_POINTS, *tail),
            dtype=dtype,
            fill_value=fill,
            compressors=None,
        )
    if plan.landmark is not None:
        _create_landmark(group, plan, info.frame_shape, info.instrument.axes)
    if truth is not None:
        array = group.create_array("truth", shape=truth.shape, dtype="float32")
        array[:] = truth
    group.attrs["opticalnet"] = info.model_dump(mode="json")


def _create_landmark(
    group: zarr.Group, plan: ScanPlan, frame_shape: tuple[int, int], axes: int
) -> None:
    assert plan.landmark is not None
    frames = (plan.landmark.frames, *frame_shape)
    landmark = group.create_group("landmark")
    landmark.create_array(
        "frames",
        shape=(0, *frames),
        chunks=(1, *frames),
        dtype="uint16",
        compressors=FRAME_CODEC,
    )
    for name, per_axis in LANDMARK_ARRAYS:
        tail = (axes,) if per_axis else ()
        landmark.create_array(
            name,
            shape=(0, *tail),
            chunks=(64, *tail),
            dtype="float64",
            fill_value=np.nan,
            compressors=None,
        )


def run_bytes(plan: ScanPlan, image_px: int) -> int:
    """Return the largest size of a run on disk, were nothing compressible."""
    frames = math.ceil((1 + plan.finish.share) * len(plan)) + plan.landmark_frames
    return 2 * image_px**2 * frames


def check_output(path: Path, plan: ScanPlan, instrument: InstrumentConfig) -> None:
    """Raise ``RunStoreError`` unless a run can be written to a path."""
    check_absent(path)
    free = free_bytes(path)
    needed = run_bytes(plan, instrument.optics.image_px) + 1e6 * instrument.limits.free_mb
    if free < needed:
        raise RunStoreError(
            f"disk too small for {path}: expected {needed / 1e6:.0f} MB free,"
            f" got {free // 1_000_000} MB; make room or choose another --out"
        )


def check_absent(path: Path) -> None:
    """Raise ``RunStoreError`` if there is something at a path, or nobody may look."""
    try:
        there_already = what_exists(path) == path
        is_run = (path / JOURNAL).exists()
    except OSError as error:
        raise _cannot_create(path, error) from error
    if there_already:
        remedy = "choose another --out or remove it"
        if is_run:
            remedy = f"go on with --resume {path}, or choose another --out"
        raise RunStoreError(f"{path} exists already; {remedy}")


def _cannot_create(path: Path, error: OSError) -> RunStoreError:
    return RunStoreError(f"cannot create run {path}: {error}; choose another --out")
