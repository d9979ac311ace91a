"""A shutter before the simulated world."""

from typing import Final

from configs.errors import DeviceError
from drivers.protocols import Identity

_IDENTITY: Final = Identity(name="simulated shutter", origin="simulated")


class SimulatedShutter:
    """Implements ``drivers.protocols.Shutter``; closed at first."""

    def __init__(self) -> None:
        self._is_open = False
        self._is_released = False

    @property
    def identity(self) -> Identity:
        """Simulated, and says so."""
        return _IDENTITY

    def set_open(self, is_open: bool) -> None:
        """Open or close at once."""
        self._check_usable()
        self._is_open = is_open

    def is_open(self) -> bool:
        """State of the blade."""
        self._check_usable()
        return self._is_open

    def lets_light_through(self) -> bool:
        """State of the blade, for the world, which needs no driver."""
        return self._is_open

    def close(self) -> None:
        """Close, and refuse every later call."""
        self._is_open, self._is_released = False, True

    def _check_usable(self) -> None:
        if self._is_released:
            raise DeviceError(
                "simulated shutter: expected one in use, got one that was released;"
                " open the instrument again"
            )
