"""The journal: what was written is read, bit for bit; whatever else lies there is refused."""

import json
import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.disk import Disk
from acquisition.frame import Frame, Status
from acquisition.journal import JOURNAL, JournalReader, JournalWriter, PointRecord
from acquisition.plan import ScanPoint
from configs.errors import RunStoreError

SCAN_POINTS = 64
MANY_NINES = 4300 * "9"  # as many digits as Python takes for a whole number

on_disk = settings(deadline=None)  # disks take their time

numbers = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(0, allow_infinity=False) | st.just(-0.0)
pairs = st.tuples(numbers, numbers)
records = st.builds(
    PointRecord,
    index=st.integers(0, SCAN_POINTS - 1),
    target_um=pairs,
    correction_um=pairs,
    drift_um=st.none() | pairs,
    readback_um=st.none() | pairs,
    focus_um=st.none() | numbers,
    started_s=times,
    settling_s=times,
    attempts=st.integers(0, 255),
    status=st.sampled_from([Status.VALID, Status.INVALID]),
    reason=st.text(),
    repeat=st.none() | st.integers(0, 2**31 - 1),
    crc32=st.integers(0, 2**32 - 1),
)
journals = st.lists(records, min_size=1, max_size=4)

# Values that JSON can say and a record may not hold, or only in some places.
hostile = st.one_of(
    st.sampled_from(
        [True, False, None, 1.0, "1", -1, -0.0, 2, 3, 255, 256, 2**32, SCAN_POINTS]
    ),
    st.sampled_from(
        [math.nan, math.inf, -math.inf, 2**53 + 1, 10**400, {}, [], [[]], "\ud800"]
    ),
    st.integers(),
    st.lists(st.floats() | st.integers() | st.booleans() | st.text(max_size=2), max_size=3),
)


@st.composite
def hostile_lines(draw):
    """A line of a journal of which a value is another, or a key."""
    fields = json.loads(draw(records).model_dump_json())
    name = draw(st.sampled_from(sorted(fields)))
    if draw(st.booleans()):
        fields[name] = draw(hostile)
    else:
        fields[draw(st.text(max_size=5))] = fields.pop(name)
    text = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode(errors="replace")
    return sealed(text) if draw(st.booleans()) else text


