"""A shutter behind Micro-Manager: never open by mistake.

On the real core with the adapters of ``mm-test-adapters``.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import MicroManagerShutterConfig
from drivers.mm_shutter import MicroManagerShutter
from drivers.protocols import Identity, Reconnectable

PATIENCE_S = 10.0


def opened_shutter(device: str = "DShutter", **properties: str) -> MicroManagerShutter:
    return MicroManagerShutter(
        MicroManagerShutterConfig(
            kind="micromanager", library="DemoCamera", device=device, properties=properties
        )
    )


@pytest.fixture
def shutter() -> Iterator[MicroManagerShutter]:
    with closing(opened_shutter()) as shutter:
        yield shutter


def test_says_what_it_is(shutter: MicroManagerShutter) -> None:
    assert shutter.identity == Identity("DemoCamera/DShutter", "simulated")


def test_device_of_another_kind_is_refused() -> None:
    with pytest.raises(DeviceError, match="expected a ShutterDevice, got a CameraDevice"):
        opened_shutter("DCam")


def test_one_that_comes_up_open_is_closed() -> None:
    with closing(opened_shutter(State="1")) as shutter:
        assert shutter.is_open() is False
        shutter.set_open(True)
        shutter.reconnect()
        assert shutter.is_open() is False


@pytest.mark.parametrize("leave", [MicroManagerShutter.close, MicroManagerShutter.reconnect])
def test_it_is_closed_before_it_is_unloaded(
    leave: object, shutter: MicroManagerShutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = shutter._session.require_usable()
    states: list[bool] = []
    unload = core.unloadAllDevices
    monkeypatch.setattr(
        core,
        "unloadAllDevices",
        lambda: (states.append(core.getShutterOpen("device")), unload()),
    )
    shutter.set_open(True)
    assert callable(leave)
    leave(shutter)
    assert states == [False]
    assert core.getLoadedDevices() == ("Core",)


def test_it_works_again_after_reconnecting(shutter: MicroManagerShutter) -> None:
    assert isinstance(shutter, Reconnectable)
    for _ in range(2):
        shutter.reconnect()
        shutter.set_open(True)
        assert shutter.is_open() is True
    shutter.close()
    with pytest.raises(DeviceError, match="got a closed one"):
        shutter.reconnect()


class SlowOpening:
    """Makes the core open only once the gate is open; it closes at once."""

    def __init__(self, shutter: MicroManagerShutter, patch: pytest.MonkeyPatch) -> None:
        self.core = shutter._session.require_usable()
        self.begun, self.gate = threading.Event(), threading.Event()
        self.states: list[bool] = []
        self._set = self.core.setShutterOpen
        patch.setattr(self.core, "setShutterOpen", self)

    def __call__(self, label: str, is_open: bool) -> None:
        if is_open:
            self.begun.set()
            assert self.gate.wait(PATIENCE_S)
        self._set(label, is_open)
        self.states.append(is_open)


def test_an_opening_under_way_is_undone_where_another_thread_closes(
    shutter: MicroManagerShutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowOpening(shutter, monkeypatch)
    with ThreadPoolExecutor(1) as another:
        opening = another.submit(shutter.set_open, True)
        assert slow.begun.wait(PATIENCE_S)
        shutter.set_open(False)
        assert not opening.done()
        slow.gate.set()
        opening.result(PATIENCE_S)
    assert slow.states == [False, True, False]
    assert shutter.is_open() is False


def end_of_aside() -> None:
    for thread in threading.enumerate():
        if thread.name.endswith("aside"):
            thread.join(PATIENCE_S)


def test_an_opening_that_comes_too_late_is_undone(
    shutter: MicroManagerShutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowOpening(shutter, monkeypatch)
    monkeypatch.setattr("drivers.mm_session.ANSWER_S", 0.05)
    with pytest.raises(DeviceTimeout, match=r"expected to open within 0\.05 s.*by hand"):
        shutter.set_open(True)
    slow.gate.set()
    end_of_aside()
    assert slow.states == [True, False]
    assert shutter.is_open() is False


def test_an_opening_that_hung_does_not_outlast_reconnecting(
    shutter: MicroManagerShutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowOpening(shutter, monkeypatch)
    monkeypatch.setattr("drivers.mm_session.ANSWER_S", 0.05)
    with pytest.raises(DeviceTimeout):
        shutter.set_open(True)
    shutter.reconnect()
    slow.gate.set()
    end_of_aside()
    assert True not in slow.states  # the device was unloaded: it opens there no more
    assert shutter.is_open() is False
