"""Hostile input for the two parsers that read what others wrote: no crash, no wrong value.

    python benchmarks/fuzz.py [1000000] [--seed 0]

The journal of a run goes through ``JournalReader``, replies of a GCS controller through
``gcs_protocol``; each input also through a reader written anew for this, on ``json`` and exact
fractions. Both must take the same and refuse the same, bit for bit, in whatever pieces the
input arrives. Half of the inputs go to each parser: valid ones, spelled in many ways, with
hostile values, cuts and changed bytes; most lines of a journal get the right checksum, so
that what they hold is looked at. Hypothesis, which has the same properties under ``tests/``,
makes some hundred inputs a second; these are made by ``random`` instead.

With the package atheris, libFuzzer then looks for more, guided by the branches taken in
these readers and in the parsers. What runs in compiled code (``re``, pydantic) has no
branches for it.
"""

import argparse
import atexit
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any, Final

import fuzz_journal
import fuzz_serial
from fuzz_bytes import cuts
from fuzz_tally import Tally

from acquisition.journal import JournalReader
from drivers import gcs_protocol

_GUIDED_SHARE: Final = 4
"""One guided input for so many others."""
_CORPUS: Final = 300


@dataclass(frozen=True)
class Target:
    """A parser and what is thrown at it.

    Attributes
    ----------
    check
        Read an input with both readers, in a folder; return whether all of it was taken.
    make
        Return what follows the folder.
    draft
        Return bytes to begin guided inputs with.
    finish
        Return the bytes that are read, of bytes that were guided.
    """

    check: Callable[..., bool]
    make: Callable[[Random], tuple[Any, ...]]
    draft: Callable[[Random], bytes]
    finish: Callable[[bytes], bytes]


_TARGETS: Final = {
    "journal": Target(
        fuzz_journal.check_journal,
        fuzz_journal.make_journal,
        fuzz_journal.draft_journal,
        fuzz_journal.sealed,
    ),
    "serial": Target(
        fuzz_serial.check_serial,
        fuzz_serial.make_serial,
        lambda random: fuzz_serial.make_serial(random)[0],
        bytes,
    ),
}


def attack(name: str, count: int, seed: int) -> Tally:
    """Give a parser inputs made at random."""
    target, random, tally = _TARGETS[name], Random(f"{seed} {name}"), Tally()
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        for _ in range(count):
            made = target.make(random)
            tally.note(partial(target.check, Path(folder), *made), made)
        tally.seconds = time.perf_counter() - began_s
    return tally


def guide(name: str, count: int, seed: int, folder: Path) -> None:
    """Give a parser inputs that libFuzzer makes; ends the process."""
    import atheris

    target, random, tally = _TARGETS[name], Random(f"{seed} {name}"), Tally()
    (folder / "corpus").mkdir()
    for at in range(_CORPUS):
        data = bytes([at % 4]) + target.draft(random)
        (folder / "corpus" / str(at)).write_bytes(data)
    for owner in (gcs_protocol, JournalReader, fuzz_journal, fuzz_serial):
        for part in list(vars(owner).values()):
            if isinstance(part, FunctionType):
                atheris.instrument_func(part)

    def one(data: bytes) -> None:
        pieces, data = data[0] % 4 if data else 0, target.finish(data[1:])
        made = data, cuts(data, Random(data), pieces)
        tally.note(partial(target.check, folder, *made), made)

    atexit.register(lambda: (folder / "tally").write_text(json.dumps(asdict(tally))))
    options = [f"-atheris_runs={count}", f"-seed={seed + 1}", "-max_len=600", "-verbosity=0"]
    atheris.Setup([name, *options, str(folder / "corpus")], one)
    atheris.Fuzz()


def guided(name: str, count: int, seed: int) -> Tally:
    """Return what became of guided inputs; a process that dies is a crash."""
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        options = ["--seed", str(seed), "--guide", name, "--folder", folder]
        command = [sys.executable, __file__, str(count), *options]
        ended = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - began_s
        told = Path(folder) / "tally"
        if ended.returncode or not told.exists():
            died = f"exit code {ended.returncode}: {ended.stderr[-2000:]}"
            return Tally(crashes=1, seconds=seconds, found=[died])
        return Tally(**json.loads(told.read_text()) | {"seconds": seconds})


def show(name: str, tally: Tally) -> list[str]:
    """Print a line of the table; return what was found."""
    counts = (tally.accepted, tally.refused, tally.crashes, tally.wrong)
    shown = " | ".join(f"{count:,}" for count in (sum(counts), *counts))
    times = f"{tally.seconds:.0f} | {1e3 * tally.slowest_s:.0f}"
    print(f"| {name} | {shown} | {times} |", flush=True)
    return [f"{name}: {what}" for what in tally.found]


def main() -> None:
    """Print what became of them; exit with 1 after a crash, a wrong value or a hang."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guide", choices=_TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count, seed = arguments.count, arguments.seed
    if arguments.guide:
        guide(arguments.guide, count, seed, arguments.folder)
    print("| | inputs | accepted | refused | crashes | wrong values | s | slowest, ms |")
    print("|---|---|---|---|---|---|---|---|")
    found = []
    for name in _TARGETS:
        found += show(name, attack(name, count // 2, seed))
    for name in _TARGETS:
        if importlib.util.find_spec("atheris"):
            found += show(f"{name}, guided", guided(name, count // 2 // _GUIDED_SHARE, seed))
        else:
            print(f"| {name}, guided: needs the package atheris | | | | | | | |")
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
