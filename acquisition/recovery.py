"""Bringing devices to rest, and to answer, after a failure."""

from collections.abc import Callable
from typing import Final

from acquisition.instrument import Instrument
from acquisition.log import ScanLog
from acquisition.stopping import StopLevel, Stopping
from acquisition.watchdog import Watchdog
from configs.errors import DeviceError
from drivers.protocols import Reconnectable

OPEN_S: Final = 120.0
"""For a device to be opened again; some load firmware."""


class Recovery:
    """Stops devices, and connects anew those that do not answer.

    Parameters
    ----------
    instrument
        The devices.
    within_s
        For a device to stop, or to answer.
    log, stopping, watchdog
        Told of what happens; breaks it off; looks after calls that hang.
    """

    def __init__(
        self,
        instrument: Instrument,
        within_s: float,
        log: ScanLog,
        stopping: Stopping,
        watchdog: Watchdog,
    ) -> None:
        self._instrument, self._within_s = instrument, within_s
        self._log, self._stopping, self._watchdog = log, stopping, watchdog

    def recover(self) -> None:
        """Bring every device to rest, and to answer; who stops now does not wait for it."""
        devices = self._instrument
        asked: dict[str, tuple[object, Callable[[], object]]] = {
            "stage": (devices.stage, devices.stage.stop),
            "camera": (devices.camera, devices.camera.stop),
        }
        if devices.focus is not None:
            asked["focus"] = devices.focus, devices.focus.stop
        if devices.shutter is not None:
            asked["shutter"] = devices.shutter, devices.shutter.is_open
        for name, (device, ask) in asked.items():
            with self._stopping.breaking(StopLevel.NOW):
                try:
                    self._watchdog.expect("stopping after a failure", self._within_s)
                    ask()
                except DeviceError as error:
                    self._log.warning(f"stopping after a failure: {error}", device=name)
                    self.reconnect(name, device)
                finally:
                    self._watchdog.answered()

    def reconnect(self, name: str, device: object) -> None:
        """Connect a device anew, if that can be done, and say how it went."""
        if not isinstance(device, Reconnectable):
            return
        try:
            self._watchdog.expect("reconnecting", OPEN_S)
            device.reconnect()
        except DeviceError as error:
            self._log.warning(f"reconnecting: {error}", device=name)
        else:
            self._log.warning(f"{name}: connected again", device=name)
        finally:
            self._watchdog.answered()
