"""A session for ``kill.py``: scans or goes on, and notes every point that was taken."""

import sys
from pathlib import Path
from typing import BinaryIO

import opticalnet
from acquisition.frame import Frame
from acquisition.observer import SilentObserver


class Notes(SilentObserver):
    """Writes a byte for every frame; the system keeps it, whatever becomes of the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def frame(self, frame: Frame) -> None:
        """Note a frame, which the writer of the run has got by now."""
        self._file.write(b".")


def main() -> None:
    """Scan: ``python benchmarks/kill_session.py RUN INSTRUMENT NOTES``."""
    run, instrument, notes = sys.argv[1:]
    with Path(notes).open("wb", buffering=0) as file:
        if Path(run).exists():
            opticalnet.resume(run, observer=Notes(file))
        else:
            opticalnet.acquire("ss", out=run, instrument=instrument, observer=Notes(file))


if __name__ == "__main__":
    main()
