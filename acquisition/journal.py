"""The journal of a run: a point counts once its record is there.

Written behind the pixels, record by record; read whole or as it grows. A point that was
taken again has several records, of which the last holds. A line is a JSON object that ends
in ``,"line_crc32":N}``, N being the CRC-32 of all bytes of the line in front of that.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn, Self

from pydantic import AfterValidator, Field, ValidationError

from acquisition.disk import Disk
from acquisition.frame import Frame, Status
from configs.errors import RunStoreError
from configs.value import NonNegative, Pair, Value

JOURNAL: Final = "journal.jsonl"

_SHOWN: Final = 200
_MARK: Final = b',"line_crc32":'

_Count = Annotated[int, Field(ge=0)]


def _taken(status: Status) -> Status:
    if status is Status.PENDING:
        raise ValueError("a point that was not taken has no record")
    return status


class PointRecord(Value):
    """What is kept of a point; see ``Frame``."""

    index: _Count
    target_um: Pair
    correction_um: Pair = (0.0, 0.0)
    drift_um: Pair | None = None
    readback_um: Pair | None
    focus_um: float | None = None
    started_s: NonNegative
    settling_s: NonNegative = 0.0
    attempts: Annotated[int, Field(ge=0, le=255)]
    status: Annotated[Status, AfterValidator(_taken)]
    reason: str = ""
    repeat: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    """Which of ``repeats/frames`` holds the pixels; ``None``: ``frames`` does."""
    crc32: Annotated[int, Field(ge=0, lt=1 << 32)]
    """Of the pixels, as they lie in memory."""

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """Describe a frame."""
        return cls(
            index=frame.point.index,
            target_um=frame.point.target_um,
            correction_um=frame.correction_um,
            drift_um=frame.drift_um,
            readback_um=frame.readback_um,
            focus_um=frame.focus_um,
            started_s=frame.started_s,
            settling_s=frame.settling_s,
            attempts=frame.attempts,
            status=frame.status,
            repeat=frame.repeat,
            # A driver's message may hold bytes that are no text: Python's lone surrogates.
            reason=frame.reason.encode(errors="backslashreplace").decode(),
            crc32=zlib.crc32(frame.image.data),
        )


def _sealed(record: PointRecord) -> bytes:
    """Return the line of a record, with its LF."""
    head = record.model_dump_json().encode()[:-1]
    return b"%b%b%d}\n" % (head, _MARK, zlib.crc32(head))


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
        self.bytes_read = self._lines_read = 0

    def records(self) -> Iterator[PointRecord]:
        """Yield what was added since the last call; a torn last line waits until it is whole.

        Raises
        ------
        RunStoreError
            If it cannot be read, or a line is damaged.
        """
        for line in self._added():
            record = self._record(line)
            self.bytes_read += len(line) + 1
            self._lines_read += 1
            yield record

    def _record(self, line: bytes) -> PointRecord:
        """Read the line that follows those that were read."""
        head, _, seal = line.rpartition(_MARK)
        if seal != b"%d}" % zlib.crc32(head):
            self._damaged("its checksum differs")
        try:
            record = PointRecord.model_validate_json(head + b"}")
        except ValidationError as error:
            first = error.errors()[0]
            self._damaged(f"{'.'.join(map(str, first['loc']))} {first['msg']}", error)
        if record.index >= self._scan_points:
            self._damaged(f"index {record.index} is not in the scan")
        return record

    def _added(self) -> list[bytes]:
        """Return the whole lines that follow what was read."""
        try:
            with (self._run / JOURNAL).open("rb") as journal:
                if self.bytes_read:  # a pipe, which cannot seek, is read once
                    journal.seek(self.bytes_read)
                return journal.read().split(b"\n")[:-1]
        except OSError as error:
            raise RunStoreError(
                f"{self._run}: expected a readable {JOURNAL}: {error}"
            ) from error

    def _damaged(self, why: str, error: Exception | None = None) -> NoReturn:
        shown = ascii(why.strip())[1:-1][:_SHOWN]  # a damaged key may hold anything
        raise RunStoreError(
            f"{self._run}: journal line {self._lines_read + 1} is damaged: {shown}"
        ) from error


class JournalWriter:
    """Appends to the journal of a run: all of some records, or none.

    Parameters
    ----------
    run
        Path of the run, which has a journal already.
    end
        Bytes of it that count; what follows them, torn by a crash, is written over.
    disk
        What writes.
    """

    def __init__(self, run: Path, end: int, disk: Disk) -> None:
        self._path, self._end, self._disk = run / JOURNAL, end, disk

    def append(self, records: Sequence[PointRecord]) -> None:
        """Append records; they are on disk then. ``OSError`` if they are not."""
        data = b"".join(map(_sealed, records))
        self._disk.append(self._path, self._end, data)
        self._end += len(data)
