"""One Micro-Manager device in a core of its own: opening, calling and releasing it.

This is the only module that imports ``pymmcore_plus``, and all calls of a core pass
through a ``Session``: whatever the core raises leaves here as ``DeviceError``.
"""

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import (
    MicroManagerCameraConfig,
    MicroManagerFocusConfig,
    MicroManagerShutterConfig,
    MicroManagerStageConfig,
)
from drivers.mm_worker import Worker
from drivers.protocols import Identity

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

T = TypeVar("T")
Kind = Literal["CameraDevice", "XYStageDevice", "ShutterDevice", "StageDevice"]
MicroManagerConfig = (
    MicroManagerCameraConfig
    | MicroManagerStageConfig
    | MicroManagerShutterConfig
    | MicroManagerFocusConfig
)

LABEL: Final = "device"
SIMULATED_LIBRARIES: Final = frozenset(
    {"DemoCamera", "NotificationTester", "SequenceTester", "Utilities"}
)
OPEN_S: Final = 120.0
"""For a device to load and initialise; some load firmware or home first."""
ACTION_S: Final = 10.0
"""For a device to carry out a command, beyond any exposure."""
ANSWER_S: Final = 2.0
"""For the core to answer a question."""


def leave(core: "CMMCorePlus") -> None:
    """Do nothing to a device that needs nothing done."""


