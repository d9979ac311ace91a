"""What is written takes its place once it is complete, and leaves nothing where it never is."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import RunStoreError


def check_absent(path: Path) -> None:
    """Raise ``RunStoreError`` if there is something already."""
    with _disk_errors(path):
        if path.exists():
            raise RunStoreError(f"{path} exists already; choose another path or remove it")


@contextmanager
def draft_beside(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a folder beside it, which goes in the end.

    Raises
    ------
    RunStoreError
        If the disk fails meanwhile.
    """
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".draft-{path.name}-",
            dir=path.parent,
            ignore_cleanup_errors=True,  # they would hide what went wrong before
        ) as folder:
            yield Path(folder) / path.name


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunStoreError(
            f"cannot write {path}: {error}; nothing was kept: choose another path"
        ) from error
