"""Stages, focus drives, shutters and cameras that go wrong on purpose, with a seed.

They wrap any device of the protocols, so that a laboratory can rehearse what its scan does
when things fail, and a test can count what was done to it.
"""

from typing import Final, Generic, TypeVar

import numpy as np

from configs.errors import DeviceError, DeviceTimeout, ProtocolError
from configs.faults import CameraFaults, DriveFaults
from configs.instrument import Travel
from drivers.protocols import Camera, Focus, Identity, Image, Shutter, Thermometer, XYStage
from simulation.fate import Fate

_DARK_NOISE_ADU: Final = 3.0

_Drive = TypeVar("_Drive", XYStage, Focus)


class _FaultyDrive(Generic[_Drive]):
    """What can go wrong with whatever moves.

    Everything is decided when a move begins, so that whoever asks for a position in between,
    as looks at limits do by the clock on the wall, changes nothing.
    """

    def __init__(self, name: str, drive: _Drive, faults: DriveFaults, fate: Fate) -> None:
        self._drive: _Drive = drive
        self._name, self._faults, self._fate = name, faults, fate
        self._dead = self._garbles = False

    @property
    def identity(self) -> Identity:
        """What answers behind this driver."""
        return self._drive.identity

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the drive has come to rest, or too late, or not at all."""
        self._fate.delay(self._name)
        self._answer("settle", timeout_s)
        self._fate.hang(f"{self._name} hang", self._faults.hang)
        if self._hits("late", self._faults.late):
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout(
                f"{self._name}: expected it at rest in time, got it late, as rehearsed"
            )
        self._drive.wait_settled(timeout_s)

    def stop(self) -> None:
        """Halt any motion, dead or not: the stop button has a wire of its own."""
        self._fate.let_go()
        self._drive.stop()
        self._garbles = False
        self._answer("stop")

    def reconnect(self) -> None:
        """Come to life again."""
        self._dead = False

    def close(self) -> None:
        """Halt, and release the device."""
        self._drive.close()

    def _begin_move(self) -> float:
        """Return by how much, in um, a move ends off its target, or raise."""
        self._fate.delay(self._name)
        self._dead |= self._hits("dead", self._faults.dead)
        self._answer("move")
        if self._hits("refused", self._faults.refused):
            raise DeviceError(f"{self._name}: refused a move, as rehearsed")
        self._garbles = self._hits("garbage", self._faults.garbage)
        is_off = self._hits("off target", self._faults.off_target)
        return self._faults.off_target_nm / 1000 if is_off else 0.0

    def _begin_answer(self) -> None:
        self._answer("tell its position")
        if self._garbles:
            raise ProtocolError(f"{self._name}: expected a position, got garbage, as rehearsed")

    def _hits(self, fault: str, probability: float) -> bool:
        return self._fate.hits(f"{self._name} {fault}", probability)

    def _answer(self, doing: str, timeout_s: float = 1.0) -> None:
        if self._dead:
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout(
                f"{self._name}: expected it to {doing}, got no answer, as rehearsed"
            )


class FaultyStage(_FaultyDrive[XYStage]):
    """An ``XYStage`` around another one.

    A sample that jumps is simulated by a stage that goes elsewhere without saying so.

    Attributes
    ----------
    jumped_um
        By how much (x, y) the sample has jumped by now.
    """

    def __init__(self, stage: XYStage, fate: Fate) -> None:
        super().__init__("stage", stage, fate.faults.stage, fate)
        self.jumped_um = (0.0, 0.0)

    @property
    def limits(self) -> Travel:
        """Where the stage may go."""
        return self._drive.limits

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move, or one to somewhere else."""
        off_um = self._begin_move()
        faults = self._fate.faults.stage
        if self._hits("jump", faults.jump):
            angle = 2 * np.pi * self._fate.random("stage jump").random()
            size_um, (x, y) = faults.jump_nm / 1000, self.jumped_um
            self.jumped_um = x + size_um * np.cos(angle), y + size_um * np.sin(angle)
        self._drive.move_to(x_um + off_um + self.jumped_um[0], y_um + self.jumped_um[1])

    def position(self) -> tuple[float, float]:
        """Measured position (x, y), that of a sample that never jumps."""
        self._begin_answer()
        x_um, y_um = self._drive.position()
        return x_um - self.jumped_um[0], y_um - self.jumped_um[1]


class FaultyFocus(_FaultyDrive[Focus]):
    """A ``Focus`` around another one."""

    def __init__(self, focus: Focus, fate: Fate) -> None:
        super().__init__("focus", focus, fate.faults.focus, fate)

    @property
    def limits_um(self) -> tuple[float, float]:
        """Where the drive may go, (lowest, highest)."""
        return self._drive.limits_um

    def move_to(self, z_um: float) -> None:
        """Start a move, or one to somewhere else."""
        self._drive.move_to(z_um + self._begin_move())

    def position(self) -> float:
        """Measured position."""
        self._begin_answer()
        return self._drive.position()


class FaultyShutter:
    """A ``Shutter`` around another one."""

    def __init__(self, shutter: Shutter, fate: Fate) -> None:
        self._shutter, self._fate = shutter, fate
        self._stuck = False

    @property
    def identity(self) -> Identity:
        """What answers behind this driver."""
        return self._shutter.identity

    def set_open(self, is_open: bool) -> None:
        """Open or close, or not."""
        faults = self._fate.faults.shutter
        if self._fate.hits("shutter refused", faults.refused):
            raise DeviceError("shutter: refused to move, as rehearsed")
        self._stuck |= self._fate.hits("shutter stuck", faults.stuck)
        if not self._stuck:
            self._shutter.set_open(is_open)

    def is_open(self) -> bool:
        """Measured state."""
        return self._shutter.is_open()

    def reconnect(self) -> None:
        """Come loose."""
        self._stuck = False

    def close(self) -> None:
        """Close, and release the device."""
        self._shutter.close()


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
        self._fate.delay("camera")
        self._dead |= self._fate.hits("camera dead", self._faults.dead)
        self._answer("expose", timeout_s)
        if self._fate.hits("camera refused", self._faults.refused):
            raise DeviceError("camera: refused to expose, as rehearsed")
        self._fate.hang("camera hang", self._faults.hang)

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
        noise = self._fate.random("camera dark").normal(100.0, _DARK_NOISE_ADU, image.shape)
        dark: Image = np.rint(noise).astype(np.uint16)
        return dark

    def _answer(self, doing: str, timeout_s: float = 1.0) -> None:
        if self._dead:
            self._fate.clock.sleep(timeout_s)
            raise DeviceTimeout(f"camera: expected it to {doing}, got no answer, as rehearsed")
