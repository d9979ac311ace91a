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
    points
        Of its scan.
    """

    def __init__(self, run: Path, points: int) -> None:
        self._run, self._points = run, points
        self._bytes = self._lines = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what has been added since; a torn last line waits for the next time.

        Raises
        ------
        RunStoreError
            If it cannot be read, or a line is damaged.
        """
        for line in self._added():
            self._bytes += len(line) + 1
            self._lines += 1
            try:
                record = json.loads(line)
                if not 0 <= record["index"] < self._points:
                    raise ValueError(f"index {record['index']} is not in the scan")
            except (ValueError, TypeError, KeyError) as error:
                raise RunStoreError(
                    f"{self._run}: journal line {self._lines} is damaged: {error}"
                ) from error
            yield record

    def _added(self) -> list[bytes]:
        """Return the whole lines that follow what was read."""
        try:
            with (self._run / JOURNAL).open("rb") as journal:
                if self._bytes:
                    journal.seek(self._bytes)
                return journal.read().split(b"\n")[:-1]
        except OSError as error:
            raise RunStoreError(
                f"{self._run}: expected a readable {JOURNAL}: {error}"
            ) from error
