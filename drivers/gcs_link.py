"""Commands and replies of a GCS 2.0 controller over a serial line.

Every exchange ends with ``ERR?`` in the same write. So an error belongs to the exchange that
caused it, and a reply too many or too few shows: a stale reply does not pass for a new
one. After anything unexpected the link is out of step; before its next exchange it waits
until the line is quiet, and asks ``ERR?`` again.

One thread at a time reads the line and has the state of the link. The stop byte needs
neither: it goes out also while another thread waits for a reply. A command that was called
before a stop never goes out after it.

Deadlines for replies are real time, whatever clock the stage moves by: the line is real.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final, NoReturn

import serial
from serial.tools import list_ports

from configs.errors import DeviceError, DeviceTimeout, ProtocolError
from drivers import gcs_protocol as gcs

# What pyserial raises: SerialException is an OSError, termios.error is not.
if sys.platform == "win32":
    _LINE_ERRORS: Final = (OSError,)
else:
    import termios

    _LINE_ERRORS: Final = (OSError, termios.error)

_POLL_S: Final = 0.02
_MOST_ERRORS: Final = 16
_MOST_QUIET_WAITS: Final = 10


class GcsLink:
    """A serial port with a GCS 2.0 controller behind it, and no errors pending.

    Parameters
    ----------
    port
        Anything that ``serial.serial_for_url`` opens.
    baud_rate, rts_cts
        Speed, and whether the line has hardware flow control.
    reply_timeout_s
        Longest silence before a reply, and within one.

    Raises
    ------
    DeviceError
        If the port does not open.
    DeviceTimeout
        If nothing behind it answers ``ERR?``.
    """

    def __init__(
        self, port: str, *, baud_rate: int, rts_cts: bool, reply_timeout_s: float
    ) -> None:
        self._name = port
        self._timeout_s = reply_timeout_s
        self._buffer = b""
        self._in_step = False
        self._reading = Lock()
        """Held by whoever reads; taken before ``_writing`` where both are."""
        self._writing = Lock()
        self._stops = 0
        """Stop bytes sent ..."""
        self._cleared = 0
        """... and how many of them left no error to read."""
        self._closed = False
        self._port = _open(port, baud_rate, rts_cts, reply_timeout_s)
        try:
            self._greet(baud_rate)
        except BaseException:
            self._port.close()
            raise

    def exchange(self, *lines: str) -> list[list[str]]:
        """Send lines and ``ERR?`` in one write; return the reply to each query, as lines.

        Raises
        ------
        LimitError, GcsRefusal
            If the controller reports an error; the line that caused it did nothing.
            Code 10 also where ``halt`` came from another thread before they were sent.
        DeviceTimeout, ProtocolError
            If replies are missing, or are not what was asked for.
        DeviceError
            If the line does not work, or is closed meanwhile.
        """
        where, stops = self._where("; ".join(lines)), self._stops
        with self._reading:
            self._require_synchronised(where)
            with self._naming_command(where):
                self._check_quiet("before the command")
            self._send(lines, where, stops)
            replies = self._replies(where, 1 + sum(map(gcs.is_query, lines)))
            with self._naming_command(where):
                code = gcs.parse_integer(replies.pop())
                self._check_quiet("after the replies")
            self._in_step = True
        if code:
            raise gcs.refusal(code, where)
        return replies

    def numbers(self, items: Sequence[str], *mnemonics: str) -> list[tuple[float, ...]]:
        """Ask one or more queries for the same items; return their numbers, query by query."""
        lines = [f"{mnemonic} {' '.join(items)}" for mnemonic in mnemonics]
        replies = self.exchange(*lines)
        with self._naming_command(self._where("; ".join(lines))):
            return [gcs.parse_numbers(reply, items) for reply in replies]

    def halt(self) -> None:
        """Send the stop byte at once, and read away the error that it sets.

        May come from any thread. Where another is reading, that is not waited for: the
        error is read away before the next exchange.

        Raises
        ------
        DeviceTimeout, ProtocolError
            If the byte went out, but the controller does not answer.
        DeviceError
            If the line does not work.
        """
        with self._writing:
            self._stops += 1
            with self._line() as port:
                port.write(gcs.STOP)
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._unread():
                self._in_step = False
            self._require_synchronised(self._where("stop"))
        finally:
            self._reading.release()

    def close(self) -> None:
        """Release the port; an exchange under way in another thread fails."""
        self._closed = True
        has_ended = self._reading.acquire(timeout=self._timeout_s)
        try:
            with self._writing, self._translated():
                self._port.close()
        finally:
            if has_ended:
                self._reading.release()

    def _greet(self, baud_rate: int) -> None:
        # This LF ends whatever an earlier program may have left unfinished.
        self._write(b"\n")
        heard = self._synchronise()
        if not self._in_step:
            raise DeviceTimeout(
                f"{self._name}: expected a GCS controller to answer ERR? within"
                f" {self._timeout_s:g} s at {baud_rate} baud, got {gcs.shown(heard)};"
                " check power, cable, port and baud_rate"
            )
        self._drain_errors(self._where("open"))

    def _drain_errors(self, where: str) -> None:
        """Read the errors of earlier commands away."""
        for _ in range(_MOST_ERRORS):
            self._write(b"ERR?\n")
            replies = self._replies(where, 1)
            with self._naming_command(where):
                code = gcs.parse_integer(replies[0])
            if code == 0:
                return
        raise DeviceError(
            f"{where}: expected ERR? to clear the error, got {code} {_MOST_ERRORS} times;"
            " switch the controller off and on"
        )

    def _send(self, lines: Sequence[str], where: str, stops: int) -> None:
        """Write lines and ``ERR?``, unless there were more stops meanwhile."""
        with self._writing:
            if self._stops != stops:
                raise gcs.refusal(gcs.STOPPED, where)
            self._in_step = False  # until the last reply is read, also when interrupted
            with self._line() as port:
                data = "".join(f"{line}\n" for line in (*lines, "ERR?"))
                port.write(data.encode("latin-1"))

    def _require_synchronised(self, where: str) -> None:
        """Get into step, with no error pending that a stop has set."""
        if not self._in_step:
            self._wait_quiet()
            self._synchronise()
        if not self._in_step:
            raise DeviceTimeout(
                f"{where}: expected the controller to answer ERR? within {self._timeout_s:g} s,"
                " got nothing; check power and cable"
            )
        stops = self._stops
        if self._cleared != stops:
            self._drain_errors(where)
            self._cleared = stops

    def _check_quiet(self, when: str) -> None:
        surplus = self._unread()
        if surplus:
            raise ProtocolError(f"expected silence {when}, got {gcs.shown(surplus)}; repeat it")

    def _replies(self, where: str, count: int) -> list[list[str]]:
        replies: list[list[str]] = []
        with self._naming_command(where):
            while len(replies) < count and (reply := self._read_reply()) is not None:
                replies.append(gcs.decode(reply))
        if len(replies) < count:
            self._explain(where, replies, count)
        return replies

    def _explain(self, where: str, replies: list[list[str]], count: int) -> NoReturn:
        """Find out why replies are missing, and raise that."""
        # A query that the controller refuses is silent; then the last reply is that of ERR?.
        if replies and gcs.is_integer(replies[-1]) and not self._buffer:
            code = gcs.parse_integer(replies[-1])
            if code:
                self._in_step = True
                raise gcs.refusal(code, where)
        partial = self._buffer
        self._wait_quiet()
        self._synchronise()
        remedy = "repeat it" if self._in_step else "it is silent now: check power and cable"
        message = (
            f"{where}: expected {count} replies within {self._timeout_s:g} s,"
            f" got {len(replies)} and then {gcs.shown(partial)}; {remedy}"
        )
        raise ProtocolError(message) if partial else DeviceTimeout(message)

    def _synchronise(self) -> bytes:
        """Ask ``ERR?`` until a bare integer ends the replies; return what came last."""
        self._buffer, self._in_step, reply = b"", False, b""
        self._write(b"ERR?\n")
        for _ in range(_MOST_ERRORS):
            reply = self._read_reply() or b""
            if not reply:
                return self._buffer
            if not self._buffer and gcs.is_integer([reply.decode("latin-1")]):
                self._in_step = True
                break
        return reply

    def _wait_quiet(self) -> None:
        """Discard input until the line has been silent for as long as a reply may take."""
        end_s = time.monotonic() + self._timeout_s
        last_s = end_s + _MOST_QUIET_WAITS * self._timeout_s
        while time.monotonic() < min(end_s, last_s):
            if self._read():
                end_s = time.monotonic() + self._timeout_s

    def _read_reply(self) -> bytes | None:
        """Read the next reply; ``None`` after too long a silence."""
        end_s = time.monotonic() + self._timeout_s
        while True:
            reply, rest = gcs.take_reply(self._buffer)
            if reply is not None:
                self._buffer = rest
                return reply
            if len(self._buffer) > gcs.LONGEST_REPLY:
                raise ProtocolError(
                    f"expected a reply of at most {gcs.LONGEST_REPLY} bytes, got"
                    f" {gcs.shown(self._buffer)}; check the port and baud_rate"
                )
            data = self._read()
            self._buffer += data
            if data:
                end_s = time.monotonic() + self._timeout_s
            elif time.monotonic() >= end_s:
                return None

    def _unread(self) -> bytes:
        """Bytes that nobody has asked for, yet."""
        with self._line() as port:
            waiting = port.in_waiting
        if waiting:
            self._buffer += self._read()
        return self._buffer

    def _read(self) -> bytes:
        """Bytes that are there, or come within a moment; some controllers send stray NULs."""
        with self._line() as port:
            data: bytes = port.read(max(1, port.in_waiting))
        return data.replace(b"\0", b"")

    def _write(self, data: bytes) -> None:
        with self._writing, self._line() as port:
            port.write(data)

    def _where(self, command: str) -> str:
        return f"{self._name}: {command}"

    @contextmanager
    def _naming_command(self, where: str) -> Iterator[None]:
        """Name the place of a wrong reply, and trust none that follows it."""
        try:
            yield
        except ProtocolError as error:
            self._in_step = False
            raise ProtocolError(f"{where}: {error}") from None

    @contextmanager
    def _line(self) -> Iterator[serial.Serial]:
        """Lend the port, as long as it is open."""
        if self._closed:
            raise DeviceError(
                f"{self._name}: expected an open port, got one that was closed;"
                " connect again, or open the instrument again"
            )
        with self._translated():
            yield self._port

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the errors of pyserial and the system into ours, here and nowhere else."""
        try:
            yield
        except _LINE_ERRORS as error:
            self._in_step = False
            raise DeviceError(
                f"{self._name}: expected a working serial line, got {_reason(error)};"
                " check cable and power, then open the instrument again"
            ) from error


def _open(port: str, baud_rate: int, rts_cts: bool, write_timeout_s: float) -> serial.Serial:
    try:
        return serial.serial_for_url(
            port,
            baudrate=baud_rate,
            rtscts=rts_cts,
            timeout=_POLL_S,
            write_timeout=write_timeout_s,
            exclusive=True,
        )
    except (*_LINE_ERRORS, ValueError) as error:
        present = ", ".join(sorted(found.device for found in list_ports.comports())) or "none"
        raise DeviceError(
            f"stage: expected a serial port {port!r}, got {_reason(error)};"
            f" ports present: {present}; correct port in [stage]"
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
