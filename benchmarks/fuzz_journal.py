"""The journal of a run: another reader of it, and hostile ones."""

import json
import math
import zlib
from pathlib import Path
from random import Random
from typing import Any, Final

from fuzz_bytes import COUNTS, EDGES, changed, number_text, sent
from fuzz_tally import demand

from acquisition.journal import JOURNAL, JournalReader
from configs.errors import RunStoreError

_SCAN_POINTS: Final = 64
_DEFAULTS: Final[dict[str, Any]] = {
    "correction_um": [0, 0],
    "drift_um": None,
    "focus_um": None,
    "repeat": None,
    "settling_s": 0,
    "reason": "",
}
_FIELDS: Final = (
    *("index", "target_um", "correction_um", "drift_um", "readback_um"),
    *("focus_um", "started_s", "settling_s", "attempts", "status", "reason"),
    *("repeat", "crc32"),
)
_RANGES: Final = {
    "index": range(_SCAN_POINTS),
    "attempts": range(256),
    "status": range(1, 3),
    "repeat": range(1 << 31),
    "crc32": range(1 << 32),
}


_OPTIONAL: Final = ("drift_um", "readback_um", "focus_um", "repeat")


def _real(said: Any) -> float:
    if type(said) not in (int, float) or not math.isfinite(said):
        raise ValueError(said)
    return float(said)


def _field(name: str, said: Any) -> Any:
    """Return the value of a field; ``ValueError`` or ``TypeError`` if it may not be that."""
    if said is None and name in _OPTIONAL:
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


def _seal(head: bytes) -> bytes:
    """Return how a line ends that begins so."""
    return b',"line_crc32":' + str(zlib.crc32(head)).encode() + b"}"


def journal_line(line: bytes) -> str | None:
    """Return what a line of the journal says, floats exactly; ``None`` if it is damaged."""
    head, _, _ = line.rpartition(b',"line_crc32":')
    try:
        fields = json.loads(head.decode() + "}", object_pairs_hook=_encodable)
        said = _DEFAULTS | fields
        good = said.keys() == set(_FIELDS) and line == head + _seal(head)
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


def _value(random: Random, name: str) -> str:
    """Return the JSON of a field of a record."""
    if name in _OPTIONAL and random.random() < 0.3:
        return "null"
    if name in _RANGES:
        return str(random.choice(_RANGES[name]))
    if name == "reason":
        return json.dumps(random.choice(_REASONS), ensure_ascii=random.random() < 0.5)
    if name.endswith("_s"):
        return number_text(random, sign=0)
    if name == "focus_um":
        return number_text(random)
    return f"[{number_text(random)}, {number_text(random)}]"


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
        fields[at] = name, random.choice(EDGES if hostile else _NOT_NUMBERS)
    elif hostile == 2:
        fields[at] = random.choice(_KEYS), value
    elif hostile == 3:
        fields.insert(random.randrange(len(fields)), (name, random.choice((value, "null"))))
    space = random.choice(("", "", "", " ", "\t", "\r"))
    return "{" + ",".join(f'{space}"{key}":{space}{text}' for key, text in fields) + "}" + space


def sealed(draft: bytes) -> bytes:
    """Return a journal whose lines all end in their checksum, whatever they hold."""
    *lines, torn = draft.split(b"\n")
    heads = [line[: line.rfind(b"}")] if b"}" in line else line for line in lines]
    return b"".join(head + _seal(head) + b"\n" for head in heads) + torn


def draft_journal(random: Random) -> bytes:
    """Return a journal without checksums, hostile in many ways."""
    lines = [_record(random).encode() for _ in range(random.choice(COUNTS))]
    if lines and random.random() < 0.25:
        at = random.randrange(len(lines))
        lines[at] = changed(lines[at], random)
    return b"".join(line + b"\n" for line in lines)


def make_journal(random: Random) -> tuple[bytes, list[int]]:
    """Return a journal, and where it was cut off when somebody looked."""
    draft = draft_journal(random)
    return sent(draft if random.random() < 0.02 else sealed(draft), random)
