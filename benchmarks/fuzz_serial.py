"""Replies of a controller: another reader of them, and hostile ones."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

from fuzz_bytes import COUNTS, EDGES, number_text, sent
from fuzz_tally import demand

from configs.errors import ProtocolError
from drivers import gcs_protocol

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


def _reply(random: Random, items: tuple[str, ...]) -> str:
    """Return a reply of one kind or another, numbers mostly."""
    kind = random.randrange(20)
    if kind < 3:
        return str(random.randrange(1100)) if kind else random.choice(EDGES)
    if kind == 3:
        return " \n".join(["valid commands:", "MOV? - ask", "#5", "*IDN?", "end"])
    lines = [f"{item}={number_text(random)}" for item in items]
    if kind == 4:
        random.shuffle(lines)
    elif kind == 5:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    elif kind == 6:
        del lines[random.randrange(len(lines))]
    if random.random() < 0.0002:  # as long as a reply may be
        lines[-1:] = [f"{items[-1]}={random.choice('019.') * gcs_protocol.LONGEST_REPLY}x"]
    return " \n".join(lines)


def make_serial(random: Random) -> tuple[bytes, list[int], tuple[str, ...]]:
    """Return a stream, where it came in pieces, and the items that were asked for."""
    items = random.choice((("1", "2"), ("1", "2"), ("X", "Y"), ("A",), ("1", "2", "3", "4")))
    replies = [_reply(random, items) for _ in range(random.choice(COUNTS))]
    data = "".join(f"{reply}\n" for reply in replies).encode("latin-1")
    return *sent(data, random), items
