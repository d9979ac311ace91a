"""A camera that looks at the simulated world."""

import math

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import SimulatedCameraConfig
from configs.optics import Optics
from drivers.protocols import Clock, Identity, Image
from simulation.world import World


class SimulatedCamera:
    """Implements ``drivers.protocols.Camera`` on a ``World``."""

    def __init__(
        self, config: SimulatedCameraConfig, optics: Optics, world: World, clock: Clock
    ) -> None:
        self._config = config
        self._optics = optics
        self._world = world
        self._clock = clock
        self._exposure_ms = math.nan
        self._remaining = 0
        self._closed = False

    @property
    def identity(self) -> Identity:
        """Return what answers behind this driver."""
        return Identity("simulated sCMOS", "simulated")

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Set the exposure; the window is that of the world's optics."""
        self._check_idle()
        expected = self._optics.image_px, self._optics.binning
        if (image_px, binning) != expected:
            raise DeviceError(
                f"simulated camera: expected the window and binning of its optics, {expected},"
                f" got {(image_px, binning)}; change [optics]"
            )
        if not 0 < exposure_ms < math.inf:
            raise DeviceError(
                f"simulated camera: expected an exposure above 0 ms, got {exposure_ms}"
            )
        self._exposure_ms = exposure_ms

    def snap(self, timeout_s: float) -> Image:
        """Expose and return one image, (image_px, image_px)."""
        self._check_idle()
        self._check_ready()
        return self._expose(timeout_s)

    def start_sequence(self, frames: int) -> None:
        """Start exposing ``frames`` images one after another."""
        self._check_idle()
        self._check_ready()
        if frames < 1:
            raise DeviceError(f"simulated camera: expected 1 frame or more, got {frames}")
        self._remaining = frames

    def read_frame(self, timeout_s: float) -> Image:
        """Return the next image of the sequence."""
        self._check_ready()
        if self._remaining == 0:
            self._clock.sleep(timeout_s)
            raise DeviceTimeout(
                f"simulated camera: expected a frame within {timeout_s:g} s, got none:"
                " the sequence is over; start another"
            )
        self._remaining -= 1
        return self._expose(timeout_s)

    def stop(self) -> None:
        """End a sequence."""
        self._remaining = 0

    def close(self) -> None:
        """Release the camera."""
        self._remaining = 0
        self._closed = True

    def _expose(self, timeout_s: float) -> Image:
        readout_s = self._config.readout_ms / 1000
        image = self._world.expose(self._exposure_ms)
        self._clock.sleep(min(readout_s, timeout_s))
        if readout_s > timeout_s:
            raise DeviceTimeout(
                f"simulated camera: expected a frame within {timeout_s:g} s, its readout takes"
                f" {readout_s:g} s; raise frame_timeout_s"
            )
        return image

    def _check_ready(self) -> None:
        self._check_open()
        if math.isnan(self._exposure_ms):
            raise DeviceError("simulated camera: not configured; call configure first")

    def _check_idle(self) -> None:
        self._check_open()
        if self._remaining:
            raise DeviceError(
                f"simulated camera: a sequence is running, {self._remaining} frames are unread;"
                " read them or stop it first"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("simulated camera: is closed; open it again")
