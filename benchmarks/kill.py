"""Runs whose process is killed again and again, and what became of their frames.

    python benchmarks/kill.py [200] [--drifting 60]

The star; the command is killed (SIGKILL) at random instants and resumed each time, until so
many kills: 200 on the still instrument, 60 on the one that drifts. After every kill the run
is opened, and every frame that was acknowledged must be there, with the checksum that it had
after the kill before. What the still instrument took is also compared with an uninterrupted
run: bit for bit. In the end no point may be missing or invalid.
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

COMMAND = (sys.executable, "-m", "opticalnet", "acquire")
LONGEST_S = 1.0
"""Of a session, from its first new frame on."""


@dataclass
class Tally:
    """What became of the runs of one instrument."""

    kills: int = 0
    runs: int = 0
    torn: int = 0
    compared: int = 0
    wrong: int = 0
    unfinished: int = 0


def acknowledged(run: Path) -> int:
    """Points of a run that may not be there yet."""
    try:
        return (run / "journal.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def session(run: Path, instrument: str, chance: random.Random) -> bool:
    """Scan on, and kill it at some instant; say whether it came to its end before."""
    had = acknowledged(run)
    anew = ("--sample", "ss", "--instrument", instrument, "--out", str(run))
    start = ("--resume", str(run)) if had else anew
    process = subprocess.Popen([*COMMAND, *start], stdout=subprocess.DEVNULL)
    while process.poll() is None and acknowledged(run) == had:
        time.sleep(0.01)
    time.sleep(chance.random() * LONGEST_S)
    code = process.poll()
    process.kill()
    process.wait()
    assert not code, f"{COMMAND} {start} ended with {code}"
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


def torment(instrument: str, kills: int, folder: Path, whole: NDArray[Any] | None) -> Tally:
    """Scan with an instrument, kill, go on and compare."""
    chance, tally = random.Random(7), Tally()
    while tally.kills < kills:
        run, ended = folder / f"{instrument}-{tally.runs}.zarr", False
        tally.runs += 1
        known: dict[int, int] = {}
        while not ended and tally.kills < kills:
            ended = session(run, instrument, chance)
            tally.kills += not ended
            known = compare(run, known, whole, tally)
            tally.torn += not (run / "journal.jsonl").read_bytes().endswith(b"\n")
        opticalnet.resume(run)
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
        ("runs", "runs"),
        ("journals that ended in half a record", "torn"),
        ("frames compared", "compared"),
        ("acknowledged frames that are not what they were", "wrong"),
        ("points missing or invalid in the end", "unfinished"),
    ):
        print(f"| {what} | {getattr(still, field):,} | {getattr(drifting, field):,} |")
    assert not any(tally.wrong + tally.unfinished for tally in (still, drifting))


if __name__ == "__main__":
    main()
