"""Devices that take no time, and images that say where they were taken.

For measuring and testing what surrounds the devices: a frame stored at the wrong
index betrays itself.
"""

import numpy as np

from configs.errors import DeviceTimeout
from configs.instrument import Travel
from drivers.protocols import Identity, Image, check_focus, check_travel

_STEPS_PER_UM = 200


class InstantStage:
    """Has the methods of ``drivers.protocols.XYStage``; always exactly on target."""

    def __init__(self, travel: Travel) -> None:
        self.limits = travel
        self.identity = Identity("instant stage", "simulated")
        self.moves = 0
        self.stops = 0
        self.closed = False
        self._position_um = travel.centre_um

    def move_to(self, x_um: float, y_um: float) -> None:
        """Be there."""
        check_travel(self.limits, x_um, y_um)
        self.moves += 1
        self._position_um = (x_um, y_um)

    def wait_settled(self, timeout_s: float) -> None:
        """Return at once."""

    def position(self) -> tuple[float, float]:
        """Return the last target."""
        return self._position_um

    def stop(self) -> None:
        """Count."""
        self.stops += 1

    def close(self) -> None:
        """Note it."""
        self.closed = True


class InstantFocus:
    """Has the methods of ``drivers.protocols.Focus``; always exactly on target."""

    def __init__(self, limits_um: tuple[float, float]) -> None:
        self.limits_um = limits_um
        self.identity = Identity("instant focus", "simulated")
        self.moves = 0
        self.stops = 0
        self.closed = False
        self._position_um = sum(limits_um) / 2

    def move_to(self, z_um: float) -> None:
        """Be there."""
        check_focus(self.limits_um, z_um)
        self.moves += 1
        self._position_um = z_um

    def wait_settled(self, timeout_s: float) -> None:
        """Return at once."""

    def position(self) -> float:
        """Return the last target."""
        return self._position_um

    def stop(self) -> None:
        """Count."""
        self.stops += 1

    def close(self) -> None:
        """Note it."""
        self.closed = True


class PositionCamera:
    """Has the methods of ``drivers.protocols.Camera``; ``position_um`` reads its images."""

    def __init__(self, stage: InstantStage) -> None:
        self.identity = Identity("position camera", "simulated")
        self.closed = False
        self._stage = stage
        self._images = np.zeros((1, 2, 2), np.uint16)
        self._taken = 0
        self._remaining = 0

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Draw light with its noise, which does not compress, as in real images."""
        noise = np.random.default_rng(0).poisson(300, (66, image_px, image_px))
        self._images = noise.astype(np.uint16)

    def snap(self, timeout_s: float) -> Image:
        """Return an image that carries the stage position in its first two pixels."""
        self._taken += 1
        image: Image = self._images[self._taken % len(self._images)].copy()
        image[0, :2] = np.rint(np.array(self._stage.position()) * _STEPS_PER_UM)
        return image

    def start_sequence(self, frames: int) -> None:
        """Promise so many images."""
        self._remaining = frames

    def read_frame(self, timeout_s: float) -> Image:
        """Return the next of them."""
        if self._remaining == 0:
            raise DeviceTimeout("position camera: the sequence is over; start another")
        self._remaining -= 1
        return self.snap(timeout_s)

    def stop(self) -> None:
        """Forget the sequence."""
        self._remaining = 0

    def close(self) -> None:
        """Note it."""
        self.closed = True


def position_um(image: Image) -> tuple[float, float]:
    """Return where an image of a ``PositionCamera`` was taken, to 5 nm."""
    return float(image[0, 0]) / _STEPS_PER_UM, float(image[0, 1]) / _STEPS_PER_UM
