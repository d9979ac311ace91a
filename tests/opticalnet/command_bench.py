"""The command in a process or a terminal of its own, and what it leaves behind."""

import hashlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from acquisition.store import Run

PATIENCE_S = 120.0
"""Until a process counts as hung; test machines may be slow and shared."""
COMMAND = (sys.executable, "-W", "error", "-c", "from opticalnet.cli import main; main()")
SMALL_SET = """
name = "small"

[instrument]
name = "bench"
environment = {}
[instrument.optics]
roi_px = 64

[[parts]]
split = "train"
name = "block"
frames = 70
[parts.sample]
kind = "block"
squares = 7

[[parts]]
split = "test"
name = "ss"
[parts.sample]
kind = "star"
squares = 8
"""
"""Plan of a data set: 70 frames to train on, and 100 to test on."""
TERMINAL_VARIABLES = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr of a command that failed."""
        assert self.code == 1, (self.code, self.out, self.err)
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


class Terminal:
    """A command with a pseudo-terminal for its stdin, stdout and stderr."""

    def __init__(self, arguments: list[str], where: Path, columns: int, lines: int) -> None:
        import termios

        import pyte

        self.screen = pyte.Screen(columns, lines)
        self.output = bytearray()
        self._parser = pyte.ByteStream(self.screen)
        self._near, far = os.openpty()
        termios.tcsetwinsize(far, (lines, columns))
        self._began_s = time.monotonic()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            cwd=where,
            env=environment(TERM="xterm-256color", COLORTERM="truecolor"),
            start_new_session=True,
        )
        os.close(far)

    @property
    def text(self) -> str:
        """What is on the screen now, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self) -> bool:
        """Take some output, once there is any; false at its end."""
        left_s = self._began_s + PATIENCE_S - time.monotonic()
        readable, _, _ = select.select([self._near], [], [], max(left_s, 0))
        assert readable, f"nothing more came within {PATIENCE_S:g} s; screen:\n{self.text}"
        try:
            data = os.read(self._near, 65536)
        except OSError:  # how Linux says that the other end has been closed
            data = b""
        self.output += data
        self._parser.feed(data)
        return bool(data)

    def read_until(self, text: str) -> None:
        """Take output until a text has come."""
        while text.encode() not in self.output:
            assert self.read(), f"no {text!r} in the output; screen:\n{self.text}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._near, text.encode())

    def finish(self) -> int:
        """Take the rest of the output and return the exit code."""
        while self.read():
            pass
        return self.process.wait(PATIENCE_S)

    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._began_s

    def close(self) -> None:
        """Hang up."""
        self.process.kill()
        self.process.wait()
        os.close(self._near)


Command = Callable[..., Outcome]
"""Runs the command line in this process: ``command(*arguments)``."""
Start = Callable[..., "subprocess.Popen[str]"]
"""Starts it in a process of its own, with pipes."""
Open = Callable[..., Terminal]
"""Starts it in a terminal: ``terminal(*arguments, columns=..., lines=...)``."""


def environment(**changes: str) -> dict[str, str]:
    """Variables for a process, without those that change what a terminal can do."""
    kept = {k: v for k, v in os.environ.items() if k not in TERMINAL_VARIABLES}
    return kept | {"PYTHONUTF8": "1"} | changes


def save_mask(path: Path, *rows: str) -> Path:
    """Write a mask drawn in characters, ``#`` is open."""
    np.save(path, np.array([[c == "#" for c in row] for row in rows], dtype=np.float64))
    return path


def taken(path: Path) -> int:
    """Open a run and return its number of points, all valid and with the pixels they had."""
    run = Run(path)
    columns = run.info.plan.columns
    valid = np.flatnonzero(run.points().valid)
    assert np.array_equal(valid, np.arange(valid.size)), "a raster is taken in its order"
    for row, records in groupby(run.journal(), lambda record: record.index // columns):
        frames = run.frames(row)
        for record in records:
            image = frames[record.index % columns]
            assert zlib.crc32(image.tobytes()) == record.crc32
    return valid.size


def nobody_left(process: "subprocess.Popen[str]") -> bool:
    """Whether an ended process that led a session has left no other behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_refused(command: Command, place: Path, arguments: list[object], *said: str) -> None:
    """Run a command that must fail, say all this in one line, and leave nothing behind."""
    before = contents(place)
    outcome = command(*arguments)
    for part in said:
        assert part in outcome.error
    assert outcome.out == ""
    assert contents(place) == before
    assert not (place / "run.zarr").exists()


def serial_ends() -> int:
    """Pseudo-terminal ends that this process holds; 0 where that cannot be known."""
    own = Path("/proc/self/fd")
    if not own.exists():
        return 0
    targets = [os.readlink(link) for link in own.iterdir() if link.is_symlink()]
    return sum(target.startswith(("/dev/ptmx", "/dev/pts")) for target in targets)


def device_threads() -> list[str]:
    """Names of the threads that serve a device in this process."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name == "simulated serial line" or "/" in name]