class Session:
    """A device that is open until ``close``; every call has a deadline.

    A call that misses its deadline may hang in the vendor's code for ever, so from
    then on everything but ``run_aside``, ``renewed`` and ``close`` is refused.

    Parameters
    ----------
    config
        Adapter library, device, and properties.
    kind
        What the device must be.
    prepare
        Brings the device, once loaded, into the state that is wanted of it.

    Raises
    ------
    DeviceError
        Micro-Manager, the library, the device or a property is not there, or the
        device does not start or cannot be prepared.
    """

    def __init__(
        self,
        config: MicroManagerConfig,
        kind: Kind,
        prepare: "Callable[[CMMCorePlus], None]" = leave,
    ) -> None:
        self.name = f"{config.library}/{config.device}"
        simulated = config.library in SIMULATED_LIBRARIES
        self.identity = Identity(self.name, "simulated" if simulated else "hardware")
        self._config, self._kind = config, kind
        self._closed = False
        self._giving_up = Lock()
        self._hung_in = ""
        with _translated(self.name, "start Micro-Manager"):
            self._core: CMMCorePlus | None = _new_core()
        self._worker = Worker(self.name)
        try:
            self.run("open", partial(_load, config, kind), OPEN_S)
            self.run("get ready", prepare)
        except BaseException:
            with suppress(DeviceError):
                self.close(leave, ACTION_S)
            raise

    def require_usable(self) -> "CMMCorePlus":
        """Return the core, or raise where the device is closed or hangs."""
        core = self._require_open()
        if self._hung_in:
            raise DeviceError(
                f"{self.name}: expected a device that answers, got one that hangs since it was"
                f" told to {self._hung_in}; close it, check power and cable, open it anew"
            )
        return core

    def run(
        self, doing: str, action: "Callable[[CMMCorePlus], T]", timeout_s: float = ACTION_S
    ) -> T:
        """Return what ``action`` makes of the core, on the thread of this device.

        Parameters
        ----------
        doing
            The action in words, for messages: "expected to ...".
        action
            Gets the core.
        timeout_s
            Real time until the device counts as hung.

        Raises
        ------
        DeviceTimeout
            ``action`` has not returned in time.
        DeviceError
            It raised, or the device is closed or hangs.
        """
        core = self.require_usable()
        with _translated(self.name, doing):
            answer = self._worker.submit(lambda: action(core))
            try:
                return answer.result(timeout_s)
            except TimeoutError:
                self._hung_in = doing
                raise DeviceTimeout(
                    f"{self.name}: expected to {doing} within {timeout_s:g} s, got no answer;"
                    " close it, check power, cable and trigger, open it anew"
                ) from None

    def run_aside(self, doing: str, action: "Callable[[CMMCorePlus], T]") -> T:
        """Return what ``action`` makes of the core, beside whatever the device is doing.

        For what makes a device safe. It may come from any thread, and a call that hangs is
        not waited for; but where one hangs in the adapter's own code, the core lets nobody
        else into the adapter, and ``action`` is carried out only when that one returns.

        Raises
        ------
        DeviceTimeout
            ``action`` has not returned in time; it is still carried out if it ever can be.
        DeviceError
            It raised, or the device is closed.
        """
        core = self._require_open()
        worker = Worker(f"{self.name} aside")
        with _translated(self.name, doing):
            answer = worker.submit(lambda: action(core))
            try:
                return answer.result(ANSWER_S)
            except TimeoutError:
                raise DeviceTimeout(
                    f"{self.name}: expected to {doing} within {ANSWER_S:g} s, got no answer;"
                    " switch it off by hand"
                ) from None
            finally:
                worker.end(join=answer.done())

    def renewed(
        self,
        halt: "Callable[[CMMCorePlus], None]",
        timeout_s: float,
        prepare: "Callable[[CMMCorePlus], None]" = leave,
    ) -> "Session":
        """Give this session up, and return a new one of the same device.

        A call that hangs beyond ``timeout_s`` keeps this session's thread and core. Should
        it return one day, the device is halted there and unloaded, and nothing else follows.

        Parameters
        ----------
        halt, timeout_s
            As for ``close``.
        prepare
            As for the new session.

        Raises
        ------
        DeviceError
            This session was closed, or the device does not open, as it may not while a
            call that hangs holds it. Then everything but ``renewed`` and ``close`` is refused.
        """
        if self._closed:
            self._require_open()
        with suppress(DeviceError):  # what cannot be released now is left to itself
            self._give_up(halt, timeout_s)
        return Session(self._config, self._kind, prepare)

    def close(self, halt: "Callable[[CMMCorePlus], None]", timeout_s: float) -> None:
        """Halt and unload the device; do nothing where that was done before.

        Parameters
        ----------
        halt
            Ends whatever the device is doing; it is unloaded even where this raises.
        timeout_s
            Real time for a hanging call to end and the device to be released.

        Raises
        ------
        DeviceTimeout
            It still hangs.
        DeviceError
            Halting or unloading failed.
        """
        self._closed = True
        self._give_up(halt, timeout_s)

    def _require_open(self) -> "CMMCorePlus":
        core = self._core  # once: another thread may give it up meanwhile
        if core is None:
            raise DeviceError(
                f"{self.name}: expected an open device, got a closed one; open it anew"
            )
        return core

    def _give_up(self, halt: "Callable[[CMMCorePlus], None]", timeout_s: float) -> None:
        """Halt and unload the device, unless that was done before."""
        with self._giving_up:
            core, self._core = self._core, None
        if core is None:
            return
        with _translated(self.name, "close"):
            answer = self._worker.submit(partial(_release, core, halt))
            try:
                answer.result(timeout_s)
            except TimeoutError:
                raise DeviceTimeout(
                    f"{self.name}: expected to be released within {timeout_s:g} s, but it"
                    " hangs; switch it off and on again, and restart the program"
                ) from None
            finally:
                self._worker.end(join=answer.done())


def set_property(core: "CMMCorePlus", name: str, key: str, value: str | float) -> None:
    """Set a property of the device, or raise with what it allows.

    Raises
    ------
    DeviceError
        The device has no such property, or does not allow that value.
    """
    what = f"{name}: property {key}"
    require_member(key, core.getDevicePropertyNames(LABEL), f"{name}: property", "correct it")
    if core.isPropertyReadOnly(LABEL, key):
        raise DeviceError(
            f"{what}: expected one that can be set, got a read-only one; remove it"
        )
    allowed = core.getAllowedPropertyValues(LABEL, key)
    if allowed:
        require_member(str(value), allowed, what, "correct it")
    elif core.getPropertyType(LABEL, key).name in {"Integer", "Float"}:
        _check_number(core, what, key, value)
    core.setProperty(LABEL, key, str(value))


