"""An XY stage on a piezo controller that speaks PI's General Command Set (GCS) 2.0.

E-709, E-712, E-727, E-753 and E-517 class. FTDI adapters wait 16 ms before they deliver a
short reply: set their latency timer to 1 ms.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import GcsStageConfig, Travel
from drivers.gcs_link import GcsLink
from drivers.gcs_protocol import UNKNOWN_COMMAND, GcsRefusal, parse_commands
from drivers.protocols import Clock, Identity, check_travel, common_travel

SIMULATED_SERIAL_NUMBER: Final = "SIMULATED"
"""In the reply to ``*IDN?``: no hardware answers."""

_VERSION: Final = "2.0"
_REQUIRED: Final = frozenset({"MOV", "ONT?", "POS?", "SVO", "SVO?", "TMN?", "TMX?"})
_POLL_S: Final = 0.001
# A fast step may touch the ends of the voltage range for a moment.
_SATURATION_S: Final = 0.02


class GcsStage:
    """An ``XYStage`` of two closed-loop axes of one controller.

    Opening switches the servo of both axes on. Nothing is referenced or autozeroed: that
    may sweep the whole range, and is for the user to start.

    Parameters
    ----------
    config
        Port, speed and axes.
    travel
        Where the stage may go; the controller's own limits hold as well.
    clock
        Paces the polling, and times out moves that do not settle.

    Raises
    ------
    DeviceError
        If the port does not open, no GCS 2.0 controller answers, it lacks the axes, or
        the servo does not switch on; the port is closed again.
    LimitError
        If travel and the controller's limits do not overlap.
    """

    def __init__(self, config: GcsStageConfig, travel: Travel, clock: Clock) -> None:
        self._config = config
        self._wanted_travel = travel
        self._clock = clock
        self._port = config.port
        self._axes = (config.x_axis, config.y_axis)
        self._open = True
        self._connect()

    @property
    def limits(self) -> Travel:
        """Where both the configuration and the controller allow to go."""
        return self._travel

    @property
    def identity(self) -> Identity:
        """Reply to ``*IDN?``; a simulated controller has SIMULATED for a serial number."""
        return self._identity

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        self._check_open()
        check_travel(self._travel, x_um, y_um)
        # Six significant digits would be no better than 1 nm above 100 um.
        targets = zip(self._axes, (f"{x_um:.4f}", f"{y_um:.4f}"), strict=True)
        self._link.exchange(_command("MOV", targets))

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the controller calls both axes on target.

        Raises
        ------
        DeviceTimeout
            After ``timeout_s`` of the clock.
        DeviceError
            As soon as the control loop of an axis stays at the end of its range.
        """
        self._check_open()
        begun_s = self._clock.now()
        saturated_s: float | None = None
        while True:
            on_target, overflow = self._state()
            now_s = self._clock.now()
            if any(overflow):
                saturated_s = now_s if saturated_s is None else saturated_s
                if now_s - saturated_s >= _SATURATION_S:
                    raise self._saturated(overflow)
            else:
                saturated_s = None
                if all(on_target):
                    return
            if now_s - begun_s >= timeout_s:
                raise self._unsettled(on_target, timeout_s)
            self._clock.sleep(_POLL_S)

    def position(self) -> tuple[float, float]:
        """Position that the sensors read, (x, y)."""
        self._check_open()
        ((x_um, y_um),) = self._link.numbers(self._axes, "POS?")
        return x_um, y_um

    def stop(self) -> None:
        """Halt every axis of the controller; the stage stays usable.

        May come from any thread, also while another waits for a reply: what that one has
        called may then raise that it was stopped.

        Raises
        ------
        DeviceError
            If the line does not work, or the controller does not answer; it has been
            told to stop if anything reaches it at all.
        """
        self._check_open()
        self._link.halt()

    def reconnect(self) -> None:
        """Close the port, open it again, halt every axis and switch the servo on.

        Where this raises, every other call does until it has succeeded, or ``close``.

        Raises
        ------
        DeviceError
            If the stage was closed, if opening fails as it may for a new stage, or if
            another controller answers: then its servo is left as it is.
        LimitError
            If travel and the controller's limits do not overlap any more.
        """
        self._check_open()
        with suppress(DeviceError):  # a dead line may say so once more
            self._link.close()
        self._connect(self._identity)

    def close(self) -> None:
        """Halt, and release the port, also where the controller does not answer any more."""
        if not self._open:
            return
        self._open = False
        try:
            self._link.halt()
        finally:
            self._link.close()

    def _connect(self, known: Identity | None = None) -> None:
        """Open the port, and make the controller ready; halt it if it is a known one."""
        self._link = GcsLink(
            self._config.port,
            baud_rate=self._config.baud_rate,
            rts_cts=self._config.rts_cts,
            reply_timeout_s=self._config.reply_timeout_s,
        )
        try:
            identity = self._identify()
            if known is not None:
                self._check_known(identity, known)
                self._link.halt()
            self._identity = identity
            self._check_version()
            channels = self._check_axes()
            self._commands = self._check_commands()
            self._travel = common_travel(self._wanted_travel, self._controller_travel())
            self._switch_on(channels)
        except BaseException:
            self._link.close()
            raise

    def _check_known(self, identity: Identity, known: Identity) -> None:
        if identity != known:
            raise DeviceError(
                f"{self._port}: expected the controller from before, {known.name}, got"
                f" {identity.name}; connect that one, or open the instrument again"
            )

    def _identify(self) -> Identity:
        name = " ".join(self._link.exchange("*IDN?")[0])
        fields = [field.strip() for field in name.split(",")]
        return Identity(name, "simulated" if SIMULATED_SERIAL_NUMBER in fields else "hardware")

    def _check_version(self) -> None:
        try:
            (version,) = self._link.exchange("CSV?")[0]
        except GcsRefusal as error:
            if error.code != UNKNOWN_COMMAND:
                raise
            version = "no answer to CSV?"
        if version != _VERSION:
            raise DeviceError(
                f"{self._port}: expected a controller with GCS {_VERSION}, got {version} from"
                f" {self._identity.name}; GCS 1 controllers (E-516, E-625, E-665, E-710, E-816)"
                " speak another language: drive them through Micro-Manager"
            )

    def _check_axes(self) -> list[int]:
        """Numbers of the two axes among the controller's, counted from 1."""
        present = self._link.exchange("SAI?")[0]
        if len(set(self._axes)) < 2 or not set(self._axes) <= set(present):
            raise DeviceError(
                f"{self._port}: expected two of the controller's axes {', '.join(present)},"
                f" got {' and '.join(self._axes)}; correct x_axis and y_axis in [stage]"
            )
        return [present.index(axis) + 1 for axis in self._axes]

    def _check_commands(self) -> frozenset[str]:
        commands = parse_commands(self._link.exchange("HLP?")[0])
        missing = _REQUIRED - commands
        if missing:
            raise DeviceError(
                f"{self._port}: expected a closed-loop controller, got one without"
                f" {', '.join(sorted(missing))}; use one that has them"
            )
        return commands

    def _controller_travel(self) -> Travel:
        lowest, highest = self._link.numbers(self._axes, "TMN?", "TMX?")
        try:
            return Travel(x_um=(lowest[0], highest[0]), y_um=(lowest[1], highest[1]))
        except ValidationError:
            raise DeviceError(
                f"{self._port}: expected travel limits TMN? below TMX?, got {lowest} and"
                f" {highest} um; correct them in the controller"
            ) from None

    def _switch_on(self, channels: list[int]) -> None:
        if "ONL" in self._commands:  # E-517 class boots with its channels offline
            self._link.exchange(_command("ONL", [(str(channel), "1") for channel in channels]))
        self._link.exchange(_command("SVO", [(axis, "1") for axis in self._axes]))
        (servo,) = self._link.numbers(self._axes, "SVO?")
        if not all(servo):
            raise DeviceError(
                f"{self._port}: expected the servo on after SVO, got it off for axis"
                f" {self._named(servo, 0)}; check sensor cables and controller"
            )

    def _state(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Reply to ``ONT?`` and ``OVF?``: on target, and at the end of the range."""
        if "OVF?" in self._commands:
            on_target, overflow = self._link.numbers(self._axes, "ONT?", "OVF?")
            return on_target, overflow
        (on_target,) = self._link.numbers(self._axes, "ONT?")
        return on_target, (0.0, 0.0)

    def _saturated(self, overflow: tuple[float, ...]) -> DeviceError:
        x_um, y_um = self.position()
        return DeviceError(
            f"{self._port}: expected both axes to reach their target, got axis"
            f" {self._named(overflow, 1)} with its control loop at the end of its range (OVF?),"
            f" at ({x_um:.3f}, {y_um:.3f}) um; check load and zero point, or narrow [travel]"
        )

    def _unsettled(self, on_target: tuple[float, ...], timeout_s: float) -> DeviceError:
        (servo,) = self._link.numbers(self._axes, "SVO?")
        if not all(servo):
            return DeviceError(
                f"{self._port}: expected both axes to settle, got the servo off for axis"
                f" {self._named(servo, 0)}; open the stage again"
            )
        return DeviceTimeout(
            f"{self._port}: expected both axes on target within {timeout_s:g} s, got axis"
            f" {self._named(on_target, 0)} still off; raise the timeout, or check the load and"
            " the controller's on-target window"
        )

    def _named(self, flags: Iterable[float], state: float) -> str:
        """Axes whose flag has that state."""
        return " and ".join(
            axis for axis, flag in zip(self._axes, flags, strict=True) if flag == state
        )

    def _check_open(self) -> None:
        if not self._open:
            raise DeviceError(
                f"{self._port}: expected an open stage, got one that was closed;"
                " open the instrument again"
            )


def _command(mnemonic: str, settings: Iterable[tuple[str, str]]) -> str:
    return " ".join([mnemonic, *(f"{axis} {value}" for axis, value in settings)])
