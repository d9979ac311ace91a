"""A focus drive behind Micro-Manager, on the real core with ``mm-test-adapters``."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import MicroManagerFocusConfig
from drivers.clock import WallClock
from drivers.mm_focus import MicroManagerFocus
from drivers.protocols import Identity, Reconnectable

PATIENCE_S = 10.0


def opened_focus(device: str = "DStage") -> MicroManagerFocus:
    config = MicroManagerFocusConfig(
        kind="micromanager", library="DemoCamera", device=device, range_um=(-50.0, 50.0)
    )
    return MicroManagerFocus(config, WallClock())


@pytest.fixture
def focus() -> Iterator[MicroManagerFocus]:
    with closing(opened_focus()) as focus:
        yield focus


def test_says_what_it_is(focus: MicroManagerFocus) -> None:
    assert focus.identity == Identity("DemoCamera/DStage", "simulated")


@pytest.mark.parametrize("device", ["DCam", "DXYStage"])
def test_device_of_another_kind_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match="expected a StageDevice, got a"):
        opened_focus(device)


def test_it_works_again_after_reconnecting(focus: MicroManagerFocus) -> None:
    assert isinstance(focus, Reconnectable)
    old_core = focus._session.require_usable()
    focus.reconnect()
    assert old_core.getLoadedDevices() == ("Core",)
    focus.move_to(3.0)
    focus.wait_settled(PATIENCE_S)
    assert focus.position() == pytest.approx(3.0, abs=0.001)
    focus.close()
    with pytest.raises(DeviceError, match="got a closed one"):
        focus.reconnect()


def test_while_it_does_not_open_every_call_fails(
    focus: MicroManagerFocus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("MICROMANAGER_PATH", str(tmp_path))
        with suppress(DeviceError):
            focus.reconnect()
        with pytest.raises(DeviceError, match="got a closed one"):
            focus.position()
    focus.reconnect()
    focus.stop()


def test_stop_goes_beside_a_call_that_hangs(
    focus: MicroManagerFocus, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, gate = focus._session.require_usable(), threading.Event()
    stopped: list[str] = []
    monkeypatch.setattr(core, "deviceBusy", lambda _: True)
    monkeypatch.setattr(core, "stop", stopped.append)
    with pytest.raises(DeviceTimeout):
        focus._session.run("move", lambda _: gate.wait(PATIENCE_S), 0.02)
    stopping = threading.Thread(target=focus.stop)
    stopping.start()
    stopping.join(PATIENCE_S)
    assert stopped == ["device"]
    with pytest.raises(DeviceError, match="hangs"):
        focus.move_to(1.0)
    gate.set()


def test_one_that_stays_busy_is_told(
    focus: MicroManagerFocus, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = focus._session.require_usable()
    with monkeypatch.context() as patched:
        patched.setattr(core, "deviceBusy", lambda _: True)
        with pytest.raises(DeviceTimeout, match=r"settle within 0\.02 s"):
            focus.wait_settled(0.02)
    focus.wait_settled(0.02)
