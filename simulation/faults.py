"""Stages and cameras that go wrong on purpose, with a seed.

They wrap any device of the protocols, so that a laboratory can rehearse what its scan does
when things fail, and a test can count what was done to it.
"""

from collections import Counter
from typing import Final

import numpy as np

from configs.errors import DeviceError, DeviceTimeout, ProtocolError
from configs.faults import CameraFaults, Faults, StageFaults
from configs.instrument import Travel
from drivers.protocols import Camera, Clock, Identity, Image, Thermometer, XYStage

_DARK_NOISE_ADU: Final = 3.0


class Fate:
    """Decides what goes wrong, and counts it.

    Parameters
    ----------
    faults
        Probabilities, and the seed.
    clock
        Latency is time on it.
    """

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self.faults, self.clock = faults, clock
        self.random = np.random.default_rng(faults.seed)
        self.counts: Counter[str] = Counter()

    def hits(self, name: str, probability: float) -> bool:
        """Say whether a fault happens now."""
        hit = bool(self.random.random() < probability)
        self.counts[name] += hit
        return hit

    def delay(self) -> None:
        """Let a call take longer."""
        if self.faults.latency_s:
            self.clock.sleep(self.random.exponential(self.faults.latency_s))


class FaultyStage:
    """An ``XYStage`` around another one.

    A sample that jumps is simulated by a stage that goes elsewhere without saying so.
    """

    def __init__(self, stage: XYStage, fate: Fate) -> None:
        self._stage, self._fate = stage, fate
        self._faults: StageFaults = fate.faults.stage
        self._jumped_um = (0.0, 0.0)
        self._dead = False

    @property
    def limits(self) -> Travel:
        """Where the stage may go."""
        return self._stage.limits

    @property
    def identity(self) -> Identity:
        """What answers behind this driver."""
        return self._stage.identity

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move, or one to somewhere else."""
        self._fate.delay()
        self._dead |= self._fate.hits("stage dead", self._faults.dead)
        self._answer("move")
        if self._fate.hits("stage refused", self._faults.refused):
            raise DeviceError("stage: refused a move, as rehearsed")
        if self._fate.hits("stage jump", self._faults.jump):
            angle, size_um = 2 * np.pi * self._fate.random.random(), self._faults.jump_nm / 1000
            x, y = self._jumped_um
            self._jumped_um = x + size_um * np.cos(angle), y + size_um * np.sin(angle)
        if self._fate.hits("stage off target", self._faults.off_target):
            x_um += self._faults.off_target_nm / 1000
        self._stage.move_to(x_um + self._jumped_um[0], y_um + self._jumped_um[1])

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the stage has come to rest, or too late."""
        self._fate.delay()
        self._answer("settle", timeout_s)
        if self._fate.hits("stage late", self._faults.late):
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout("stage: expected it at rest in time, got it late, as rehearsed")
        self._stage.wait_settled(timeout_s)

    def position(self) -> tuple[float, float]:
        """Measured position (x, y), that of a sample that never jumps."""
        self._fate.delay()
        self._answer("tell its position")
        if self._fate.hits("stage garbage", self._faults.garbage):
            raise ProtocolError("stage: expected a position, got garbage, as rehearsed")
        x_um, y_um = self._stage.position()
        return x_um - self._jumped_um[0], y_um - self._jumped_um[1]

    def stop(self) -> None:
        """Halt any motion, dead or not: the stop button has a wire of its own."""
        self._stage.stop()
        self._answer("stop")

    def reconnect(self) -> None:
        """Come to life again."""
        self._dead = False

    def close(self) -> None:
        """Halt, and release the device."""
        self._stage.close()

    def _answer(self, doing: str, timeout_s: float = 1.0) -> None:
        if self._dead:
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout(f"stage: expected it to {doing}, got no answer, as rehearsed")


class FaultyCamera:
    """A ``Camera`` around another one."""

    def __init__(self, camera: Camera, fate: Fate) -> None:
        self._camera, self._fate = camera, fate
        self._faults: CameraFaults = fate.faults.camera
        self._late: Image | None = None
        self._before: Image | None = None
        self._dark_left = 0
        self._dead = False

    @property
    def identity(self) -> Identity:
        """What answers behind this driver."""
        return self._camera.identity

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Set window and exposure."""
        self._camera.configure(image_px, binning, exposure_ms)

    def temperature_c(self) -> float | None:
        """Temperature of the sensor, or that of one whose cooling has failed."""
        self._answer("say its temperature")
        if self._faults.hot and self._fate.hits("camera hot", self._faults.hot):
            return self._faults.hot_c
        return self._camera.temperature_c() if isinstance(self._camera, Thermometer) else None

    def snap(self, timeout_s: float) -> Image:
        """Expose and return one image, or something else."""
        self._begin(timeout_s)
        return self._deliver(self._camera.snap(timeout_s), timeout_s)

    def start_sequence(self, frames: int) -> None:
        """Start exposing images."""
        self._answer("start a sequence")
        self._camera.start_sequence(frames)

    def read_frame(self, timeout_s: float) -> Image:
        """Return the next image of the sequence, or something else."""
        self._begin(timeout_s)
        return self._deliver(self._camera.read_frame(timeout_s), timeout_s)

    def stop(self) -> None:
        """End a sequence; an image that is late is discarded."""
        self._late = None
        self._answer("stop")
        self._camera.stop()

    def reconnect(self) -> None:
        """Come to life again."""
        self._dead, self._late = False, None
        self._camera.stop()

    def close(self) -> None:
        """Release the device."""
        self._camera.close()

    def _begin(self, timeout_s: float) -> None:
        self._fate.delay()
        self._dead |= self._fate.hits("camera dead", self._faults.dead)
        self._answer("expose", timeout_s)
        if self._fate.hits("camera refused", self._faults.refused):
            raise DeviceError("camera: refused to expose, as rehearsed")

    def _deliver(self, image: Image, timeout_s: float) -> Image:
        """Return an image, or what the camera makes of it."""
        image = self._lit(image)
        if self._fate.hits("camera lost", self._faults.lost):
            self._late = image
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout("camera: expected a frame, got none in time, as rehearsed")
        if self._late is not None:
            image, self._late = self._late, image
        if self._before is not None and self._fate.hits(
            "camera repeated", self._faults.repeated
        ):
            return self._before
        if self._fate.hits("camera torn", self._faults.torn):
            image = image[:-1]
        if self._fate.hits("camera saturated", self._faults.saturated):
            image = np.full_like(image, np.iinfo(np.uint16).max)
        self._before = image
        return image

    def _lit(self, image: Image) -> Image:
        """Return what is left of an image when the laser fails."""
        if not self._dark_left and self._fate.hits("camera dark", self._faults.dark):
            self._dark_left = self._faults.dark_frames
        if not self._dark_left:
            return image
        self._dark_left -= 1
        noise = self._fate.random.normal(100.0, _DARK_NOISE_ADU, image.shape)
        dark: Image = np.rint(noise).astype(np.uint16)
        return dark

    def _answer(self, doing: str, timeout_s: float = 1.0) -> None:
        if self._dead:
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout(f"camera: expected it to {doing}, got no answer, as rehearsed")
