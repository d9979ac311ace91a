import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import LimitError, ProtocolError
from drivers import gcs_protocol

text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
replies = st.lists(st.lists(text, min_size=1, max_size=4), max_size=6)


# Bytes that mean something, and some that must not.
tokens = [
    " ",
    "\n",
    " \n",
    "=",
    "1=",
    "2=",
    "12",
    "0",
    "-",
    "+",
    ".",
    "e",
    "E5",
    "_",
    "nan",
    "inf",
]
tokens += [
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\xb2",
    "\xff",
    "10\n",
    "-7\n",
    "123456789\n",
    "1234567890\n",
]
tokens += ["1=1.5 \n2=-2E1\n", "2=0 \n1=0\n", "MOV? - go \n"]
streams = st.binary(max_size=40) | st.lists(st.sampled_from(tokens), max_size=9).map(
    lambda parts: "".join(parts).encode("latin-1")
)
number_texts = st.text("0123456789+-.eE_ nax\u0661", max_size=12) | st.builds(
    "{}{}.{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**25),
    st.text("0123456789", max_size=25),
    st.sampled_from(["", "e", "E", "e-", "E+"]),
    st.integers(0, 400) | st.just(""),
)


def framed(lines):
    return (" \n".join(lines) + "\n").encode("latin-1")


def split(stream):
    """Whole replies of a stream, and the rest: a line that ends in SP goes on."""
    replies, begun = [], []
    *lines, rest = stream.split(b"\n")
    for line in lines:
        begun.append(line)
        if not line.endswith(b" "):
            replies.append(b"\n".join(begun))
            begun = []
    return replies, b"\n".join([*begun, rest])


def is_digits(text):
    return text != "" and set(text) <= set("0123456789")


def number(text):
    """The float next to a decimal number, by exact fractions; ``None`` if it is none."""
    negative, text = text.startswith("-"), text[text[:1] in ("+", "-") :]
    mantissa, mark, exponent = text.replace("E", "e").partition("e")
    whole, _, part = mantissa.partition(".")
    if not is_digits(whole + part):
        return None
    if mark and not is_digits(exponent[exponent[:1] in ("+", "-") :]):
        return None
    power = max(-5000, min(int(exponent or "0"), 5000)) - len(part)
    try:
        value = float(int(whole + part) * Fraction(10) ** power)
    except OverflowError:
        return None
    return -value if negative else value


def taken(parse, *given):
    """What a parser says, exactly; ``None`` where it refuses, in one line."""
    refusal = ""
    try:
        return repr(parse(*given))
    except ProtocolError as error:
        refusal = str(error)
    assert refusal.isprintable()
    assert len(refusal) < 300
    return None


@given(replies, st.data())
def test_replies_are_framed_alike_however_the_bytes_arrive(sent, data):
    stream = b"".join(map(framed, sent))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    buffer, got = b"", []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[start:end]
        while True:
            reply, buffer = gcs_protocol.take_reply(buffer)
            if reply is None:
                break
            got.append(gcs_protocol.decode(reply))
    assert got == sent
    assert buffer == b""


@given(st.binary(max_size=100))
def test_framing_neither_loses_nor_invents_bytes(buffer):
    reply, rest = gcs_protocol.take_reply(buffer)
    assert (rest if reply is None else reply + b"\n" + rest) == buffer
    assert reply is None or not reply.endswith(b" ")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_are_read_exactly_as_printed(numbers):
    items = [str(index) for index, _ in enumerate(numbers)]
    lines = [f"{item}={number!r}" for item, number in zip(items, numbers, strict=True)]
    assert gcs_protocol.parse_numbers(lines, items) == tuple(numbers)


@given(replies.filter(bool), st.lists(text, min_size=1, max_size=3))
def test_numbers_are_read_for_the_items_asked_or_not_at_all(sent, items):
    for lines in sent:
        try:
            numbers = gcs_protocol.parse_numbers(lines, items)
        except ProtocolError as refused:
            message = str(refused)
        else:
            message = ""
            assert all(map(math.isfinite, numbers))
            assert [line.split("=")[0] for line in lines] == items
        assert "\n" not in message


