"""The journal of a run, read as it grows: a point counts once its record is there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from configs.errors import RunStoreError

JOURNAL: Final = "journal.jsonl"


class JournalReader:
    """Reads the journal of a run, every record once.

    Parameters
    ----------
    run
        Path of the run.
    scan_points
        Number of points of its scan.
    """

    def __init__(self, run: Path, scan_points: int) -> None:
        self._run, self._scan_points = run, scan_points
        self._bytes_read = self._lines_read = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what was added since the last call; a torn last line waits until it is whole.

        Raises
        ------
        RunStoreError
            If it cannot be read, or a line is damaged.
        """
        for line in self._added():
            self._bytes_read += len(line) + 1
            self._lines_read += 1
            try:
                record = json.loads(line)
                if not 0 <= record["index"] < self._scan_points:
                    raise ValueError(f"index {record['index']} is not in the scan")
            except (ValueError, TypeError, KeyError) as error:
                raise RunStoreError(
                    f"{self._run}: journal line {self._lines_read} is damaged: {error}"
                ) from error
            yield record

    def _added(self) -> list[bytes]:
        """Return the whole lines that follow what was read."""
        try:
            with (self._run / JOURNAL).open("rb") as journal:
                if self._bytes_read:  # a pipe, which cannot seek, is read once
                    journal.seek(self._bytes_read)
                return journal.read().split(b"\n")[:-1]
        except OSError as error:
            raise RunStoreError(
                f"{self._run}: expected a readable {JOURNAL}: {error}"
            ) from error
