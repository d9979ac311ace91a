from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.instrument import SimulatedStageConfig, Travel
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.line_faults import LineFaults

QUIET = SimulatedStageConfig(noise_nm=0.0)


class Bench:
    """A controller and its clock."""

    def __init__(self, *, servo=True, **changes):
        self.clock = VirtualClock()
        self.controller = GcsController(
            self.clock, Travel(x_um=(0, 200), y_um=(0, 100)), mechanics=QUIET, **changes
        )
        if servo:
            assert self.ask("SVO 1 1 2 1") == ""

    def ask(self, *lines):
        return self.controller.feed("".join(f"{line}\n" for line in lines).encode()).decode(
            "latin-1"
        )

    def error(self):
        return int(self.ask("ERR?"))

    def after(self, seconds):
        self.clock.sleep(seconds)
        return self


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("CSV?", "2.0\n"),
        ("SAI?", "1 \n2\n"),
        ("SAI? ALL", "1 \n2\n"),
        ("SVO? 1", "1=1\n"),
        ("svo? 2 1", "2=1 \n1=1\n"),
        ("MOV?", "1=100.00000000 \n2=50.00000000\n"),
        ("POS? 1 2", "1=100.00000000 \n2=50.00000000\n"),
        ("TMN?", "1=0.00000000 \n2=0.00000000\n"),
        ("TMX?", "1=200.00000000 \n2=100.00000000\n"),
        ("OVF?", "1=0 \n2=0\n"),
        ("ERR?", "0\n"),
    ],
)
def test_queries_are_answered_as_the_manual_says(bench, command, reply):
    assert bench.ask(command) == reply
    assert bench.error() == 0


def test_it_says_that_it_is_simulated_where_the_serial_number_stands(bench):
    assert bench.ask("*IDN?").split(", ")[2] == "SIMULATED"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("WAV 1 X LIN 10 1 0 10 0 0", 2),
        ("WGO?", 2),
        ("XYZ?", 2),
        ("MOV 1 200.001", 7),
        ("MOV 1 110 2 100.001", 7),
        ("MOV 1 -0.001", 7),
        ("MOV 1 1e999", 7),
        ("MOV 3 10", 15),
        ("MOV 1 10 3 10", 15),
        ("POS? 3", 15),
        ("POS? 1 3", 15),
        ("MOV 1 ten", 1),
        ("MOV 1 NaN", 1),
        ("MOV 1 1_0", 1),
        ("MOV 1", 24),
        ("MOV", 24),
        ("MOV 1 10 1 20", 22),
        ("MOV" + " 1 10" * 17, 24),
        ("MOV 1 " + "1" * 2000, 3),
        ("SVO 1 2", 17),
        ("SVA 1 10", 79),
        ("SVA 2 10 1 10", 79),
        ("STP", 10),
        ("HLT 1", 10),
        ("\x18", 10),
    ],
)
def test_a_line_that_cannot_run_is_silent_and_nothing_of_it_runs(bench, command, code):
    before = bench.ask("MOV?", "SVO?", "POS?")
    assert bench.ask(command) == ""
    assert bench.error() == code
    assert bench.error() == 0
    assert bench.after(1.0).ask("MOV?", "SVO?", "POS?") == before


def test_a_refusal_does_not_clear_what_an_earlier_line_left_until_it_is_read(bench):
    bench.ask("MOV 1 999", "MOV 1 110", "POS?")
    assert bench.error() == 7
    assert bench.after(1.0).ask("POS? 1") == "1=110.00000000\n"


def test_a_move_ramps_settles_and_only_then_is_on_target(bench):
    assert bench.ask("MOV 1 150 2 50.18", "ONT?") == "1=0 \n2=0\n"
    assert bench.ask("\x05") == "3\n"
    bench.after(0.001)
    assert bench.ask("\x05") == "1\n"
    bench.after(0.0045)
    assert bench.ask("\x05") == "0\n"
    assert bench.ask("ONT? 1") == "1=0\n", "not moving is not settled"
    position = float(bench.ask("POS? 1")[2:])
    assert 120 < position < 149.9
    for _ in range(100):
        if "1=1" in bench.after(0.0002).ask("ONT? 1"):
            break
    assert bench.clock.now() > 0.0055 + 0.005
    assert float(bench.ask("POS? 1")[2:]) == pytest.approx(150, abs=0.002)


def test_with_the_servo_off_it_neither_moves_nor_is_on_target():
    bench = Bench(servo=False)
    assert bench.after(1.0).ask("ONT?") == "1=0 \n2=0\n"
    assert bench.ask("MOV 1 10") == ""
    assert bench.error() == 5
    bench.ask("SVO 1 1")
    assert bench.after(1.0).ask("ONT?") == "1=1 \n2=0\n"
    assert bench.ask("MOV 1 10 2 10") == ""
    assert bench.error() == 5
    assert bench.after(1.0).ask("POS? 1") == "1=100.00000000\n"


def test_open_loop_values_move_it_inexactly_and_closing_the_loop_holds_it():
    bench = Bench(servo=False)
    bench.ask("SVA 1 150")
    assert bench.error() == 0
    reached = float(bench.after(1.0).ask("POS? 1")[2:])
    assert 120 < reached < 149
    assert bench.ask("SVA? 1") == "1=150.00000000\n"
    assert bench.ask("OVF? 1") == "1=0\n"
    assert bench.ask("SVA 1 201") == ""
    assert bench.error() == 17
    bench.ask("SVO 1 1")
    held = float(bench.after(100.0).ask("POS? 1")[2:])
    assert held == pytest.approx(reached, abs=0.001)
    assert float(bench.ask("MOV? 1")[2:]) == pytest.approx(held)


