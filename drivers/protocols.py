"""What the scan knows of devices: small protocols, one verb a method.

A driver is open when its constructor returns and closed for good after ``close``,
which may be called twice. Blocking calls, constructors among them, raise ``DeviceTimeout``
when their deadline passes. Every driver raises ``DeviceError`` or a subclass and nothing else.

Calls come from one thread, but for those that make an instrument safe: ``stop`` of a stage
or a focus drive and the methods of a shutter may come from another at any time, also while a
call hangs, and then do their work at once. The last call, ``close``, may come from another
thread too.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from configs.errors import LimitError
from configs.instrument import Travel

Image = NDArray[np.uint16]
Origin = Literal["simulated", "hardware"]


class XYStage(Protocol):
    """A stage with two axes, positions in micrometres in its own coordinates."""

    @property
    def limits(self) -> Travel:
        """Where the stage may go."""
        ...

    @property
    def identity(self) -> "Identity":
        """What answers behind this driver."""
        ...

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        ...

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the stage has come to rest on its target."""
        ...

    def position(self) -> tuple[float, float]:
        """Measured position (x, y), not the target."""
        ...

    def stop(self) -> None:
        """Halt any motion; the stage stays usable."""
        ...

    def close(self) -> None:
        """Halt, and release the device."""
        ...


class Camera(Protocol):
    """A camera that delivers 16-bit images, (y, x)."""

    @property
    def identity(self) -> "Identity":
        """What answers behind this driver."""
        ...

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Set a centred square window of ``image_px`` binned pixels, and the exposure."""
        ...

    def snap(self, timeout_s: float) -> Image:
        """Expose and return one image, at most ``timeout_s`` after the exposure."""
        ...

    def start_sequence(self, frames: int) -> None:
        """Start exposing ``frames`` images one after another."""
        ...

    def read_frame(self, timeout_s: float) -> Image:
        """Return the next image of the sequence, in order."""
        ...

    def stop(self) -> None:
        """End a sequence; images not yet read are discarded."""
        ...

    def close(self) -> None:
        """End a sequence, and release the device."""
        ...


class Shutter(Protocol):
    """What lets light to the sample, or not."""

    @property
    def identity(self) -> "Identity":
        """What answers behind this driver."""
        ...

    def set_open(self, is_open: bool) -> None:
        """Open or close, and return once that is done."""
        ...

    def is_open(self) -> bool:
        """Measured state, where the device has a sensor for it."""
        ...

    def close(self) -> None:
        """Close, and release the device."""
        ...


class Focus(Protocol):
    """A drive along the beam, positions in micrometres in its own coordinate."""

    @property
    def limits_um(self) -> tuple[float, float]:
        """Where the drive may go, (lowest, highest)."""
        ...

    @property
    def identity(self) -> "Identity":
        """What answers behind this driver."""
        ...

    def move_to(self, z_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        ...

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the drive has come to rest on its target."""
        ...

    def position(self) -> float:
        """Measured position, not the target."""
        ...

    def stop(self) -> None:
        """Halt any motion; the drive stays usable."""
        ...

    def close(self) -> None:
        """Halt, and release the device."""
        ...


@runtime_checkable
class Reconnectable(Protocol):
    """A device whose connection can be made anew; the rest of it is as before."""

    def reconnect(self) -> None:
        """Drop the connection, whatever hangs in it, and open it again."""
        ...


@runtime_checkable
class Thermometer(Protocol):
    """A device that may report a temperature."""

    def temperature_c(self) -> float | None:
        """Degrees Celsius; ``None`` where it reports none."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says it is, and whether light and matter are behind it."""

    name: str
    origin: Origin


class Clock(Protocol):
    """Time as devices and the scan see it."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never runs backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


def check_travel(limits: Travel, x_um: float, y_um: float) -> None:
    """Raise ``LimitError`` where a target lies outside the limits or is no number."""
    for axis, target, (low, high) in (("x", x_um, limits.x_um), ("y", y_um, limits.y_um)):
        if not low <= target <= high:
            raise LimitError(
                f"stage {axis}: expected a target between {low:g} and {high:g} um,"
                f" got {target:g} um; nothing moved: move the scan or widen [travel]"
            )


def check_focus(limits_um: tuple[float, float], z_um: float) -> None:
    """Raise ``LimitError`` where a target lies outside the limits or is no number."""
    low, high = limits_um
    if not low <= z_um <= high:
        raise LimitError(
            f"focus: expected a target between {low:g} and {high:g} um, got {z_um:g} um;"
            " nothing moved: bring the sample into focus by hand, or widen range_um in [focus]"
        )


def common_travel(first: Travel, second: Travel) -> Travel:
    """Where both allow to go; ``LimitError`` where that is nowhere."""
    ranges = []
    for a, b in ((first.x_um, second.x_um), (first.y_um, second.y_um)):
        low, high = max(a[0], b[0]), min(a[1], b[1])
        if low >= high:
            raise LimitError(
                f"travel: the configured range {list(a)} um and the controller's {list(b)} um"
                " do not overlap; correct [travel]"
            )
        ranges.append((low, high))
    return Travel(x_um=ranges[0], y_um=ranges[1])
