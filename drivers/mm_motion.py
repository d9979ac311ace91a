"""Waiting for what moves behind Micro-Manager, and halting it."""

from typing import TYPE_CHECKING, Final

from configs.errors import DeviceTimeout
from drivers.mm_session import ANSWER_S, LABEL, Session
from drivers.protocols import Clock

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

POLL_S: Final = 0.0005
"""Between two questions whether something has happened."""


def wait_until_still(session: Session, clock: Clock, timeout_s: float) -> None:
    """Return once a device no longer calls itself busy.

    Raises
    ------
    DeviceTimeout
        It is still busy; it stays usable.
    """
    deadline = clock.now() + timeout_s
    while session.run("tell whether it moves", lambda core: core.deviceBusy(LABEL), ANSWER_S):
        if clock.now() >= deadline:
            raise DeviceTimeout(
                f"{session.name}: expected the stage to settle within {timeout_s:g} s, got one"
                " still busy; stop it, look for an obstacle, or raise move_timeout_s in"
                " [timing]"
            )
        clock.sleep(POLL_S)


def halt_if_busy(core: "CMMCorePlus") -> None:
    """Stop a device that moves: many adapters know no stop, and need none at rest."""
    if core.deviceBusy(LABEL):
        core.stop(LABEL)
