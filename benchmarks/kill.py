"""Runs whose process is killed again and again, and what became of their frames.

    python benchmarks/kill.py [200] [--drifting 60]

The star; a session is killed (SIGKILL) at random instants of its whole life, while Python
starts, the run is created or looked through and while it scans, and another goes on, until so
many kills: 200 on the still instrument, 60 on the one that drifts. After every kill the run
is opened, and every frame that was acknowledged must be there, with the checksum that it had
after the kill before. What the still instrument took is also compared with an uninterrupted
run: bit for bit. Of the points that the session had taken, as it noted itself, at most a line
may not be acknowledged. In the end no point may be missing or invalid.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

import opticalnet
from acquisition.store import Run

LINE = 66
SESSION = (sys.executable, str(Path(__file__).with_name("kill_session.py")))
LONGEST_S = {"start": 4.0, "creation": 0.06, "frames": 1.0}
"""Until the kill: from the start of the process, from when its run is being created, or
from its first new frame on."""


@dataclass
class Tally:
    """What became of the runs of one instrument."""

    kills: int = 0
    without_run: int = 0
    in_creation: int = 0
    before_frames: int = 0
    runs: int = 0
    torn: int = 0
    most_missing: int = 0
    compared: int = 0
    wrong: int = 0
    unfinished: int = 0

    def note_kill(self, before: "State", now: "State", taken: int) -> None:
        """Count a kill: where it came, and what it cost of the points that were taken."""
        self.kills += 1
        self.without_run += not now.is_run
        self.in_creation += not now.is_run and now.draft not in {None, before.draft}
        self.before_frames += not taken
        # The next point may have been taken, and not been noted yet.
        missing = before.acknowledged + taken + 1 - now.acknowledged
        self.most_missing = max(self.most_missing, missing)


@dataclass(frozen=True)
class State:
    """What there is of a run.

    Attributes
    ----------
    is_run
        Whether it is there.
    acknowledged
        Points in its journal.
    draft
        When the folder in which it is created was last changed; ``None``: there is none.
    """

    is_run: bool
    acknowledged: int
    draft: int | None

    @classmethod
    def of(cls, run: Path) -> "State":
        """Look at it, while it may come and go."""
        try:
            records = (run / "journal.jsonl").read_bytes().count(b"\n")
        except OSError:
            records = 0
        try:
            draft = (run.with_name(f".draft-{run.name}") / run.name).stat().st_mtime_ns
        except OSError:
            draft = None
        return cls(run.exists(), records, draft)

    def has_reached(self, stage: str, before: "State") -> bool:
        """Whether a session that began with another state has come so far."""
        if stage == "creation":
            return self.is_run or self.draft not in {None, before.draft}
        return stage == "start" or self.acknowledged > before.acknowledged


def session(run: Path, instrument: str, chance: random.Random, tally: Tally) -> bool:
    """Scan on, and kill it at some instant; say whether it came to its end before."""
    before, notes = State.of(run), run.with_suffix(".notes")
    notes.unlink(missing_ok=True)
    stages = ["start", "frames", "frames"] if before.is_run else ["start", *2 * ["creation"]]
    stage = chance.choice(stages)
    process = subprocess.Popen([*SESSION, str(run), instrument, str(notes)])
    while process.poll() is None and not State.of(run).has_reached(stage, before):
        time.sleep(0.005)
    time.sleep(chance.random() * LONGEST_S[stage])
    code = process.poll()
    process.kill()
    process.wait()
    assert not code, f"{process.args} ended with {code}"
    if code is None:
        taken = notes.stat().st_size if notes.exists() else 0
        tally.note_kill(before, State.of(run), taken)
    return code is not None


def frames(run: Path) -> NDArray[Any]:
    """Return all images of a run, (scan, y, x)."""
    return np.asarray(zarr.open_array(run / "frames", mode="r")[:])


def compare(
    run: Path, before: dict[int, int], whole: NDArray[Any] | None, tally: Tally
) -> dict[int, int]:
    """Count the frames of a run that are not what they were.

    Parameters
    ----------
    run
        Where they are now.
    before
        Scan index of every frame acknowledged before, and its checksum.
    whole
        (scan, y, x), what they all should be; ``None`` where no two scans are the same.
    tally
        Counts.

    Returns
    -------
    dict
        Scan index of every frame acknowledged by now, and its checksum.
    """
    if not run.exists():
        assert not before, f"{run} is gone"
        return before
    opened = Run(run)
    points = opened.points()
    valid = np.flatnonzero(points.valid)
    now = {int(index): int(points.crc32[index]) for index in valid}
    wrong = {index for index, crc32 in before.items() if now.get(index) != crc32}
    for row in range(opened.info.plan.rows):
        wrong.update(opened.damaged(row, points))
    if whole is not None:
        is_other = (frames(run)[valid] != whole[valid]).any(axis=(1, 2))
        wrong.update(valid[is_other].tolist())
    tally.compared += len(now)
    tally.wrong += len(wrong)
    return now


def is_torn(run: Path) -> bool:
    """Whether the last record of a journal is half a one."""
    journal = (run / "journal.jsonl").read_bytes()
    return bool(journal) and not journal.endswith(b"\n")


def torment(instrument: str, kills: int, folder: Path, whole: NDArray[Any] | None) -> Tally:
    """Scan with an instrument, kill, go on and compare."""
    chance, tally = random.Random(7), Tally()
    while tally.kills < kills:
        run, ended = folder / f"{instrument}-{tally.runs}.zarr", False
        tally.runs += 1
        known: dict[int, int] = {}
        while not ended and tally.kills < kills:
            ended = session(run, instrument, chance, tally)
            known = compare(run, known, whole, tally)
            tally.torn += run.exists() and is_torn(run)
        if run.exists():
            opticalnet.resume(run)
        else:
            opticalnet.acquire("ss", out=run, instrument=instrument)
        compare(run, known, whole, tally)
        tally.unfinished += int((~Run(run).points().valid).sum())
        print(f"{instrument}: {tally}", file=sys.stderr, flush=True)
    return tally


def main() -> None:
    """Kill, compare, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--drifting", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opticalnet.acquire("ss", out=folder / "whole.zarr", instrument="simulated-still")
        whole = frames(folder / "whole.zarr")
        still = torment("simulated-still", arguments.kills, folder, whole)
        drifting = torment("simulated", arguments.drifting, folder, None)
    print("| | `simulated-still` | `simulated`, with drift |\n|---|---|---|")
    for what, field in (
        ("SIGKILLs", "kills"),
        ("of these before there was a run", "without_run"),
        ("of these while it was being created", "in_creation"),
        ("SIGKILLs before the first new frame of a session", "before_frames"),
        ("runs", "runs"),
        ("journals that ended in half a record", "torn"),
        ("most points taken and not acknowledged, of a line of 66", "most_missing"),
        ("frames compared", "compared"),
        ("acknowledged frames that are not what they were", "wrong"),
        ("points missing or invalid in the end", "unfinished"),
    ):
        print(f"| {what} | {getattr(still, field):,} | {getattr(drifting, field):,} |")
    for tally in (still, drifting):
        assert not tally.wrong + tally.unfinished
        assert tally.most_missing <= LINE
        assert tally.in_creation, "no kill while a run was being created"
        assert tally.before_frames > tally.without_run, "none while a run was looked through"


if __name__ == "__main__":
    main()
