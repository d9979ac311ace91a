"""What is written takes its place once it is complete, and leaves nothing where it never is."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from configs.errors import ConfigError, RunStoreError


def named(path: str | Path, option: str) -> Path:
    """Return a path; ``ConfigError`` if it is empty, which Python takes for this folder."""
    if path == "":
        raise ConfigError(f"{option}: expected a path, got ''; name one")
    return Path(path)


def check_absent(path: Path, remedy: str = "move it or choose another path") -> None:
    """Raise ``RunStoreError`` if there is something already, be it a broken link."""
    with _disk_errors(path):
        if path.exists() or path.is_symlink():
            raise RunStoreError(f"{path} exists already; {remedy}")


@contextmanager
def draft_beside(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a folder beside it, which goes in the end.

    Folders above that were missing go as well, unless there is something in them then.

    Raises
    ------
    RunStoreError
        If the disk fails meanwhile.
    """
    with (
        _disk_errors(path),
        _parents(path),
        tempfile.TemporaryDirectory(
            prefix=f".draft-{path.name}-",
            dir=path.parent,
            ignore_cleanup_errors=True,  # they would hide what went wrong before
        ) as folder,
    ):
        yield Path(folder) / path.name


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
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunStoreError(
            f"cannot write {path}: {error}; nothing was kept: choose another path"
        ) from error
