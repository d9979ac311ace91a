"""Cameras and stages behind Micro-Manager, through ``pymmcore-plus``.

Each driver owns a core that holds its one device, so camera and stage can neither
block nor unload each other. Devices that must share a core (the children of one hub,
a stage behind a serial port of Micro-Manager) cannot be driven this way.

All calls of a driver run on one thread of its own, with a deadline in real time: give
these drivers the wall clock. A call that misses it may hang in the vendor's code for
ever, and everything but ``close`` and ``reconnect`` is refused from then on; ``stop`` of a
stage goes beside it, as far as Micro-Manager lets it.

Micro-Manager logs nothing unless ``PYMM_LOG_FILE`` names a file or ``PYMM_LOG_LEVEL``
a level.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import (
    MicroManagerCameraConfig,
    MicroManagerStageConfig,
    Travel,
)
from drivers.mm_motion import POLL_S, halt_if_busy, wait_until_still
from drivers.mm_session import ACTION_S, ANSWER_S, LABEL, Session, leave
from drivers.mm_window import Window, set_window
from drivers.protocols import Clock, Identity, Image, check_travel

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

_THREAD_END_S: Final = 0.05
"""Real time for an adapter's thread to return; it takes well below a millisecond."""


class MicroManagerCamera:
    """A camera that Micro-Manager drives.

    Parameters
    ----------
    config
        Adapter library, device, and properties. Those that Micro-Manager marks as
        pre-initialisation are set before the device starts, the others after.
    clock
        Deadlines of ``read_frame`` are measured on it.

    Raises
    ------
    DeviceError
        Micro-Manager, the library, the device or a property is not there, or the
        device does not start.
    """

    def __init__(self, config: MicroManagerCameraConfig, clock: Clock) -> None:
        self._session = Session(config, "CameraDevice")
        self._temperature_property = config.temperature_property
        self._clock = clock
        self._window: Window | None = None
        self._last_window: Window | None = None
        """The last that held; ``reconnect`` restores it."""
        self._unread = 0
        self._started = False

    @property
    def identity(self) -> Identity:
        """Library and device; simulated where the library is one of Micro-Manager's own."""
        return self._session.identity

    def configure(self, image_px: int, binning: int, exposure_ms: float) -> None:
        """Set the window and exposure, which the camera may round by 2 % or 0.01 ms.

        Raises
        ------
        DeviceError
            The camera cannot do that, or does something else; the window and exposure
            from before hold again.
        """
        wanted = Window(image_px, binning, exposure_ms)
        wanted.check(self._session.name)
        self._require_idle("configure")
        before, self._window = self._window, None
        try:
            self._apply(wanted)
        except DeviceTimeout:
            raise  # it hangs, and nothing can be restored but by reconnecting
        except DeviceError:
            if before is not None:
                self._apply(before)
            raise

    def temperature_c(self) -> float | None:
        """Temperature of the sensor, degrees Celsius; ``None`` where no property says it.

        Raises
        ------
        DeviceError
            There is no such property, or it holds no number.
        """
        name = self._temperature_property
        if name is None:
            return None
        text = self._session.run(
            "say its temperature", lambda core: core.getProperty(LABEL, name), ANSWER_S
        )
        try:
            return float(text)
        except ValueError as error:
            raise DeviceError(
                f"{self._session.name}: expected degrees Celsius in {name}, got {text!r};"
                " correct temperature_property"
            ) from error

    def snap(self, timeout_s: float) -> Image:
        """Expose and return one image, (image_px, image_px).

        Raises
        ------
        DeviceTimeout
            No image came; the core still waits for it, so only ``close`` and
            ``reconnect`` are left.
        DeviceError
            The camera failed, is not configured or delivers another kind of image.
        """
        window = self._configured()
        self._require_idle("snap")
        image = self._session.run("snap", _snap, window.exposure_s + timeout_s)
        return window.accept(image, self._session.name)

    def start_sequence(self, frames: int) -> None:
        """Start exposing at least one image into the core's circular buffer.

        Raises
        ------
        DeviceError
            ``frames`` is no such number, a sequence runs already, or the camera fails.
        """
        self._configured()
        self._require_idle("start a sequence")
        if frames < 1:
            raise DeviceError(
                f"{self._session.name}: expected a sequence of at least 1 image, got {frames};"
                " nothing was started"
            )
        self._session.run(
            "start a sequence", lambda core: core.startSequenceAcquisition(frames, 0.0, True)
        )
        self._unread, self._started = frames, True

    def read_frame(self, timeout_s: float) -> Image:
        """Return the next image, (image_px, image_px), at most ``timeout_s`` after exposure.

        Raises
        ------
        DeviceTimeout
            No image came; the sequence goes on.
        DeviceError
            The sequence is read to its end, ended early, or images were lost because
            the core's buffer was full.
        """
        window, name = self._configured(), self._session.name
        if not self._unread:
            raise DeviceError(
                f"{name}: expected a sequence with an image to read, got none;"
                " call start_sequence for as many images as are read"
            )
        deadline = self._clock.now() + window.exposure_s + timeout_s
        pop = partial(_pop, name)
        while (image := self._session.run("read an image", pop, ANSWER_S)) is None:
            if self._clock.now() >= deadline:
                raise DeviceTimeout(
                    f"{name}: expected an image within {timeout_s:g} s after an exposure of"
                    f" {window.exposure_ms:g} ms, got none; check the trigger settings,"
                    " or raise frame_timeout_s in [timing]"
                )
            self._clock.sleep(POLL_S)
        self._unread -= 1
        if not self._unread:
            self.stop()  # a camera still winding down would refuse the next snap
        return window.accept(image, name)

    def stop(self) -> None:
        """End a sequence after the current exposure; images not yet read are discarded."""
        self._session.run("stop", _stop_sequence, self._stop_timeout_s())
        self._unread = 0

    def reconnect(self) -> None:
        """Load the device again, also where a call hangs; window and exposure hold again.

        A sequence is not taken up again. Where this raises, every other call does until it
        has succeeded, or ``close``.

        Raises
        ------
        DeviceError
            The camera was closed, does not open, as it may not while a call that hangs
            holds it, or does not take the window and exposure from before.
        """
        window = self._last_window
        prepare = leave if window is None else partial(set_window, window, self._session.name)
        self._session = self._session.renewed(self._halting(), self._stop_timeout_s(), prepare)
        self._window, self._unread, self._started = window, 0, False

    def close(self) -> None:
        """End a sequence, and release the device; further calls do nothing.

        Raises
        ------
        DeviceTimeout
            The device hangs and cannot be released before the program ends.
        """
        self._session.close(self._halting(), self._stop_timeout_s())

    def _apply(self, window: Window) -> None:
        self._session.run("configure", partial(set_window, window, self._session.name))
        self._window = self._last_window = window

    def _configured(self) -> Window:
        self._session.require_usable()
        if self._window is None:
            raise DeviceError(
                f"{self._session.name}: expected a configured camera, got none;"
                " call configure first"
            )
        return self._window

    def _require_idle(self, doing: str) -> None:
        if self._unread:
            raise DeviceError(
                f"{self._session.name}: expected no running sequence to {doing},"
                f" got one with {self._unread} images unread; read them, or call stop first"
            )

    def _halting(self) -> "Callable[[CMMCorePlus], None]":
        return _end_sequence_thread if self._started else _stop_sequence

    def _stop_timeout_s(self) -> float:
        return ACTION_S + (self._window.exposure_s if self._window else 0.0)


