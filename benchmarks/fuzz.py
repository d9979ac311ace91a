"""Hostile input for the two parsers that read what others wrote: no crash, no wrong value.

    python benchmarks/fuzz.py [1000000] [--seed 0]

The journal of a run goes through ``JournalReader``, replies of a GCS controller through
``gcs_protocol``; each input also through a reader written anew here, on ``json`` and exact
fractions. Both must take the same and refuse the same, bit for bit, in whatever pieces the
input arrives. Half of the inputs go to each parser: valid ones, spelled in many ways, with
hostile values, cuts and changed bytes. Hypothesis, which has the same properties under
``tests/``, makes some hundred inputs a second; these are made by ``random`` instead.

With the package atheris, libFuzzer then looks for more, guided by the branches taken here
and in the parsers. What runs in compiled code (``re``, pydantic) has no branches for it.
"""

import argparse
import atexit
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any, Final

from acquisition.journal import JOURNAL, JournalReader
from configs.errors import ProtocolError, RunStoreError
from drivers import gcs_protocol

_SLOWEST_S: Final = 1.0
"""CPU time for one input; more is a hang."""
_SHOWN: Final = 5
_GUIDED_SHARE: Final = 4
"""One guided input for so many others."""
_CORPUS: Final = 300
_SCAN_POINTS: Final = 64


class WrongValue(Exception):
    """A parser took what it should refuse, refused what it should take, or misread it."""


@dataclass
class Tally:
    """What became of some inputs; accepted where nothing of one was refused."""

    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    wrong: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    found: list[str] = field(default_factory=list)

    def note(self, check: Callable[[], bool], made: object) -> None:
        """Count what becomes of one input."""
        began_s = time.thread_time()
        try:
            accepted = check()
            self.accepted += accepted
            self.refused += not accepted
        except WrongValue as wrong:
            self.wrong += 1
            self._keep(f"wrong value: {wrong}", made)
        except Exception:
            self.crashes += 1
            self._keep(traceback.format_exc(), made)
        taken_s = time.thread_time() - began_s
        self.slowest_s = max(self.slowest_s, taken_s)
        if taken_s > _SLOWEST_S:
            self._keep(f"took {taken_s:.1f} s", made)

    def _keep(self, what: str, made: object) -> None:
        if len(self.found) < _SHOWN:
            self.found.append(f"{what}\n  of {repr(made)[:2000]}")


def demand(condition: bool, why: str) -> None:
    """Raise ``WrongValue`` unless something holds."""
    if not condition:
        raise WrongValue(why)


# The journal, read anew.

_DEFAULTS: Final[dict[str, Any]] = {
    "correction_um": [0, 0],
    "drift_um": None,
    "focus_um": None,
    "settling_s": 0,
    "reason": "",
}
_FIELDS: Final = (
    *("index", "target_um", "correction_um", "drift_um", "readback_um"),
    *("focus_um", "started_s", "settling_s", "attempts", "status", "reason", "crc32"),
)
_RANGES: Final = {
    "index": range(_SCAN_POINTS),
    "attempts": range(256),
    "status": range(1, 3),
    "crc32": range(1 << 32),
}


def _real(said: Any) -> float:
    if type(said) not in (int, float) or not math.isfinite(said):
        raise ValueError(said)
    return float(said)


def _field(name: str, said: Any) -> Any:
    """Return the value of a field; ``ValueError`` or ``TypeError`` if it may not be that."""
    if said is None and name in ("drift_um", "readback_um", "focus_um"):
        return None
    if name == "focus_um":
        return _real(said)
    if name.endswith("_um"):
        x, y = said
        return _real(x), _real(y)
    if name.endswith("_s"):
        good = _real(said) >= 0
    elif name == "reason":
        good = type(said) is str
    else:
        good = type(said) is int and said in _RANGES[name]
    if not good:
        raise ValueError(said)
    return float(said) if name.endswith("_s") else said


