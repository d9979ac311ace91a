"""The devices of a scan, open, and how they are left safe."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

from configs.errors import DeviceError
from drivers.protocols import Camera, Clock, Focus, Reconnectable, Shutter, XYStage


@dataclass(frozen=True, slots=True)
class Instrument:
    """Open devices and the clock they live by; ``None`` where there is none."""

    stage: XYStage
    camera: Camera
    clock: Clock
    shutter: Shutter | None = None
    focus: Focus | None = None

    def light(self, *, on: bool) -> None:
        """Open or close the shutter; ``DeviceError`` unless it then says so itself."""
        if self.shutter is None:
            return
        self.shutter.set_open(on)
        if self.shutter.is_open() is not on:
            raise DeviceError(
                f"shutter: expected it {_state(on)} after being told so, got it"
                f" {_state(not on)}; check its power and cable, and mind the beam"
            )


def make_safe(instrument: Instrument, within_s: float) -> list[str]:
    """Stop the stage and the focus drive and close the shutter, side by side.

    Neither waits for the other, or for a call of the same device that hangs.

    Returns
    -------
    list of str
        What failed, or was not done in time; empty if all is safe.
    """
    tasks = {"stage stopped": instrument.stage.stop}
    if instrument.focus is not None:
        tasks["focus stopped"] = instrument.focus.stop
    if instrument.shutter is not None:
        tasks["shutter closed"] = lambda: _darken(instrument)
    outcomes: dict[str, str] = {}
    threads = {
        name: Thread(target=_try, args=(name, task, outcomes), daemon=True)
        for name, task in tasks.items()
    }
    end_s = time.monotonic() + within_s
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(end_s - time.monotonic(), 0.0))
    late = f"not within {within_s:g} s: check it by hand"
    told = {name: outcomes.get(name, late) for name in tasks}
    return [f"{name}: {problem}" for name, problem in told.items() if problem]


def _darken(instrument: Instrument) -> None:
    """Close the shutter; one that fails is connected anew once, and told again."""
    try:
        instrument.light(on=False)
    except DeviceError:
        if isinstance(instrument.shutter, Reconnectable):
            instrument.shutter.reconnect()
        instrument.light(on=False)


def _try(name: str, task: Callable[[], None], outcomes: dict[str, str]) -> None:
    try:
        task()
    except DeviceError as error:
        outcomes[name] = str(error)
    else:
        outcomes[name] = ""


def _state(is_open: bool) -> str:
    return "open" if is_open else "closed"
