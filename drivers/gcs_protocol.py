"""The General Command Set (GCS) 2.0 of PI's piezo controllers: framing, parsing, errors.

A reply is one or more lines ``[item=]value``. Every line ends in SP LF except the last,
which ends in LF, so a reply is complete at the first LF that follows no SP. Commands
that set something are silent; ``ERR?`` reads the last error, and clears it.
Source: PI, manuals of the E-727 and E-709, chapters on GCS syntax and error codes.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from configs.errors import DeviceError, LimitError, ProtocolError

STOP: Final = b"\x18"
"""Halts every axis; goes out without LF and sets error ``STOPPED``."""
STOPPED: Final = 10
UNKNOWN_COMMAND: Final = 2
LONGEST_REPLY: Final = 65_536

_POSITION_LIMIT: Final = 7
_INTEGER: Final = re.compile(r"-?\d{1,9}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_BLANK: Final = " \r\t"
_SHOWN: Final = 60

# Code: (meaning, remedy).
_ERRORS: Final = {
    1: ("parameter syntax", "check the axis identifiers in [stage]"),
    UNKNOWN_COMMAND: ("unknown command", "check that the controller speaks GCS 2.0"),
    3: ("command too long", "report this as a bug"),
    5: ("axis unreferenced or servo off", "switch the servo on and open the stage again"),
    _POSITION_LIMIT: ("position limit", "nothing moved: move the scan or narrow [travel]"),
    8: ("velocity limit", "lower the velocity set in the controller"),
    STOPPED: ("stopped by a command", "repeat the move"),
    15: ("bad axis", "correct x_axis and y_axis in [stage]"),
    17: ("parameter out of range", "check the controller's parameters"),
    22: ("duplicate axis", "give x_axis and y_axis different names"),
    23: ("illegal axis", "correct x_axis and y_axis in [stage]"),
    24: ("wrong number of parameters", "report this as a bug"),
    26: ("missing parameter", "report this as a bug"),
    53: ("a dynamic move is running", "stop it in PI's software"),
    54: ("unknown parameter", "check the controller's firmware"),
    61: ("autozero is running", "wait until it has ended"),
    63: ("initialisation is running", "wait until it has ended"),
    67: ("wave too large", "stop the wave generator in PI's software"),
    72: ("an analog target is active", "switch the analog input off in PI's software"),
    73: ("the wave generator is active", "stop it in PI's software"),
    75: ("no wave selected", "stop the wave generator in PI's software"),
    79: ("open-loop value with the servo on", "report this as a bug"),
    301: ("send buffer overflow", "repeat the command"),
    307: ("receive timeout", "repeat the command, and check the cable"),
    405: ("bad wave type", "stop the wave generator in PI's software"),
    406: ("wave generator is busy", "stop it in PI's software"),
    1005: ("controller is busy", "wait until its procedure has ended"),
}


class GcsRefusal(DeviceError):
    """The controller set an error code.

    Attributes
    ----------
    code
        The controller's number for it.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def refusal(code: int, command: str) -> DeviceError:
    """Error for what ``ERR?`` read after a command; ``LimitError`` for a position limit."""
    meaning, remedy = _ERRORS.get(code, ("see the controller's manual", "correct its cause"))
    message = f"{command}: expected no error, got {code} ({meaning}); {remedy}"
    return LimitError(message) if code == _POSITION_LIMIT else GcsRefusal(message, code)


def is_query(line: str) -> bool:
    """Whether a line asks for a reply: its mnemonic ends in ``?``."""
    return line.split(maxsplit=1)[0].endswith("?")


def take_reply(buffer: bytes) -> tuple[bytes | None, bytes]:
    """First complete reply of a buffer, without its last LF, and what follows it.

    ``None`` and the whole buffer where no reply is complete yet.
    """
    end = buffer.find(b"\n")
    while end > 0 and buffer[end - 1] == ord(" "):
        end = buffer.find(b"\n", end + 1)
    if end < 0:
        return None, buffer
    return buffer[:end], buffer[end + 1 :]


def shown(data: bytes | str) -> str:
    """Escape data for an error message: on one line, and not too long."""
    text = repr(data)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def decode(reply: bytes) -> list[str]:
    """Lines of a reply; ``ProtocolError`` where it holds anything unprintable."""
    lines = [line.strip(_BLANK) for line in reply.decode("latin-1").split("\n")]
    if not all(line.isprintable() for line in lines):
        raise ProtocolError(
            f"expected printable text, got {shown(reply)}; check the cable and baud_rate"
        )
    return lines


def is_integer(lines: Sequence[str]) -> bool:
    """Whether a reply is one bare integer, as that of ``ERR?`` is."""
    return len(lines) == 1 and _INTEGER.fullmatch(lines[0].strip(_BLANK)) is not None


def parse_integer(lines: Sequence[str]) -> int:
    """Read a reply that is one bare integer."""
    if not is_integer(lines):
        raise ProtocolError(f"expected one integer, got {shown(_joined(lines))}")
    return int(lines[0])


def parse_numbers(lines: Sequence[str], items: Sequence[str]) -> tuple[float, ...]:
    """Read the numbers of a reply of ``item=number`` lines.

    Raises
    ------
    ProtocolError
        Unless the lines are for exactly these items, in this order: a reply to another
        command must not pass for this one.
    """
    pairs = [line.partition("=") for line in lines]
    if [item for item, _, _ in pairs] != list(items):
        wanted = " ".join(f"{item}=.." for item in items)
        raise ProtocolError(f"expected a reply like {wanted!r}, got {shown(_joined(lines))}")
    return tuple(_number(text) for _, _, text in pairs)


def parse_commands(lines: Sequence[str]) -> frozenset[str]:
    """Mnemonics that a reply to ``HLP?`` lists: the first word of each line."""
    return frozenset(line.split()[0].upper() for line in lines if line)


def _number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ProtocolError(f"expected a finite number, got {shown(text)}")
    return value


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines)
