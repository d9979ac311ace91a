"""Writes that are whole and on disk once they return."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Final

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

_UNFINISHED: Final = ".unfinished"


class Disk:
    """What a run is written with; a test, or a rehearsal, may let it fail."""

    def replace(self, path: Path, data: memoryview) -> None:
        """Write a file anew: whoever reads it, at whatever time, gets it old or new."""
        make_folder(path.parent)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            sync_folder(path.parent)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def append(self, path: Path, end: int, data: bytes) -> None:
        """Write behind the first ``end`` bytes of a file; whatever follows them is lost."""
        with path.open("r+b", buffering=0) as file:
            file.truncate(end)
            file.seek(end)
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:])
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)  # who reads along sees all of it or nothing
                raise


class DurableStore(LocalStore):
    """Zarr files, each whole and on disk once it is written."""

    def __init__(self, root: Path, disk: Disk) -> None:
        super().__init__(root)
        self._disk = disk

    async def set(self, key: str, value: Buffer) -> None:
        """Write the value of a key."""
        self._disk.replace(self.root / key, memoryview(value.to_bytes()))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets one."""
    if os.name == "nt":
        return  # NTFS journals names; Windows opens no folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed writer left of files that it never finished."""
    for pattern in (f"*{_UNFINISHED}", "*.partial"):
        for draft in folder.rglob(pattern):
            draft.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Return the room on the disk that a path lies on, or would lie on."""
    return shutil.disk_usage(what_exists(path)).free


def what_exists(path: Path) -> Path:
    """Return a path, or the nearest of the folders that it would lie in."""
    return next(there for there in (path, *path.absolute().parents) if there.exists())
