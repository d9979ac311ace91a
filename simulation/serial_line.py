"""A simulated controller behind a real serial line.

On POSIX the line is a pseudo-terminal, so that a driver talks to a real tty; TCP, which
pyserial opens as ``socket://``, works everywhere.
"""

import os
import select
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self

from configs.errors import ConfigError
from drivers.protocols import Clock
from simulation.line_faults import LineFaults

Transport = Literal["pty", "tcp"]
DEFAULT_TRANSPORT: Final[Transport] = "tcp" if sys.platform == "win32" else "pty"
_CHUNK: Final = 4096
_BITS_PER_BYTE: Final = 10  # 8N1


class ByteDevice(Protocol):
    """Whatever answers bytes with bytes."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes off the line; return what goes back."""
        ...


@dataclass(frozen=True, slots=True)
class LinePace:
    """Time that passes, on the instrument's clock, while bytes are on the line.

    Attributes
    ----------
    clock
        Sleeps while bytes travel.
    baud_rate
        Bits per second, ten for a byte.
    latency_s
        Of the USB adapter, per reply; FTDI's is 16 ms unless set to 1 ms.
    """

    clock: Clock
    baud_rate: int = 115_200
    latency_s: float = 0.001

    def carry(self, data: bytes, latency_s: float = 0.0) -> None:
        """Let as much time pass as these bytes take."""
        self.clock.sleep(len(data) * _BITS_PER_BYTE / self.baud_rate + latency_s)


class SerialLine:
    """Serves a device on a serial line, in a thread, until closed.

    Parameters
    ----------
    device
        What answers.
    transport
        ``pty`` (POSIX only) or ``tcp``.
    faults
        What goes wrong; nothing by default.
    pace
        How long bytes take; no time by default.

    Raises
    ------
    ConfigError
        If this platform has no pseudo-terminals and one is asked for.
    """

    def __init__(
        self,
        device: ByteDevice,
        *,
        transport: Transport = DEFAULT_TRANSPORT,
        faults: LineFaults | None = None,
        pace: LinePace | None = None,
    ) -> None:
        self._device = device
        self._faults = faults
        self._pace = pace
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._channel: _Channel = _PtyChannel() if transport == "pty" else _TcpChannel()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="simulated serial line")
        self._thread.daemon = True
        self._thread.start()

    @property
    def port(self) -> str:
        """What to hand to ``serial.serial_for_url``."""
        return self._channel.port

    def close(self) -> None:
        """Hang up: whoever has the port open sees the device vanish."""
        if self._wake.fileno() < 0:
            return
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            wait_s = max(self._outgoing[0][0] - time.monotonic(), 0) if self._outgoing else None
            due = wait_s == 0
            line, wake = self._channel.fileno(), self._woken.fileno()
            readable, writable, _ = select.select(
                [wake, line], [line] if due else [], [], None if due else wait_s
            )
            if wake in readable:
                return
            if line in readable:
                self._receive(self._channel.receive())
            if writable and self._outgoing:
                self._send()

    def _receive(self, data: bytes | None) -> None:
        if data is None:  # the other end hung up
            self._outgoing.clear()
            return
        if not data:
            return
        if self._pace:
            self._pace.carry(data)
        reply = self._device.feed(data)
        if not reply:
            return
        if self._pace:
            self._pace.carry(reply, self._pace.latency_s)
        due_s = self._outgoing[-1][0] if self._outgoing else time.monotonic()
        for wait_s, piece in self._faults.pieces(reply) if self._faults else [(0.0, reply)]:
            due_s += wait_s
            self._outgoing.append((due_s, piece))

    def _send(self) -> None:
        due_s, piece = self._outgoing.popleft()
        sent = self._channel.send(piece)
        if sent < len(piece):
            self._outgoing.appendleft((due_s, piece[sent:]))


class _Channel(Protocol):
    """One end of a line, without blocking."""

    @property
    def port(self) -> str: ...

    def fileno(self) -> int: ...

    def receive(self) -> bytes | None: ...

    def send(self, data: bytes) -> int: ...

    def close(self) -> None: ...


class _TcpChannel:
    """A listening socket, and one connection at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connection: socket.socket | None = None
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def fileno(self) -> int:
        return (self._connection or self._listener).fileno()

    def receive(self) -> bytes | None:
        if self._connection is None:
            self._connection, _ = self._listener.accept()
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.setblocking(False)
            return b""
        try:
            data = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self._hang_up()
            return None
        return data

    def send(self, data: bytes) -> int:
        if self._connection is None:
            return len(data)  # to nobody
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            self._hang_up()
            return len(data)

    def close(self) -> None:
        self._hang_up()
        self._listener.close()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _PtyChannel:
    """The controlling side of a pseudo-terminal in raw mode."""

    port: str
    _near: int
    _far: int

    def __init__(self) -> None:
        if sys.platform == "win32":
            raise ConfigError(
                "serial line: expected a platform with pseudo-terminals, got Windows;"
                " use transport='tcp'"
            )
        import tty

        # The far side stays open here too: without it, reading fails while no driver is on.
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self.port = os.ttyname(self._far)

    def fileno(self) -> int:
        return self._near

    def receive(self) -> bytes | None:
        try:
            return os.read(self._near, _CHUNK)
        except BlockingIOError:
            return b""

    def send(self, data: bytes) -> int:
        try:
            return os.write(self._near, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self._near)
        os.close(self._far)
