"""A run whose process is killed again and again, against one that was left alone.

    python benchmarks/kill.py [KILLS]

The star on the still instrument; the command is killed (SIGKILL) at random instants, 200 times
or as many, and resumed each time. Every time the run is opened, and every frame that was
acknowledged compared with the frame of an uninterrupted run: bit for bit.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

import opticalnet
from acquisition.store import Run

COMMAND = (sys.executable, "-m", "opticalnet", "acquire")
SAMPLE = ("--sample", "ss", "--instrument", "simulated-still")
LONGEST_S = 1.0
"""Of a session, from its first new frame on."""


def acknowledged(run: Path) -> int:
    """Points of a run that may not be there yet."""
    try:
        return (run / "journal.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def session(run: Path, chance: random.Random) -> bool:
    """Scan on, and kill it at some instant; say whether it came to its end before."""
    had = acknowledged(run)
    start = ("--resume", str(run)) if had else (*SAMPLE, "--out", str(run))
    process = subprocess.Popen([*COMMAND, *start], stdout=subprocess.DEVNULL)
    while process.poll() is None and acknowledged(run) == had:
        time.sleep(0.01)
    time.sleep(chance.random() * LONGEST_S)
    ended = process.poll() is not None
    process.kill()
    process.wait()
    return ended


def main() -> None:
    """Kill, compare, print a table."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    chance, killed, runs, wrong, torn = random.Random(7), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.zarr"
        opticalnet.acquire("ss", out=whole, instrument="simulated-still")
        expected = zarr.open_array(whole / "frames", mode="r")[:]
        while killed < kills:
            run, runs, ended = Path(folder) / f"{runs}.zarr", runs + 1, False
            while not ended and killed < kills:
                ended = session(run, chance)
                killed += not ended
                opened = Run(run)
                lines = list(opened.lines(opened.points()))  # checksums are compared
                for line in lines:
                    there = line.row * opened.info.plan.columns + line.columns
                    wrong += int((line.images != expected[there]).any(axis=(1, 2)).sum())
                torn += not (run / "journal.jsonl").read_bytes().endswith(b"\n")
            last = opticalnet.resume(run)
            assert last.valid == len(expected)
            frames = zarr.open_array(run / "frames", mode="r")[:]
            wrong += int((np.asarray(frames) != expected).any(axis=(1, 2)).sum())
    print("| | |\n|---|---|")
    print(f"| SIGKILLs | {killed} |\n| runs | {runs} |")
    print(f"| journals that ended in half a record | {torn} |")
    print(f"| acknowledged frames that are not those of the uninterrupted run | {wrong} |")
    assert not wrong


if __name__ == "__main__":
    main()