class MicroManagerStage:
    """An XY stage that Micro-Manager drives.

    Parameters
    ----------
    config
        Adapter library, device, and properties; see ``MicroManagerCamera``.
    travel
        Where the stage may go: Micro-Manager knows no limits of its own.
    clock
        Deadlines of ``wait_settled`` are measured on it.

    Raises
    ------
    DeviceError
        Micro-Manager, the library, the device or a property is not there, or the
        device does not start.
    """

    def __init__(self, config: MicroManagerStageConfig, travel: Travel, clock: Clock) -> None:
        self._session = Session(config, "XYStageDevice")
        self._travel = travel
        self._clock = clock

    @property
    def limits(self) -> Travel:
        """Where the stage may go."""
        return self._travel

    @property
    def identity(self) -> Identity:
        """Library and device; simulated where the library is one of Micro-Manager's own."""
        return self._session.identity

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        check_travel(self._travel, x_um, y_um)
        self._session.run("move", lambda core: core.setXYPosition(LABEL, x_um, y_um))

    def wait_settled(self, timeout_s: float) -> None:
        """Return once the stage no longer calls itself busy.

        What busy means is the adapter's affair: some clear it before the stage has
        come to rest within nanometres. Compare ``position`` with the target.

        Raises
        ------
        DeviceTimeout
            The stage is still busy; it stays usable.
        """
        wait_until_still(self._session, self._clock, timeout_s)

    def position(self) -> tuple[float, float]:
        """Position (x, y) in micrometres, as the device reports it."""
        x_um, y_um = self._session.run(
            "tell its position", lambda core: core.getXYPosition(LABEL), ANSWER_S
        )
        return x_um, y_um

    def stop(self) -> None:
        """Halt any motion; the stage stays usable.

        May come from any thread, and waits for no other call.

        Raises
        ------
        DeviceTimeout
            The adapter did not do it in time, as where a call hangs in its own code; it
            does once that returns.
        DeviceError
            The stage is closed, or cannot stop.
        """
        self._session.run_aside("stop", lambda core: core.stop(LABEL))

    def reconnect(self) -> None:
        """Load the device again, also where a call hangs; any motion is halted first.

        Nobody can take back a call that hangs in the adapter's own code: should it return
        one day, the stage is halted there. Where this raises, every other call does until
        it has succeeded, or ``close``.

        Raises
        ------
        DeviceError
            The stage was closed, or does not open, as it may not while a call that hangs
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


def _snap(core: "CMMCorePlus") -> NDArray[np.generic]:
    core.snapImage()
    return core.getImage()


def _pop(name: str, core: "CMMCorePlus") -> NDArray[np.generic] | None:
    """Return the next image of a sequence, None while there is none yet."""
    if core.isBufferOverflowed():
        raise DeviceError(
            f"{name}: expected images to be read as fast as they come, but the buffer of"
            f" {core.getCircularBufferMemoryFootprint()} MB overflowed; call stop, and expose"
            " longer, take fewer images, or raise PYMM_BUFFER_SIZE_MB"
        )
    if core.getRemainingImageCount():
        return core.popNextImage()
    # In this order: the last image may come between the two questions.
    if not core.isSequenceRunning() and not core.getRemainingImageCount():
        raise DeviceError(
            f"{name}: expected another image, but the camera has ended the sequence;"
            " call stop, check its trigger settings, and start again"
        )
    return None


def _stop_sequence(core: "CMMCorePlus") -> None:
    core.stopSequenceAcquisition()
    core.clearCircularBuffer()


def _end_sequence_thread(core: "CMMCorePlus") -> None:
    """Stop, and let an adapter's own thread return before its code is unloaded.

    DemoCamera, and adapters modelled on it, do not join a thread whose sequence has
    ended by itself, and unloading its code under it crashes the interpreter.
    """
    _stop_sequence(core)
    time.sleep(_THREAD_END_S)
