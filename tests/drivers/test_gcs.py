"""The driver against byte transcripts: what it sends, and what it makes of replies."""

import threading
from contextlib import contextmanager

import pytest
import serial

from configs.errors import DeviceError, DeviceTimeout, LimitError, ProtocolError
from configs.instrument import GcsStageConfig, Travel
from drivers.gcs import GcsStage
from drivers.gcs_protocol import GcsRefusal
from simulation.clock import VirtualClock
from simulation.serial_line import SerialLine

REPLY_TIMEOUT_S = 0.1


def config(port, **changes):
    values = {"kind": "gcs", "port": port, "reply_timeout_s": REPLY_TIMEOUT_S}
    return GcsStageConfig(**(values | changes))


class Transcript:
    """A controller that expects exactly these bytes, and answers exactly those."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.unexpected = b""
        self._heard = b""

    def feed(self, data):
        self._heard += data
        answer = b""
        while self.steps and self._heard.startswith(self.steps[0][0]):
            sent, reply = self.steps.pop(0)
            self._heard = self._heard[len(sent) :]
            answer += reply
        if self._heard and not (self.steps and self.steps[0][0].startswith(self._heard)):
            self.unexpected += self._heard
        return answer


@contextmanager
def transcribed(*steps, travel=None, **changes):
    """A stage against a transcript, all of which it must use."""
    transcript = Transcript(*steps)
    with SerialLine(transcript) as line:
        stage = GcsStage(config(line.port, **changes), travel or Travel(), VirtualClock())
        yield stage
        stage.close()
    assert transcript.unexpected == b""
    assert transcript.steps == []


IDN = b"(c)2015-2018 Physik Instrumente (PI) GmbH & Co. KG, E-727.3CDA, 120040681, 14.11.01.05"
HELP = (
    b"The following commands are valid: \n#5 motion \nMOV {<AxisID> <Position>} \n"
    b"ONT? \nOVF? \nPOS? \nSVO \nSVO? \nTMN? \nTMX? \nend of help\n"
)
GREETING = [(b"\n", b""), (b"ERR?\n", b"0\n"), (b"ERR?\n", b"0\n")]
IDENTIFICATION = [
    (b"*IDN?\nERR?\n", IDN + b"\n0\n"),
    (b"CSV?\nERR?\n", b"2.0\n0\n"),
    (b"SAI?\nERR?\n", b"1 \n2 \n3\n0\n"),
    (b"HLP?\nERR?\n", HELP + b"0\n"),
    (b"TMN? 1 2\nTMX? 1 2\nERR?\n", b"1=0.00000000 \n2=-5.0\n1=200.00000000 \n2=150\n0\n"),
]
SERVO = [(b"SVO 1 1 2 1\nERR?\n", b"0\n"), (b"SVO? 1 2\nERR?\n", b"1=1 \n2=1\n0\n")]
OPEN = [*GREETING, *IDENTIFICATION, *SERVO]
CLOSE = [(b"\x18", b""), (b"ERR?\n", b"10\n"), (b"ERR?\n", b"0\n")]


def test_opening_identifies_checks_and_switches_the_servo_on():
    with transcribed(*OPEN, *CLOSE, travel=Travel(x_um=(10, 300), y_um=(-20, 100))) as stage:
        assert stage.identity.name == IDN.decode()
        assert stage.identity.origin == "hardware"
        assert stage.limits == Travel(x_um=(10, 200), y_um=(-5, 100))


def test_opening_drains_errors_that_earlier_programs_left():
    stale = [(b"\n", b""), (b"ERR?\n", b"1\n"), (b"ERR?\n", b"2\n"), (b"ERR?\n", b"0\n")]
    with transcribed(*stale, *IDENTIFICATION, *SERVO, *CLOSE):
        pass


def test_controllers_that_boot_offline_are_put_online_by_channel_number():
    help_text = HELP.replace(b"ONT?", b"ONL \nONT?")
    steps = [
        *GREETING,
        *IDENTIFICATION[:2],
        (b"SAI?\nERR?\n", b"A \nB \nC\n0\n"),
        (b"HLP?\nERR?\n", help_text + b"0\n"),
        (b"TMN? B A\nTMX? B A\nERR?\n", b"B=0 \nA=0\nB=200 \nA=200\n0\n"),
        (b"ONL 2 1 1 1\nERR?\n", b"0\n"),
        (b"SVO B 1 A 1\nERR?\n", b"0\n"),
        (b"SVO? B A\nERR?\n", b"B=1 \nA=1\n0\n"),
        *CLOSE,
    ]
    with transcribed(*steps, x_axis="B", y_axis="A"):
        pass


def test_a_point_of_a_scan_byte_for_byte():
    steps = [
        *OPEN,
        (b"MOV 1 12.3457 2 5.2000\nERR?\n", b"0\n"),
        (b"ONT? 1 2\nOVF? 1 2\nERR?\n", b"1=0 \n2=1\n1=0 \n2=0\n0\n"),
        (b"ONT? 1 2\nOVF? 1 2\nERR?\n", b"1=1 \n2=1\n1=0 \n2=0\n0\n"),
        (b"POS? 1 2\nERR?\n", b"1=12.34570164 \n2=5.19985313e+00\n0\n"),
        *CLOSE,
    ]
    with transcribed(*steps) as stage:
        stage.move_to(12.34567, 5.2)
        stage.wait_settled(1.0)
        assert stage.position() == (12.34570164, 5.19985313)


def test_a_controller_without_overflow_query_is_not_asked_for_it():
    steps = [
        *GREETING,
        *IDENTIFICATION[:3],
        (b"HLP?\nERR?\n", HELP.replace(b"OVF? \n", b"") + b"0\n"),
        *IDENTIFICATION[4:],
        *SERVO,
        (b"ONT? 1 2\nERR?\n", b"1=1 \n2=1\n0\n"),
        *CLOSE,
    ]
    with transcribed(*steps) as stage:
        stage.wait_settled(1.0)


def test_a_moment_at_the_end_of_the_range_is_no_saturation():
    poll = b"ONT? 1 2\nOVF? 1 2\nERR?\n"
    moments = [b"1=0 \n2=0\n1=%d \n2=0\n0\n" % (index % 25 == 0) for index in range(51)]
    last = b"1=1 \n2=1\n1=0 \n2=0\n0\n"
    steps = [*OPEN, *((poll, reply) for reply in [*moments, last]), *CLOSE]
    with transcribed(*steps) as stage:
        stage.wait_settled(1.0)


def test_stop_goes_out_as_one_byte_and_its_error_is_read_away():
    move = (b"MOV 1 1.0000 2 1.0000\nERR?\n", b"0\n")
    with transcribed(*OPEN, move, *CLOSE, move, *CLOSE) as stage:
        stage.move_to(1, 1)
        stage.stop()
        stage.move_to(1, 1)


def test_reconnecting_byte_for_byte():
    known = [*GREETING, IDENTIFICATION[0], *CLOSE, *IDENTIFICATION[1:], *SERVO]
    with transcribed(*OPEN, *known, *CLOSE) as stage:
        stage.reconnect()


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (1, GcsRefusal, "parameter syntax"),
        (5, GcsRefusal, "axis unreferenced or servo off"),
        (7, LimitError, r"position limit\); nothing moved"),
        (10, GcsRefusal, "stopped"),
        (15, GcsRefusal, r"bad axis\); correct x_axis"),
        (73, GcsRefusal, "the wave generator is active"),
        (1005, GcsRefusal, "controller is busy"),
        (-1024, GcsRefusal, "see the controller's manual"),
    ],
)
def test_errors_of_the_controller_say_what_they_mean(code, error, message):
    steps = [*OPEN, (b"MOV 1 1.0000 2 1.0000\nERR?\n", b"%d\n" % code), *CLOSE]
    expected = rf"MOV 1 1\.0000 2 1\.0000: expected no error, got {code} \({message}"
    with transcribed(*steps) as stage:
        with pytest.raises(error, match=expected) as caught:
            stage.move_to(1, 1)
        assert "\n" not in str(caught.value)


def test_a_refused_query_is_silent_and_still_explained_by_its_error():
    steps = [*OPEN, (b"POS? 1 2\nERR?\n", b"2\n"), *CLOSE]
    with (
        transcribed(*steps) as stage,
        pytest.raises(GcsRefusal, match=r"POS\? 1 2: .*unknown command"),
    ):
        stage.position()


@pytest.mark.parametrize(
    "reply",
    [
        b"1=1.0 \n3=2.0\n0\n",
        b"2=2.0 \n1=1.0\n0\n",
        b"1=1.0\n0\n",
        b"1=1.0 \n2=2.0 \n3=0\n0\n",
        b"1.0 \n2.0\n0\n",
        b"1=1.0 \n2=nan\n0\n",
        b"1=1.0 \n2=1e999\n0\n",
        b"1=1.0 \n2=1_0\n0\n",
        b"1=1.0 \n2=\n0\n",
        b"1=1.0 \n2=2.\x84\n0\n",
        b"\n0\n",
        b"0\n1=1.0 \n2=2.0\n",
        b"1=1.0 \n2=2.0\n0\n0\n",
        b"1=1.0 \n2=2.0\n0\n1",
        b"1=1.0 \n2=2.0\n0=0\n",
    ],
)
def test_replies_that_are_not_what_was_asked_are_rejected_and_the_link_recovers(reply):
    steps = [
        *OPEN,
        (b"POS? 1 2\nERR?\n", reply),
        (b"ERR?\n", b"0\n"),
        (b"POS? 1 2\nERR?\n", b"1=3.0 \n2=4.0\n0\n"),
        *CLOSE,
    ]
    with transcribed(*steps) as stage:
        with pytest.raises(ProtocolError, match=r"POS\? 1 2: .*expected") as caught:
            stage.position()
        assert "\n" not in str(caught.value)
        assert stage.position() == (3.0, 4.0)


POSITION = b"POS? 1 2\nERR?\n"
TWICE = b"1=1.0 \n2=2.0\n0\n"


def test_a_reply_that_comes_again_puts_the_exchange_before_it_in_doubt():
    answer = (POSITION, b"1=3.0 \n2=4.0\n0\n")
    transcript = Transcript(*OPEN, answer, (b"ERR?\n", b"0\n"), answer, *CLOSE)
    with SerialLine(transcript) as line:
        stage = GcsStage(config(line.port), Travel(), VirtualClock())
        stage.position()
        line._channel.send(TWICE)
        while not stage._link._port.in_waiting:
            pass
        with pytest.raises(ProtocolError, match=r"expected silence before .*1=1\.0"):
            stage.position()
        assert stage.position() == (3.0, 4.0)
        stage.close()
    assert transcript.unexpected == b""
    assert transcript.steps == []


def test_out_of_step_the_link_waits_for_late_replies_and_discards_them():
    answer = (POSITION, b"1=3.0 \n2=4.0\n0\n")
    transcript = Transcript(
        *OPEN, (POSITION, b"0\n0\n"), (b"ERR?\n", b"0\n"), answer, answer, *CLOSE
    )
    with SerialLine(transcript) as line:
        stage = GcsStage(config(line.port), Travel(), VirtualClock())
        with pytest.raises(ProtocolError):
            stage.position()
        late = threading.Timer(REPLY_TIMEOUT_S / 2, line._channel.send, [TWICE])
        late.start()
        assert stage.position() == (3.0, 4.0)
        late.join()
        assert stage.position() == (3.0, 4.0)
        stage.close()
    assert transcript.unexpected == b""
    assert transcript.steps == []


def failing_to_open(*steps, match, error=DeviceError, **changes):
    transcript = Transcript(*steps)
    with SerialLine(transcript) as line:
        with pytest.raises(error, match=match) as caught:
            GcsStage(config(line.port, **changes), Travel(), VirtualClock())
        assert line.port in str(caught.value) or error is LimitError
        # The error in hand still refers to the port: only closing it lets another in.
        serial.serial_for_url(line.port, exclusive=True).close()
    assert transcript.unexpected == b""
    assert transcript.steps == []
    return caught.value


def test_a_servo_that_does_not_switch_on_is_named():
    refused = (b"SVO? 1 2\nERR?\n", b"1=1 \n2=0\n0\n")
    failing_to_open(*GREETING, *IDENTIFICATION, SERVO[0], refused, match="off for axis 2;")


def test_a_servo_that_refuses_says_why():
    refused = (b"SVO 1 1 2 1\nERR?\n", b"63\n")
    failing_to_open(*GREETING, *IDENTIFICATION, refused, match="initialisation is running")


def test_axes_that_the_controller_lacks_are_named_with_those_it_has():
    failing_to_open(
        *GREETING, *IDENTIFICATION[:3], match="axes 1, 2, 3, got 1 and B", y_axis="B"
    )
    failing_to_open(*GREETING, *IDENTIFICATION[:3], match="got 1 and 1", y_axis="1")


def test_a_controller_without_closed_loop_commands_is_refused():
    lacking = (b"HLP?\nERR?\n", HELP.replace(b"ONT? \n", b"") + b"0\n")
    failing_to_open(*GREETING, *IDENTIFICATION[:3], lacking, match=r"without ONT\?")


def test_another_version_of_the_command_set_is_refused():
    failing_to_open(
        *GREETING, IDENTIFICATION[0], (b"CSV?\nERR?\n", b"1.0\n0\n"), match=r"got 1\.0"
    )


def test_travel_that_overlaps_nowhere_is_a_limit_error():
    far = (b"TMN? 1 2\nTMX? 1 2\nERR?\n", b"1=300 \n2=0\n1=400 \n2=200\n0\n")
    failing_to_open(
        *GREETING, *IDENTIFICATION[:4], far, match="do not overlap", error=LimitError
    )
    senseless = (b"TMN? 1 2\nTMX? 1 2\nERR?\n", b"1=0 \n2=0\n1=0 \n2=200\n0\n")
    failing_to_open(*GREETING, *IDENTIFICATION[:4], senseless, match="below TMX")


def test_an_error_that_cannot_be_cleared_is_reported():
    stuck = [(b"\n", b""), *[(b"ERR?\n", b"307\n")] * 17]
    failing_to_open(*stuck, match="got 307 16 times")


def test_a_port_that_does_not_answer_is_reported():
    error = failing_to_open(
        (b"\n", b""), (b"ERR?\n", b""), match="115200 baud.*check power", error=DeviceTimeout
    )
    assert "got b''" in str(error)


def test_a_port_at_the_wrong_speed_is_reported_with_what_it_says():
    failing_to_open(
        (b"\n", b""), (b"ERR?\n", b"\x80\x8a\x9f"), match="x80", error=DeviceTimeout
    )


@pytest.mark.parametrize("port", ["/dev/no-such-port", "socket://127.0.0.1:1", "bogus://x"])
def test_a_missing_port_is_named_with_those_that_exist(port):
    with pytest.raises(DeviceError, match=r"got .*; ports present: .*; correct port") as caught:
        GcsStage(config(port), Travel(), VirtualClock())
    assert repr(port) in str(caught.value)


def test_a_failed_opening_releases_the_port():
    lacking = (b"SAI?\nERR?\n", b"1\n0\n")
    with SerialLine(Transcript(*GREETING, *IDENTIFICATION[:2], lacking, *OPEN, *CLOSE)) as line:
        with pytest.raises(DeviceError, match="axes 1, got"):
            GcsStage(config(line.port), Travel(), VirtualClock())
        GcsStage(config(line.port), Travel(), VirtualClock()).close()
