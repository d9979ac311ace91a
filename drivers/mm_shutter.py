"""Shutters behind Micro-Manager; see ``drivers.micromanager``."""

from typing import TYPE_CHECKING

from configs.errors import DeviceError
from configs.instrument import MicroManagerShutterConfig
from drivers.mm_session import ACTION_S, LABEL, Session
from drivers.protocols import Identity

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus


class MicroManagerShutter:
    """A shutter that Micro-Manager drives; opening the device closes it.

    Every method may come from any thread, and waits for no other call. Where one hangs in
    the adapter's own code, Micro-Manager lets no other in before that returns; closing is
    then done as soon as it does, and an opening that comes so late is undone.

    Parameters
    ----------
    config
        Adapter library, device, and properties; see ``MicroManagerCamera``.

    Raises
    ------
    DeviceError
        Micro-Manager, the library, the device or a property is not there, or the
        device does not start or close.
    """

    def __init__(self, config: MicroManagerShutterConfig) -> None:
        self._may_open = False
        self._session = Session(config, "ShutterDevice", _shut)

    @property
    def identity(self) -> Identity:
        """Library and device; simulated where the library is one of Micro-Manager's own."""
        return self._session.identity

    def set_open(self, is_open: bool) -> None:
        """Open or close, and return once the shutter is no longer busy.

        Raises
        ------
        DeviceTimeout
            It is not done in time; an opening is then undone once it is.
        DeviceError
            The shutter is closed for good, or cannot do that.
        """
        self._may_open = is_open
        try:
            if is_open:
                self._session.run_aside("open", self._open)
            else:
                self._session.run_aside("close the beam", _shut)
        except DeviceError:
            self._may_open = False
            raise

    def is_open(self) -> bool:
        """State of the shutter, as the device reports it.

        Raises
        ------
        DeviceTimeout
            It does not tell in time.
        DeviceError
            The shutter is closed for good, or cannot tell.
        """
        return self._session.run_aside(
            "tell whether it is open", lambda core: core.getShutterOpen(LABEL)
        )

    def reconnect(self) -> None:
        """Load the device again, also where a call hangs; the shutter is closed then.

        Where this raises, every other call does until it has succeeded, or ``close``.

        Raises
        ------
        DeviceError
            The shutter was closed for good, or does not open, as it may not while a call
            that hangs holds it.
        """
        self._may_open = False
        self._session = self._session.renewed(_shut, ACTION_S, _shut)

    def close(self) -> None:
        """Close, and release the device; further calls do nothing.

        Raises
        ------
        DeviceTimeout
            The device hangs and cannot be released before the program ends.
        """
        self._may_open = False
        self._session.close(_shut, ACTION_S)

    def _open(self, core: "CMMCorePlus") -> None:
        core.setShutterOpen(LABEL, True)
        if self._may_open:
            core.waitForDevice(LABEL)
        if not self._may_open:  # told to close since
            core.setShutterOpen(LABEL, False)


def _shut(core: "CMMCorePlus") -> None:
    core.setShutterOpen(LABEL, False)
    core.waitForDevice(LABEL)
