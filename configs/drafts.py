"""What is written takes its place once it is complete, and leaves nothing where it never is."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from configs.errors import ConfigError, RunStoreError

_REMEDY: Final = "nothing was kept: choose another path"


def named(path: str | Path, option: str) -> Path:
    """Return a path; ``ConfigError`` if it is empty, which Python takes for this folder."""
    if path == "":
        raise ConfigError(f"{option}: expected a path, got ''; name one")
    return Path(path)


def check_absent(path: Path, remedy: str = "move it or choose another path") -> None:
    """Raise ``RunStoreError`` if there is something already, be it a broken link."""
    with _disk_errors(path, _REMEDY):
        if path.exists() or path.is_symlink():
            raise RunStoreError(f"{path} exists already; {remedy}")


@contextmanager
def in_place(path: Path, remedy: str = _REMEDY) -> Iterator[Path]:
    """Give a path beside another, whose place is taken by what is there in the end.

    A file takes that of a file, and a folder that of a folder.

    Raises
    ------
    RunStoreError
        If the disk fails meanwhile; what was there still is.
    """
    with draft_beside(path, remedy) as draft:
        yield draft
        if draft.is_dir() and path.is_dir():
            _replace_folder(path, draft)
        else:
            os.replace(draft, path)


@contextmanager
def draft_beside(path: Path, remedy: str = _REMEDY) -> Iterator[Path]:
    """Give a path of the same name in a folder beside it, which goes in the end.

    Folders above that were missing go as well, unless there is something in them then.

    Parameters
    ----------
    path
        Where a file or folder is to be.
    remedy
        What to do if it cannot be written, for the error.

    Raises
    ------
    RunStoreError
        If the disk fails meanwhile.
    """
    with (
        _disk_errors(path, remedy),
        _parents(path),
        tempfile.TemporaryDirectory(
            prefix=f".draft-{path.name}-",
            dir=path.parent,
            ignore_cleanup_errors=True,  # they would hide what went wrong before
        ) as folder,
    ):
        yield Path(folder) / path.name


def _replace_folder(path: Path, draft: Path) -> None:
    earlier = draft.with_name(f"earlier-{path.name}")
    os.rename(path, earlier)  # only an empty folder could be replaced in one step
    try:
        os.rename(draft, path)
    except OSError:
        os.rename(earlier, path)
        raise


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the folders above; in the end remove those that stayed empty."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # it is not empty, or was never made
                folder.rmdir()


@contextmanager
def _disk_errors(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunStoreError(f"cannot write {path}: {error}; {remedy}") from error
