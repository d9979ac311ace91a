"""A piezo controller like PI's E-727, simulated at the level of its bytes.

It speaks the General Command Set (GCS) 2.0: one command a line, silent unless asked,
errors kept until somebody reads them. The mechanics behind it are two ``PiezoAxis``.
No wave generator, data recorder or trigger. The transport is ``simulation.serial_line``.

A GCS 1 personality answers in the older dialect, which a driver for GCS 2 must refuse.
"""

import re
import threading
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Final, Literal

import numpy as np

from configs.instrument import SimulatedStageConfig, Travel
from drivers.gcs import SIMULATED_SERIAL_NUMBER
from drivers.protocols import Clock
from simulation.gcs_axis import GcsAxis

_IDN: Final = {
    1: f"(c)2013 Physik Instrumente (PI) Karlsruhe, E-516, {SIMULATED_SERIAL_NUMBER}, 3.20",
    2: "(c)2015-2018 Physik Instrumente (PI) GmbH & Co. KG, E-727.3CDA,"
    f" {SIMULATED_SERIAL_NUMBER}, 14.11.01.05",
}
_GCS1_AXES: Final = ("A", "B")
_GCS1_ARGUMENT: Final = re.compile(r"([A-Z])\s*([-+]?[\d.]+(?:E[-+]?\d+)?)?")
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_MOST_ARGUMENTS: Final = 32
_LONGEST_LINE: Final = 1024
_SINGLE: Final = frozenset(b"\x05\x07\x09\x18")

_Handler = Callable[[list[str]], list[str]]
_Query = Callable[[GcsAxis, float], str]

_QUERIES: Final[dict[str, _Query]] = {
    "MOV?": lambda axis, _: f"{axis.piezo.target_um:.8f}",
    "ONT?": lambda axis, now_s: f"{axis.on_target(now_s):d}",
    "OVF?": lambda axis, now_s: f"{axis.overflow(now_s):d}",
    "POS?": lambda axis, now_s: f"{axis.piezo.measured_um(now_s):.8f}",
    "SVA?": lambda axis, _: f"{axis.piezo.target_um:.8f}",
    "SVO?": lambda axis, _: f"{axis.servo:d}",
    "TMN?": lambda axis, _: f"{axis.travel_um[0]:.8f}",
    "TMX?": lambda axis, _: f"{axis.travel_um[1]:.8f}",
}


class ErrorCode(IntEnum):
    """Error codes of GCS 2.0 that the simulated controller sets."""

    SYNTAX = 1
    UNKNOWN_COMMAND = 2
    TOO_LONG = 3
    SERVO_OFF = 5
    POSITION_LIMIT = 7
    STOPPED = 10
    BAD_AXIS = 15
    OUT_OF_RANGE = 17
    DUPLICATE_AXIS = 22
    PARAMETER_COUNT = 24
    SERVO_ON = 79


