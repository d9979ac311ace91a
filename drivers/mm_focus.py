"""Focus drives behind Micro-Manager; see ``drivers.micromanager``."""

from configs.instrument import MicroManagerFocusConfig
from drivers.mm_motion import halt_if_busy, wait_until_still
from drivers.mm_session import ACTION_S, ANSWER_S, LABEL, Session
from drivers.protocols import Clock, Identity, check_focus


class MicroManagerFocus:
    """A focus drive that Micro-Manager drives: what it calls a stage, with one axis.

    Opening the device does not move it.

    Parameters
    ----------
    config
        Adapter library, device, properties, and where it may go: Micro-Manager knows no
        limits of its own.
    clock
        Deadlines of ``wait_settled`` are measured on it.

    Raises
    ------
    DeviceError
        Micro-Manager, the library, the device or a property is not there, or the
        device does not start.
    """

    def __init__(self, config: MicroManagerFocusConfig, clock: Clock) -> None:
        self._session = Session(config, "StageDevice")
        self._limits_um = config.range_um
        self._clock = clock

    @property
    def limits_um(self) -> tuple[float, float]:
        """Where the drive may go, (lowest, highest)."""
        return self._limits_um

    @property
    def identity(self) -> Identity:
        """Library and device; simulated where the library is one of Micro-Manager's own."""
        return self._session.identity

    def move_to(self, z_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        check_focus(self._limits_um, z_um)
        self._session.run("move", lambda core: core.setPosition(LABEL, z_um))

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the drive no longer calls itself busy; compare ``position`` then.

        Raises
        ------
        DeviceTimeout
            The drive is still busy; it stays usable.
        """
        wait_until_still(self._session, self._clock, timeout_s)

    def position(self) -> float:
        """Position in micrometres, as the device reports it."""
        return self._session.run(
            "tell its position", lambda core: core.getPosition(LABEL), ANSWER_S
        )

    def stop(self) -> None:
        """Halt any motion; the drive stays usable.

        May come from any thread, and waits for no other call.

        Raises
        ------
        DeviceTimeout
            The adapter did not do it in time; it does once the call that hangs returns.
        DeviceError
            The drive is closed, or cannot stop.
        """
        self._session.run_aside("stop", halt_if_busy)

    def reconnect(self) -> None:
        """Load the device again, also where a call hangs; any motion is halted first.

        Where this raises, every other call does until it has succeeded, or ``close``.

        Raises
        ------
        DeviceError
            The drive was closed, or does not open, as it may not while a call that hangs
            holds it.
        """
        self._session = self._session.renewed(halt_if_busy, ACTION_S)

    def close(self) -> None:
        """Halt, and release the device; further calls do nothing.

        Raises
        ------
        DeviceTimeout
            The device hangs and cannot be released before the program ends.
        """
        self._session.close(halt_if_busy, ACTION_S)