def require_member(wanted: str, present: tuple[str, ...], what: str, remedy: str) -> None:
    """Raise ``DeviceError`` where ``wanted`` is none of those present."""
    if wanted not in present:
        raise DeviceError(
            f"{what}: expected one of {', '.join(sorted(present)) or '(none found)'},"
            f" got {wanted!r}; {remedy}"
        )


def _check_number(core: "CMMCorePlus", what: str, key: str, value: str | float) -> None:
    """Raise where the core would take a word for zero, or a number out of range."""
    low, high = -math.inf, math.inf
    if core.hasPropertyLimits(LABEL, key):
        low = core.getPropertyLowerLimit(LABEL, key)
        high = core.getPropertyUpperLimit(LABEL, key)
    try:
        fits = low <= float(value) <= high
    except ValueError:
        fits = False
    if not fits:
        raise DeviceError(
            f"{what}: expected a number from {low:g} to {high:g}, got {value!r}; correct it"
        )


@contextmanager
def _translated(name: str, doing: str) -> Iterator[None]:
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        reply = " ".join(str(error).split()) or type(error).__name__
        raise DeviceError(
            f"{name}: expected to {doing}, but Micro-Manager reports: {reply};"
            " check that the device is on, connected and free, and its properties"
        ) from error


def _new_core() -> "CMMCorePlus":
    try:
        with _quiet_import():
            import pymmcore_plus
    except ImportError as error:
        raise DeviceError(
            f"expected the package pymmcore-plus for Micro-Manager, got: {error};"
            ' pip install "opticalnet[micromanager]"'
        ) from error
    folder = pymmcore_plus.find_micromanager()
    if folder is None:
        raise DeviceError(
            "expected an installation of Micro-Manager that fits pymmcore, found none;"
            " run `mmcore install`, or for its demo devices `pip install mm-test-adapters`"
        )
    core = pymmcore_plus.CMMCorePlus(mm_path=folder)
    # Nobody listens to events here, and the thread that delivers them aborts the
    # interpreter at exit ("FATAL: exception not rethrown"), unloaded devices or not.
    super(pymmcore_plus.CMMCorePlus, core).registerCallback(None)
    return core


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Undo what the first import does to logging, unless the user asked for a log.

    It turns the root logger to DEBUG, and adds a log file and a handler on stderr.
    """
    first = "pymmcore_plus" not in sys.modules
    root, log = logging.getLogger(), logging.getLogger("pymmcore-plus")
    level = root.level
    try:
        yield
    finally:
        root.setLevel(level)
        if first and not {"PYMM_LOG_FILE", "PYMM_LOG_LEVEL"} & os.environ.keys():
            for handler in log.handlers.copy():
                log.removeHandler(handler)
                handler.close()
            log.addHandler(logging.NullHandler())


def _load(config: MicroManagerConfig, kind: Kind, core: "CMMCorePlus") -> None:
    name = f"{config.library}/{config.device}"
    require_member(
        config.library,
        core.getDeviceAdapterNames(),
        f"{name}: adapter library",
        "correct it, or install a Micro-Manager that has it",
    )
    devices = core.getAvailableDevices(config.library)
    require_member(config.device, devices, f"{name}: device", "correct it")
    core.loadDevice(LABEL, config.library, config.device)
    if (found := core.getDeviceType(LABEL).name) != kind:
        raise DeviceError(f"{name}: expected a {kind}, got a {found}; name another device")
    early = {
        key for key in core.getDevicePropertyNames(LABEL) if core.isPropertyPreInit(LABEL, key)
    }
    for key, value in config.properties.items():
        if key in early:
            set_property(core, name, key, value)
    core.initializeDevice(LABEL)
    for key, value in config.properties.items():
        if key not in early:
            set_property(core, name, key, value)
    if kind == "CameraDevice":
        core.setCameraDevice(LABEL)
        core.setAutoShutter(False)  # there is no shutter, and some cores then refuse to snap


def _release(core: "CMMCorePlus", halt: "Callable[[CMMCorePlus], None]") -> None:
    try:
        halt(core)
    finally:
        core.unloadAllDevices()
