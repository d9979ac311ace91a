import math

from hypothesis import given
from hypothesis import strategies as st

from configs.errors import LimitError, ProtocolError
from drivers import gcs_protocol

text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
replies = st.lists(st.lists(text, min_size=1, max_size=4), max_size=6)


def framed(lines):
    return (" \n".join(lines) + "\n").encode("latin-1")


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