def test_switching_the_servo_off_during_a_move_leaves_it_where_it_is(bench):
    bench.ask("MOV 1 200")
    bench.after(0.005).ask("SVO 1 0")
    assert bench.after(1.0).ask("POS? 1") == "1=150.00000000\n"


@pytest.mark.parametrize("stop", ["\x18", "STP\n", "HLT 1\n", "HLT\n"])
def test_stop_halts_a_move_and_sets_error_10(bench, stop):
    bench.ask("MOV 1 200")
    bench.after(0.005).controller.feed(stop.encode())
    assert bench.error() == 10
    assert bench.after(1.0).ask("POS? 1", "ONT? 1") == "1=150.00000000\n1=1\n"
    bench.ask("MOV 1 120")
    assert bench.after(1.0).ask("POS? 1") == "1=120.00000000\n"


def test_single_bytes_act_in_the_middle_of_a_line(bench):
    assert bench.controller.feed(b"MO\x07V 1 1\x0550\n") == b"\xb1\n0\n"
    assert bench.controller.feed(b"PO\x09S? 1\n") == b"0\n1=100.00000000\n"
    assert bench.controller.feed(b"ER\x18R?\n") == b"10\n"


@given(st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(data):
    stream = b"MOV 1 150 2 20\nERR?\nPOS?\n\x05XYZ?\nERR?\n\x18ERR?\nMOV?\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1))))
    whole, cut = Bench(), Bench()
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join(map(cut.controller.feed, parts)) == whole.controller.feed(stream)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_leave_it_working(noise):
    bench = Bench()
    bench.controller.feed(noise + b"\n")
    bench.ask("SVO 1 1 2 1", "ERR?")
    assert bench.after(10.0).ask("CSV?") == "2.0\n"


def test_a_loop_that_asks_for_more_than_its_ceramic_has_overflows():
    bench = Bench(reach=Travel(x_um=(0, 150), y_um=(0, 100)))
    bench.ask("MOV 1 180")
    assert bench.error() == 0
    bench.after(10.0)
    assert bench.ask("OVF?") == "1=1 \n2=0\n"
    assert bench.ask("ONT?") == "1=0 \n2=1\n"
    assert bench.ask("POS? 1") == "1=150.00000000\n"
    bench.ask("MOV 1 140")
    assert bench.after(1.0).ask("OVF? 1", "ONT? 1") == "1=0\n1=1\n"


def test_an_old_generation_speaks_another_dialect():
    bench = Bench(servo=False, generation=1)
    assert bench.ask("CSV?") == ""
    assert bench.error() == 2
    assert "E-516" in bench.ask("*IDN?")
    assert "CSV?" not in bench.ask("HLP?")
    assert bench.ask("SAI?") == "AB\n"
    bench.ask("SVO A1B1", "MOV A10")
    assert bench.error() == 0
    assert bench.after(1.0).ask("POS? AB") == "A=10.00000000 \nB=50.00000000\n"
    bench.ask("MOV 1 10")
    assert bench.error() != 0


def test_the_truth_is_where_the_mechanics_are_not_the_target_and_not_the_reading():
    bench = Bench()
    bench.controller = GcsController(bench.clock, Travel(), seed=1)
    bench.ask("SVO 1 1 2 1", "MOV 1 200")
    bench.after(0.005)
    x, y = bench.controller.true_position_um()
    assert 120 < x < 149.9
    assert y == pytest.approx(100, abs=0.004)
    assert y != float(bench.ask("POS? 2")[2:])


def test_axes_can_be_named():
    bench = Bench(servo=False, axes=("2", "1"))
    bench.ask("SVO 2 1", "MOV 2 150")
    bench.after(1.0)
    assert bench.controller.true_position_um() == pytest.approx((150, 50))


REPLIES = [b"1=0 \n2=0\n", b"0\n", b"1=3.5\n"]


def over(faults, replies=REPLIES):
    return [[piece for _, piece in faults.pieces(reply)] for reply in replies]


def test_a_line_without_faults_passes_replies_on():
    assert over(LineFaults()) == [[reply] for reply in REPLIES]


def test_each_fault_does_what_its_name_says():
    assert over(LineFaults(drop=1)) == [[], [], []]
    assert over(LineFaults(nul=1)) == [[b"\0" + reply] for reply in REPLIES]
    assert over(LineFaults(stale=1))[1] == [REPLIES[0] + REPLIES[1]]
    assert all(len(piece) == 1 for pieces in over(LineFaults(split=1)) for piece in pieces)
    assert b"".join(chain(*over(LineFaults(split=1)))) == b"".join(REPLIES)
    assert over(LineFaults(coalesce=1)) == [[], [], []]
    assert list(LineFaults(delay=1, delay_s=0.5).pieces(b"0\n")) == [(0.5, b"0\n")]
    for reply, (spoilt,) in zip(REPLIES, over(LineFaults(garbage=1)), strict=True):
        assert spoilt != reply
        assert bytes(byte for byte in spoilt if not 0x80 <= byte < 0xA0) == reply


def test_a_coalesced_reply_comes_with_the_next_one():
    faults = LineFaults(coalesce=0.5, seed=4)
    pieces = over(faults, REPLIES * 20)
    sent = b"".join(chain(*pieces))
    assert [] in pieces
    assert (b"".join(REPLIES) * 20).startswith(sent)
    assert len(sent) > 100


def test_faults_hit_as_often_as_asked_and_repeat_with_their_seed():
    replies = [b"0\n"] * 2000
    first, again, other = (over(LineFaults(drop=0.1, seed=seed), replies) for seed in (1, 1, 2))
    assert first == again != other
    assert np.mean([not pieces for pieces in first]) == pytest.approx(0.1, abs=0.02)