def _encodable(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; ``ValueError`` if it holds lone surrogates anywhere."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)


def journal_line(line: bytes) -> str | None:
    """Return what a line of the journal says, floats exactly; ``None`` if it is damaged."""
    try:
        said = _DEFAULTS | json.loads(line.decode(), object_pairs_hook=_encodable)
        good = said.keys() == set(_FIELDS)
        return repr([_field(name, said[name]) for name in _FIELDS]) if good else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def check_journal(folder: Path, journal: bytes, cuts: list[int]) -> bool:
    """Read a journal as it grows; return whether all of it is taken."""
    *lines, torn = journal.split(b"\n")
    said = list(map(journal_line, lines))
    whole = said.index(None) if None in said else len(said)
    reader, got, refused = JournalReader(folder, _SCAN_POINTS), [], ""
    for cut in (*cuts, len(journal)):
        (folder / JOURNAL).write_bytes(journal[:cut])
        try:
            for record in reader.records():
                values = {**dict(record), "status": record.status.value}
                got.append(repr([values[name] for name in _FIELDS]))
        except RunStoreError as error:
            refused = str(error)
    demand(got == said[:whole], f"read {got}, expected {said[:whole]}")
    demand(bool(refused) == (whole < len(said)), f"refused with {refused!r}")
    named = f"journal line {whole + 1} is damaged"
    demand(not refused or named in refused, f"{named}: {refused}")
    demand(refused.isprintable() and len(refused) < 1000, f"not one line: {refused!r}")
    end = len(journal) - len(torn)
    demand(bool(refused) or reader.bytes_read == end, f"read {reader.bytes_read} bytes")
    return not refused


# Replies of a controller, read anew.

_DIGITS: Final = frozenset("0123456789")
_EXACT: Final = 330
"""Powers of ten beyond which a number is infinite or zero."""


def split_replies(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole replies of a stream, and the rest: a line that ends in SP goes on."""
    *lines, rest = stream.split(b"\n")
    replies: list[bytes] = []
    begun: list[bytes] = []
    for line in lines:
        begun.append(line)
        if not line.endswith(b" "):
            replies.append(b"\n".join(begun))
            begun = []
    return replies, b"\n".join([*begun, rest])


def _is_digits(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _unsigned(text: str) -> str:
    return text[1:] if text.startswith(("+", "-")) else text


def number(text: str) -> float | None:
    """Return the float nearest to a decimal number; ``None`` if it is none, or infinite."""
    mantissa, mark, exponent = text.replace("E", "e").partition("e")
    whole, _, part = _unsigned(mantissa).partition(".")
    if not _is_digits(whole + part) or (mark and not _is_digits(_unsigned(exponent))):
        return None
    power = int(exponent or "0") - len(part)
    digits = (whole + part).lstrip("0")
    value = 0.0
    if digits and len(digits) + power > -_EXACT:
        if len(digits) + power > _EXACT:
            return None
        try:
            value = float(int(digits) * Fraction(10) ** power)
        except OverflowError:
            return None
    return -value if text.startswith("-") else value


def numbers(lines: list[str], items: tuple[str, ...]) -> str | None:
    """Return the numbers of ``item=number`` lines, exactly; ``None`` if any is not that."""
    starts = [f"{item}=" for item in items]
    if len(lines) != len(items) or not all(map(str.startswith, lines, starts)):
        return None
    values = [number(line[len(start) :]) for line, start in zip(lines, starts, strict=True)]
    return None if None in values else repr(tuple(values))


def integer(lines: list[str]) -> str | None:
    """Return the one integer of a reply, of nine digits at most."""
    digits = lines[0].removeprefix("-") if len(lines) == 1 else ""
    return repr(int(lines[0])) if _is_digits(digits) and len(digits) <= 9 else None


def _taken(parse: Callable[..., object], *given: object) -> str | None:
    """Return what a parser says, exactly; ``None`` where it refuses."""
    try:
        return repr(parse(*given))
    except ProtocolError as error:
        why = str(error)
        demand(why.isprintable() and len(why) < 1000, f"not one line: {why!r}")
        return None


def _framed(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    """Take the replies of a stream that arrives in pieces."""
    buffer, got = b"", []
    for start, end in pairwise([0, *cuts, len(stream)]):
        buffer += stream[start:end]
        while True:
            reply, buffer = gcs_protocol.take_reply(buffer)
            if reply is None:
                break
            got.append(reply)
    return got, buffer


def check_serial(
    _: Path, stream: bytes, cuts: list[int], items: tuple[str, ...] = ("1", "2")
) -> bool:
    """Read replies as they arrive; return whether each is an integer or the numbers asked."""
    replies = _framed(stream, cuts)
    demand(replies == split_replies(stream), f"replies {replies}")
    understood = [_check_reply(reply, items) for reply in replies[0]]
    return all(understood)


def _check_reply(reply: bytes, items: tuple[str, ...]) -> bool:
    said = [line.strip(" \r\t") for line in reply.decode("latin-1").split("\n")]
    text = repr(said) if "".join(said).isprintable() else None
    demand(_taken(gcs_protocol.decode, reply) == text, f"expected lines {text}")
    if text is None:
        return False
    words = {word.upper() for line in said for word in line.split(" ")[:1] if word}
    demand(gcs_protocol.parse_commands(said) == words, f"expected commands {words}")
    code, values = integer(said), numbers(said, items)
    demand(_taken(gcs_protocol.parse_integer, said) == code, f"expected {code}")
    demand(_taken(gcs_protocol.parse_numbers, said, items) == values, f"expected {values}")
    return code is not None or values is not None


# What they are given.

_EDGES: Final = (
    "0 -0 -0.0 0e5 1E5 1e-400 5e-324 2.4703282292062327208e-324 1.7976931348623157e308 1e999"
    " 1.7976931348623159e308 -1e999 9007199254740993 18446744073709551616 -1 255 256 63 64 01"
    " 4294967295 4294967296 999999999 1000000000 -999999999 nan NaN -NaN inf Infinity"
    " -Infinity 1. .5 -.5 . + +1 1_0 0x1 --1 1e 1e+ e5 1e5.0 1\0002 1,5 1e99999999999"
    f" {'9' * 30} {'9' * 309} {10**308}"
).split(" ")
_NOT_NUMBERS: Final = (
    'true false null "1" [1,2] [1] [] [1,2,3] [true,1] ["1",2] [NaN,0] [null,0] [1,[2]] {}'
    r' {"a":1,"b":2} "" "\ud800" "\ud83d\ude00" "\u0000" "a\nb" "\u001b[2J" "\x"'
    f" {'[' * 250} {'9' * 4300} {'9' * 4301}"
).split(" ")
_KEYS: Final = (
    "index ",
    "Index",
    "",
    r"\u0069ndex",
    r"a\nb",
    r"\u001b[2J",
    "status",
    r"\ud800",
)
_SOUP: Final = b" |\n| \n|=|1|2|X|-|+|.|e|E|_|\r|\t|\0|\xb2|\xa0|\xff|{|}|[|]|:|,|nan".split(
    b"|"
)
_SPELLINGS: Final = ("{:.8f}", "{!r}", "{:.3e}", "{:.17E}", "{:.0f}")


def _number(random: Random, sign: int = 1) -> str:
    """Return a number, spelled in one of many ways; now and then it is none."""
    if random.random() < 0.05:
        return random.choice(_EDGES)
    if random.random() < 0.2:
        return (
            f"{random.randrange(10**18)}.{random.randrange(10**18)}e{random.randint(-340, 290)}"
        )
    value = random.uniform(min(0, -200 * sign), 200) * 10.0 ** random.choice(_POWERS)
    return random.choice(_SPELLINGS).format(value)


_POWERS: Final = (0, 0, 0, 0, -9, 15, -310, 300)


def _value(random: Random, name: str) -> str:
    """Return the JSON of a field of a record."""
    if name in _RANGES:
        return str(random.choice(_RANGES[name]))
    if name == "reason":
        return json.dumps(random.choice(_REASONS), ensure_ascii=random.random() < 0.5)
    if name.endswith("_s"):
        return _number(random, sign=0)
    if name in ("drift_um", "readback_um", "focus_um") and random.random() < 0.3:
        return "null"
    if name == "focus_um":
        return _number(random)
    return f"[{_number(random)}, {_number(random)}]"


_REASONS: Final = ("", "dark", 'a "quoted" \\', "line\nline", "\u00b5m \u2028 \U0001f600")


def _record(random: Random) -> str:
    """Return a line of a journal, hostile in one time of three."""
    names = [name for name in _FIELDS if name not in _DEFAULTS or random.random() < 0.8]
    fields = [(name, _value(random, name)) for name in names]
    if random.random() < 0.2:
        random.shuffle(fields)
    at = random.randrange(len(fields))
    name, value = fields[at]
    hostile = random.randrange(12)
    if hostile < 2:
        fields[at] = name, random.choice(_EDGES if hostile else _NOT_NUMBERS)
    elif hostile == 2:
        fields[at] = random.choice(_KEYS), value
    elif hostile == 3:
        fields.insert(random.randrange(len(fields)), (name, random.choice((value, "null"))))
    space = random.choice(("", "", "", " ", "\t", "\r"))
    return "{" + ",".join(f'{space}"{key}":{space}{text}' for key, text in fields) + "}" + space


def _reply(random: Random, items: tuple[str, ...]) -> str:
    """Return a reply of one kind or another, numbers mostly."""
    kind = random.randrange(20)
    if kind < 3:
        return str(random.randrange(1100)) if kind else random.choice(_EDGES)
    if kind == 3:
        return " \n".join(["valid commands:", "MOV? - ask", "#5", "*IDN?", "end"])
    lines = [f"{item}={_number(random)}" for item in items]
    if kind == 4:
        random.shuffle(lines)
    elif kind == 5:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    elif kind == 6:
        del lines[random.randrange(len(lines))]
    if random.random() < 0.0002:  # as long as a reply may be
        lines[-1:] = [f"{items[-1]}={random.choice('019.') * gcs_protocol.LONGEST_REPLY}x"]
    return " \n".join(lines)


def _changed(data: bytes, random: Random) -> bytes:
    """Change, take out, put in or repeat some bytes, one or more times."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        at, kind = random.randrange(len(made) + 1), random.randrange(5)
        if kind == 0:
            made[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del made[at : at + random.choice((1, 1, 20))]
        elif kind == 2:
            made[at:at] = random.choice(_SOUP)
        elif kind == 3:
            made[at:at] = made[max(0, at - random.randrange(1, 40)) : at]
        elif at < len(made):
            made[at] ^= 1 << random.randrange(8)
    return bytes(made)


def _sent(lines: list[str], encoding: str, random: Random) -> tuple[bytes, list[int]]:
    """Return lines as bytes, often damaged, and where they were cut when somebody looked."""
    data = "".join(f"{line}\n" for line in lines).encode(encoding)
    kind = random.randrange(60)
    if kind < 20:
        data = _changed(data, random)
    elif kind < 24:
        data = data[: random.randrange(len(data) + 1)]
    elif kind == 24:
        data = random.randbytes(random.randrange(40))
    elif kind == 25:
        data = b"".join(random.choices(_SOUP, k=random.randrange(30)))
    return data, _cuts(data, random, random.choice((0, 0, 1, 3)))


def _cuts(data: bytes, random: Random, pieces: int) -> list[int]:
    return sorted(random.randrange(len(data) + 1) for _ in range(pieces))


def make_journal(random: Random) -> tuple[bytes, list[int]]:
    """Return a journal, and where it was cut off when somebody looked."""
    return _sent([_record(random) for _ in range(random.choice(_COUNTS))], "utf-8", random)


def make_serial(random: Random) -> tuple[bytes, list[int], tuple[str, ...]]:
    """Return a stream, where it came in pieces, and the items that were asked for."""
    items = random.choice((("1", "2"), ("1", "2"), ("X", "Y"), ("A",), ("1", "2", "3", "4")))
    replies = [_reply(random, items) for _ in range(random.choice(_COUNTS))]
    return *_sent(replies, "latin-1", random), items


_COUNTS: Final = (0, 1, 1, 1, 2, 3)
_CHECKS: Final[dict[str, Callable[..., bool]]] = {
    "journal": check_journal,
    "serial": check_serial,
}
_MAKERS: Final[dict[str, Callable[[Random], tuple[Any, ...]]]] = {
    "journal": make_journal,
    "serial": make_serial,
}


# Running it.


def attack(name: str, count: int, seed: int) -> Tally:
    """Give a parser inputs made at random."""
    random, tally = Random(f"{seed} {name}"), Tally()
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        for _ in range(count):
            made = _MAKERS[name](random)
            tally.note(partial(_CHECKS[name], Path(folder), *made), made)
        tally.seconds = time.perf_counter() - began_s
    return tally


def guide(name: str, count: int, seed: int, folder: Path) -> None:
    """Give a parser inputs that libFuzzer makes; ends the process."""
    import atheris

    random, tally = Random(f"{seed} {name}"), Tally()
    (folder / "corpus").mkdir()
    for at in range(_CORPUS):
        data = bytes([at % 4]) + _MAKERS[name](random)[0]
        (folder / "corpus" / str(at)).write_bytes(data)
    for owner in (gcs_protocol, JournalReader, sys.modules[__name__]):
        for part in list(vars(owner).values()):
            if isinstance(part, FunctionType):
                atheris.instrument_func(part)

    def one(data: bytes) -> None:
        pieces, data = data[0] % 4 if data else 0, data[1:]
        made = data, _cuts(data, Random(data), pieces)
        tally.note(partial(_CHECKS[name], folder, *made), made)

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
    parser.add_argument("--guide", choices=_CHECKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count, seed = arguments.count, arguments.seed
    if arguments.guide:
        guide(arguments.guide, count, seed, arguments.folder)
    print("| | inputs | accepted | refused | crashes | wrong values | s | slowest, ms |")
    print("|---|---|---|---|---|---|---|---|")
    found = []
    for name in _CHECKS:
        found += show(name, attack(name, count // 2, seed))
    for name in _CHECKS:
        if importlib.util.find_spec("atheris"):
            found += show(f"{name}, guided", guided(name, count // 2 // _GUIDED_SHARE, seed))
        else:
            print(f"| {name}, guided: needs the package atheris | | | | | | | |")
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