any_lines = st.lists(hostile_lines() | records.map(lambda one: line_of(one)[:-1]), max_size=4)
any_journals = st.one_of(
    st.binary(),
    st.tuples(any_lines.map(b"\n".join), st.sampled_from([b"", b"\n", b"\n\n", b"\r\n"])).map(
        b"".join
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def sealed(text):
    """A JSON object with the checksum that a line of the journal ends in."""
    head = text[:-1]
    return head + b',"line_crc32":' + str(zlib.crc32(head)).encode() + b"}"


def line_of(record):
    return sealed(record.model_dump_json().encode()) + b"\n"


def bits(some):
    """Records such that equal ones have the same bits, zeros with their signs."""
    return [repr(record) for record in some]


def whole(said):
    assert type(said) is int
    return said


def real(said):
    assert type(said) in (int, float)
    assert math.isfinite(said)
    return float(said)


def pair(said):
    x, y = said
    return real(x), real(y)


READERS = {
    "index": whole,
    "target_um": pair,
    "correction_um": pair,
    "drift_um": lambda said: None if said is None else pair(said),
    "readback_um": lambda said: None if said is None else pair(said),
    "focus_um": lambda said: None if said is None else real(said),
    "started_s": real,
    "settling_s": real,
    "attempts": whole,
    "status": lambda said: Status(whole(said)),
    "reason": str,
    "repeat": lambda said: None if said is None else whole(said),
    "crc32": whole,
}
DEFAULTS = {
    "correction_um": (0, 0),
    "drift_um": None,
    "focus_um": None,
    "settling_s": 0,
    "reason": "",
    "repeat": None,
}


def assert_valid(record, line):
    """A record is what another reader of JSON makes of its line, and may be a record."""
    said = DEFAULTS | json.loads(line)
    head = line.rstrip(b"\n")[: -len(f',"line_crc32":{said["line_crc32"]}}}')]
    assert said.pop("line_crc32") == zlib.crc32(head)
    assert said.keys() == READERS.keys()
    assert repr(dict(record)) == repr({name: READERS[name](said[name]) for name in READERS})
    assert 0 <= record.index < SCAN_POINTS
    assert min(record.started_s, record.settling_s) >= 0
    assert 0 <= record.attempts <= 255
    assert 0 <= record.crc32 < 2**32
    assert record.status in (Status.VALID, Status.INVALID)


def read(reader):
    """What a reader has to say: records, and what is wrong with the line behind them."""
    got, damage = [], ""
    try:
        got.extend(reader.records())
    except RunStoreError as error:
        damage = str(error)
    assert damage.isprintable()
    assert len(damage) < 500
    return got, damage


def read_whole(run, journal):
    (run / JOURNAL).write_bytes(journal)
    return read(JournalReader(run, SCAN_POINTS))


@on_disk
@given(st.lists(journals, max_size=3))
def test_records_come_back_bit_for_bit(run, batches):
    (run / JOURNAL).write_bytes(b"")
    writer, reader = JournalWriter(run, 0, Disk()), JournalReader(run, SCAN_POINTS)
    for batch in batches:
        writer.append(batch)
        assert bits(reader.records()) == bits(batch)
    written = [record for batch in batches for record in batch]
    assert bits(JournalReader(run, SCAN_POINTS).records()) == bits(written)


@on_disk
@given(journals, journals, st.data())
def test_a_torn_journal_has_its_whole_records_and_goes_on_behind_them(run, old, new, data):
    lines = list(map(line_of, old))
    cut = data.draw(st.integers(0, len(b"".join(lines))))
    (run / JOURNAL).write_bytes(b"".join(lines)[:cut])
    reader = JournalReader(run, SCAN_POINTS)
    kept = [record for at, record in enumerate(old) if len(b"".join(lines[: at + 1])) <= cut]
    assert bits(reader.records()) == bits(kept)
    assert reader.bytes_read == len(b"".join(lines[: len(kept)]))
    JournalWriter(run, reader.bytes_read, Disk()).append(new)
    assert bits(reader.records()) == bits(new)
    assert bits(JournalReader(run, SCAN_POINTS).records()) == bits(kept + new)


@on_disk
@given(any_journals)
def test_whatever_lies_there_is_valid_records_up_to_a_damaged_line(run, journal):
    lines = journal.split(b"\n")[:-1]
    got, damage = read_whole(run, journal)
    for record, line in zip(got, lines, strict=False):
        assert_valid(record, line)
    assert len(got) <= len(lines)
    assert bool(damage) == (len(got) < len(lines))
    assert f"journal line {len(got) + 1} is damaged: " in damage or not damage


FULL = PointRecord(
    index=17,
    target_um=(100.18, 99.82),
    correction_um=(0.004, -0.011),
    drift_um=(1e-05, 0.25),
    readback_um=(100.1803, 99.8198),
    started_s=1234.5,
    settling_s=0.0125,
    attempts=2,
    status=Status.INVALID,
    reason='no frame: "µm"',
    crc32=2**32 - 1,
)


def test_every_change_of_a_byte_is_seen(run):
    good, reader = line_of(FULL)[:-1], JournalReader(run, SCAN_POINTS)
    assert bits([reader._record(good)]) == bits([FULL])
    for at, was in enumerate(good):
        for byte in {*range(256)} - {was, ord("\n")}:
            line = good[:at] + bytes([byte]) + good[at + 1 :]
            with pytest.raises(RunStoreError, match="journal line 1 is damaged"):
                reader._record(line)


def test_a_line_end_within_a_line_is_damage(run):
    good = line_of(FULL)
    for at in range(len(good) - 1):
        got, damage = read_whole(run, good + good[:at] + b"\n" + good[at + 1 :])
        assert bits(got) == bits([FULL])
        assert "journal line 2 is damaged" in damage


@pytest.mark.parametrize("byte", sorted({*range(256)} - {ord("\n")}))
def test_a_line_without_its_end_is_damage_or_waits(run, byte):
    line = line_of(FULL)[:-1] + bytes([byte])
    assert read_whole(run, line) == ([], "")
    got, damage = read_whole(run, line + line_of(FULL))
    assert (got, "journal line 1 is damaged" in damage) == ([], True)


@on_disk
@given(journals, st.data())
def test_a_changed_byte_is_refused_whatever_stands_around_it(run, before, data):
    lines = list(map(line_of, before))
    changed = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[changed]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != lines[changed][at]))
    line = lines[changed][:at] + bytes([byte]) + lines[changed][at + 1 :]
    got, damage = read_whole(run, b"".join([*lines[:changed], line, *lines[changed + 1 :]]))
    assert bits(got) == bits(before[:changed])
    is_torn = changed == len(lines) - 1 and b"\n" not in line
    assert is_torn or f"journal line {changed + 1} is damaged" in damage