class Refusal(Exception):
    """A command line that cannot run; none of it does."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(f"GCS error {code:d}")
        self.code = code


class GcsController:
    """The state machine: bytes in, bytes out.

    Parameters
    ----------
    clock
        What the axes move by.
    travel
        Where the axes may be sent: TMN and TMX.
    mechanics
        Settling, slew and noise of both axes.
    axes
        Identifiers of the axes that move in x and y; GCS 1 has A and B.
    generation
        1 for a controller that knows GCS 1 only.
    reach
        Where the ceramic gets to; inside ``travel``, the loop saturates beyond it.
    seed
        Fixes the noise.
    """

    def __init__(
        self,
        clock: Clock,
        travel: Travel,
        *,
        mechanics: SimulatedStageConfig | None = None,
        axes: tuple[str, str] = ("1", "2"),
        generation: Literal[1, 2] = 2,
        reach: Travel | None = None,
        seed: int = 0,
    ) -> None:
        mechanics, reach = mechanics or SimulatedStageConfig(), reach or travel
        self._clock = clock
        self._generation = generation
        self._lock = threading.Lock()
        self._line = bytearray()
        self._error = 0
        names = axes if generation == 2 else _GCS1_AXES
        ranges = ((travel.x_um, reach.x_um), (travel.y_um, reach.y_um))
        generators = np.random.default_rng(seed).spawn(2)
        self._axes = {
            name: GcsAxis(mechanics, travel_um, reach_um, random)
            for name, (travel_um, reach_um), random in zip(
                names, ranges, generators, strict=True
            )
        }
        self._commands = self._table()

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come off the line; return what the controller sends back.

        Commands run as soon as they are complete, single-byte commands at once, also
        in the middle of a line.
        """
        with self._lock:
            return b"".join(self._byte(byte) for byte in data)

    def true_position_um(self) -> tuple[float, float]:
        """Where the mechanics are now, (x, y): for the world, which no driver may ask."""
        with self._lock:
            now_s = self._clock.now()
            x, y = (axis.piezo.actual_um(now_s) for axis in self._axes.values())
            return x, y

    def _table(self) -> dict[str, _Handler]:
        table: dict[str, _Handler] = {
            "*IDN?": lambda _: [_IDN[self._generation]],
            "ERR?": self._read_error,
            "HLP?": self._help,
            "HLT": self._halt,
            "MOV": self._move,
            "SAI?": self._axis_names,
            "STP": self._halt,
            "SVA": self._drive,
            "SVO": self._servo,
        }
        for name, value in _QUERIES.items():
            table[name] = partial(self._query, value)
        if self._generation == 2:
            table["CSV?"] = lambda _: ["2.0"]
        return table

    def _byte(self, byte: int) -> bytes:
        if byte in _SINGLE:
            return self._single(byte)
        if byte != ord("\n"):
            if len(self._line) <= _LONGEST_LINE:
                self._line.append(byte)
            return b""
        line = self._line.decode("latin-1").strip()
        self._line.clear()
        try:
            lines = self._run(line) if line else []
        except Refusal as refusal:
            self._error = refusal.code
            return b""
        return (" \n".join(lines) + "\n").encode("latin-1") if lines else b""

    def _single(self, byte: int) -> bytes:
        now_s = self._clock.now()
        axes = list(self._axes.values())
        if byte == 0x05:
            moving = sum(1 << i for i, axis in enumerate(axes) if axis.piezo.moving(now_s))
            return b"%X\n" % moving
        if byte == 0x07:
            return b"\xb1\n"  # ready
        if byte == 0x09:
            return b"0\n"
        self._halt([])
        return b""

    def _run(self, line: str) -> list[str]:
        if len(line) > _LONGEST_LINE:
            raise Refusal(ErrorCode.TOO_LONG)
        if self._generation == 2:
            name, *arguments = line.split()
        else:
            name, rest = _gcs1_name(line.upper())
            arguments = [part for pair in _GCS1_ARGUMENT.findall(rest) for part in pair if part]
        handler = self._commands.get(name.upper())
        if handler is None:
            raise Refusal(ErrorCode.UNKNOWN_COMMAND)
        if len(arguments) > _MOST_ARGUMENTS:
            raise Refusal(ErrorCode.PARAMETER_COUNT)
        return handler(arguments)

    def _read_error(self, _: list[str]) -> list[str]:
        code, self._error = self._error, 0
        return [str(code)]

    def _help(self, _: list[str]) -> list[str]:
        return ["The following commands are valid:", *sorted(self._commands), "end of help"]

    def _axis_names(self, _: list[str]) -> list[str]:
        return list(self._axes) if self._generation == 2 else ["".join(self._axes)]

    def _query(self, value: _Query, arguments: list[str]) -> list[str]:
        now_s = self._clock.now()
        names = arguments or list(self._axes)
        return [f"{name}={value(self._axis(name), now_s)}" for name in names]

    def _move(self, arguments: list[str]) -> list[str]:
        now_s = self._clock.now()
        settings = self._settings(arguments)
        for axis, target_um in settings:
            if not axis.servo:
                raise Refusal(ErrorCode.SERVO_OFF)
            if not axis.travel_um[0] <= target_um <= axis.travel_um[1]:
                raise Refusal(ErrorCode.POSITION_LIMIT)
        for axis, target_um in settings:
            axis.piezo.command(target_um, now_s)
        return []

    def _drive(self, arguments: list[str]) -> list[str]:
        now_s = self._clock.now()
        settings = self._settings(arguments)
        for axis, value_um in settings:
            if axis.servo:
                raise Refusal(ErrorCode.SERVO_ON)
            if not axis.travel_um[0] <= value_um <= axis.travel_um[1]:
                raise Refusal(ErrorCode.OUT_OF_RANGE)
        for axis, value_um in settings:
            axis.piezo.drive(value_um, now_s)
        return []

    def _servo(self, arguments: list[str]) -> list[str]:
        settings = self._settings(arguments)
        if not all(value in (0, 1) for _, value in settings):
            raise Refusal(ErrorCode.OUT_OF_RANGE)
        for axis, value in settings:
            axis.set_servo(value == 1, self._clock.now())
        return []

    def _halt(self, arguments: list[str]) -> list[str]:
        axes = [self._axis(name) for name in arguments] or [*self._axes.values()]
        for axis in axes:
            axis.piezo.stop(self._clock.now())
        self._error = ErrorCode.STOPPED
        return []

    def _axis(self, name: str) -> GcsAxis:
        if name not in self._axes:
            raise Refusal(ErrorCode.BAD_AXIS)
        return self._axes[name]

    def _settings(self, arguments: list[str]) -> list[tuple[GcsAxis, float]]:
        if not arguments or len(arguments) % 2:
            raise Refusal(ErrorCode.PARAMETER_COUNT)
        settings = []
        for name, text in zip(arguments[::2], arguments[1::2], strict=True):
            if not _NUMBER.fullmatch(text):
                raise Refusal(ErrorCode.SYNTAX)
            settings.append((self._axis(name), float(text)))
        if len({id(axis) for axis, _ in settings}) < len(settings):
            raise Refusal(ErrorCode.DUPLICATE_AXIS)
        return settings


def _gcs1_name(line: str) -> tuple[str, str]:
    """Command and the rest: GCS 1 commands end after a ``?`` or three letters."""
    end = line.index("?") + 1 if "?" in line else 3
    return line[:end], line[end:]