@given(st.binary(max_size=40))
def test_only_printable_text_is_decoded(reply):
    try:
        shown = gcs_protocol.decode(reply)
    except ProtocolError as refused:
        shown = [str(refused)]
    assert all(line.isprintable() for line in shown)


@given(st.integers(-(10**9) + 1, 10**9 - 1))
def test_error_codes_are_read_and_any_of_them_has_a_message(code):
    assert gcs_protocol.parse_integer([str(code)]) == code
    error = gcs_protocol.refusal(code, "MOV")
    assert isinstance(error, LimitError) == (code == 7)
    assert f"got {code} " in str(error)


@given(streams, st.data())
def test_any_bytes_are_framed_alike_however_they_arrive(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    buffer, got = b"", []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[start:end]
        while True:
            reply, buffer = gcs_protocol.take_reply(buffer)
            if reply is None:
                break
            got.append(reply)
    assert (got, buffer) == split(stream)


@given(number_texts)
def test_a_number_is_the_float_next_to_it_or_refused(text):
    expected = number(text)
    got = taken(gcs_protocol.parse_numbers, [f"X={text}"], ["X"])
    assert got == (None if expected is None else repr((expected,)))


@pytest.mark.parametrize(
    "text",
    ["", "1_0", "\u0661", "1 ", "1\n", "1e999", "-1e999", "nan", "inf", "0x1", ".", "1e"],
)
def test_what_is_no_finite_number_is_refused(text):
    assert taken(gcs_protocol.parse_numbers, [f"X={text}"], ["X"]) is None


@pytest.mark.parametrize(
    "text", ["", "1.0", "+1", "1_0", "\u0661", "--1", "1" * 10, "X=1", "1\n"]
)
def test_what_is_no_short_integer_is_refused(text):
    assert taken(gcs_protocol.parse_integer, [text]) is None
    assert taken(gcs_protocol.parse_integer, ["1", text]) is None


@pytest.mark.parametrize("sent", ["21", "1", "2", "12 ", "112", "122", "13", "X2", ""])
def test_numbers_of_other_items_are_refused(sent):
    assert taken(gcs_protocol.parse_numbers, [f"{item}=1" for item in sent], ["1", "2"]) is None


@given(streams)
def test_any_bytes_are_refused_or_read_as_what_they_say(stream):
    for reply in split(stream)[0]:
        lines = [line.strip(" \r\t") for line in reply.decode("latin-1").split("\n")]
        decoded = taken(gcs_protocol.decode, reply)
        if not "".join(lines).isprintable():
            assert decoded is None
            continue
        assert decoded == repr(lines)
        words = {line.split(" ")[0].upper() for line in lines if line}
        assert gcs_protocol.parse_commands(lines) == words
        is_code = len(lines) == 1 and is_digits(lines[0].removeprefix("-"))
        code = repr(int(lines[0])) if is_code and len(lines[0].lstrip("-")) <= 9 else None
        assert taken(gcs_protocol.parse_integer, lines) == code
        values = [number(line.partition("=")[2]) for line in lines]
        asked = [line.partition("=")[0] for line in lines] == ["1", "2"]
        good = repr(tuple(values)) if asked and None not in values else None
        assert taken(gcs_protocol.parse_numbers, lines, ["1", "2"]) == good


@pytest.mark.parametrize("text", ["9{}x", "9{}", "0.{}e", ".{}.", "1e{}", "{}e-5_"])
def test_a_reply_of_any_length_is_refused_at_once(text):
    line = "X=" + text.format("9" * gcs_protocol.LONGEST_REPLY)
    began_s = time.thread_time()
    assert taken(gcs_protocol.parse_numbers, [line], ["X"]) is None
    assert time.thread_time() - began_s < 1.0