@on_disk
@given(any_journals, st.data())
def test_a_journal_is_read_alike_however_it_grows(run, journal, data):
    expected = read_whole(run, journal)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(journal)), max_size=5)))
    reader, got = JournalReader(run, SCAN_POINTS), []
    for cut in [*cuts, len(journal), len(journal)]:
        (run / JOURNAL).write_bytes(journal[:cut])
        more, damage = read(reader)
        got += more
    assert (bits(got), damage) == (bits(expected[0]), expected[1])


RECORD = {
    "index": "0",
    "target_um": "[1, 2.5]",
    "drift_um": "null",
    "readback_um": "[1, 2]",
    "focus_um": "null",
    "started_s": "0",
    "attempts": "1",
    "status": "2",
    "reason": '""',
    "crc32": "7",
}
NOT_REAL = [
    "NaN",
    "Infinity",
    "-1e999",
    "true",
    '"1"',
    "01",
    "1.",
    MANY_NINES,
    MANY_NINES + "9",
]
NOT_WHOLE = [*NOT_REAL, "-1", "1.0", "1e0", "null"]
NOT_PAIR = [pair for text in NOT_REAL for pair in (f"[0, {text}]", f"[{text}, 0]")]
NOT_PAIR += ["[]", "[0]", "[0, 0, 0]", "{}", '"12"', "1"]
REFUSED = {
    "index": [*NOT_WHOLE, str(SCAN_POINTS)],
    "target_um": [*NOT_PAIR, "null"],
    "drift_um": NOT_PAIR,
    "readback_um": NOT_PAIR,
    "focus_um": [*NOT_REAL, "[1]"],
    "started_s": [*NOT_REAL, "-5e-324", "null"],
    "attempts": [*NOT_WHOLE, "256"],
    "status": [*NOT_WHOLE, "0", "3"],
    "reason": ["1", "null", r'"\ud800"', r'"\x"', '"\0"', '"'],
    "crc32": [*NOT_WHOLE, str(2**32)],
}


def in_json(fields):
    text = "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
    return sealed(text.encode()) + b"\n"


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_record_may_not_hold_is_damage(run, name):
    assert read_whole(run, in_json(RECORD))[1] == ""
    for text in REFUSED[name]:
        got, damage = read_whole(run, in_json(RECORD | {name: text}))
        assert (got, "journal line 1 is damaged" in damage) == ([], True), text
        assert "checksum" not in damage


@pytest.mark.parametrize("name", sorted(RECORD.keys() - {"drift_um", "focus_um", "reason"}))
def test_a_record_that_lacks_something_is_damage(run, name):
    fields = {key: text for key, text in RECORD.items() if key != name}
    assert f"journal line 1 is damaged: {name}" in read_whole(run, in_json(fields))[1]


@pytest.mark.parametrize("text", ["5}", '{"index": 9999}', '{"other": 1}', "[]"])
def test_records_of_another_kind_are_damage(run, text):
    got, damage = read_whole(run, sealed(text.encode()) + b"\n")
    assert (got, "journal line 1 is damaged" in damage) == ([], True)


def test_a_line_without_a_checksum_is_damage(run):
    line = FULL.model_dump_json().encode() + b"\n"
    got, damage = read_whole(run, line)
    assert (got, "journal line 1 is damaged: its checksum differs" in damage) == ([], True)


@on_disk
@given(st.binary().map(lambda said: said.decode(errors="surrogateescape")))  # as SWIG does
def test_whatever_a_driver_says_is_kept_as_text(run, reason):
    point = ScanPoint(index=0, row=0, column=0, target_um=(1.0, 2.0))
    image = np.zeros((2, 2), np.uint16)
    frame = Frame(point, image, None, 0.0, 1, Status.INVALID, reason)
    ((kept,), _) = read_whole(run, line_of(PointRecord.of(frame)))
    assert kept.reason == reason.encode(errors="backslashreplace").decode()
