"""Connecting devices behind Micro-Manager again, and stopping a stage beside a hung call.

On the real core with the adapters of ``mm-test-adapters``.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import MicroManagerCameraConfig, MicroManagerStageConfig, Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage
from drivers.protocols import Reconnectable

PATIENCE_S = 10.0
STEP_UM = 0.015
"""DXYStage moves in steps of 15 nm."""


def opened_camera(**properties: str | float) -> MicroManagerCamera:
    config = MicroManagerCameraConfig(
        kind="micromanager",
        library="DemoCamera",
        device="DCam",
        properties={"PixelType": "16bit", "BitDepth": "16"} | properties,
    )
    return MicroManagerCamera(config, WallClock())


def opened_stage(**properties: float) -> MicroManagerStage:
    config = MicroManagerStageConfig(
        kind="micromanager", library="DemoCamera", device="DXYStage", properties=properties
    )
    return MicroManagerStage(config, Travel(), WallClock())


@pytest.fixture
def camera() -> Iterator[MicroManagerCamera]:
    with closing(opened_camera()) as camera:
        camera.configure(48, 4, 3.0)
        yield camera


@pytest.fixture
def stage() -> Iterator[MicroManagerStage]:
    with closing(opened_stage()) as stage:
        yield stage


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up calls that hang at once, and not only after seconds."""
    monkeypatch.setattr("drivers.micromanager.ACTION_S", 0.05)


def wait_for_end(thread: threading.Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def window_of(camera: MicroManagerCamera) -> tuple[list[int], str, float]:
    core = camera._session.require_usable()
    return core.getROI(), core.getProperty("device", "Binning"), core.getExposure()


# --- camera ----------------------------------------------------------------------------


def test_window_and_exposure_hold_again_on_a_new_core(camera: MicroManagerCamera) -> None:
    camera.configure(64, 8, 2.0)
    before, old_core = window_of(camera), camera._session.require_usable()
    assert before == ([0, 0, 64, 64], "8", 2.0)
    assert isinstance(camera, Reconnectable)

    camera.reconnect()

    assert camera._session.require_usable() is not old_core
    assert old_core.getLoadedDevices() == ("Core",)
    assert window_of(camera) == before
    assert camera.snap(1.0).shape == (64, 64)


def test_a_camera_that_was_not_configured_still_is_not() -> None:
    with closing(opened_camera()) as camera:
        camera.reconnect()
        with pytest.raises(DeviceError, match="call configure first"):
            camera.snap(1.0)


def test_a_sequence_is_not_taken_up_again(camera: MicroManagerCamera) -> None:
    camera.start_sequence(1000)
    camera.read_frame(1.0)
    camera.reconnect()
    with pytest.raises(DeviceError, match="expected a sequence with an image to read"):
        camera.read_frame(1.0)
    camera.start_sequence(2)
    assert [camera.read_frame(1.0).shape for _ in range(2)] == [(48, 48)] * 2


def test_a_camera_that_hung_for_a_while_works_again() -> None:
    with closing(opened_camera(ReadoutTime=300)) as camera:
        camera.configure(48, 4, 3.0)
        with pytest.raises(DeviceTimeout):
            camera.snap(0.05)
        hung = camera._session

        camera.reconnect()

        wait_for_end(hung._worker._thread)  # its device is released
        assert camera.snap(PATIENCE_S).shape == (48, 48)


@pytest.mark.usefixtures("impatient")
def test_a_camera_that_still_hangs_is_given_up_and_stays_out_of_the_way() -> None:
    with closing(opened_camera(ReadoutTime=800)) as camera:
        camera.configure(48, 4, 3.0)
        core = camera._session.require_usable()
        with pytest.raises(DeviceTimeout):
            camera.snap(0.01)
        hung = camera._session._worker._thread

        camera.reconnect()
        assert hung.is_alive()
        before = window_of(camera)
        wait_for_end(hung)

        assert core.getLoadedDevices() == ("Core",)
        assert window_of(camera) == before
        assert camera.snap(PATIENCE_S).shape == (48, 48)


def test_a_configure_that_hangs_leaves_the_window_from_before(
    camera: MicroManagerCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, gate = window_of(camera), threading.Event()
    core = camera._session.require_usable()
    monkeypatch.setattr(core, "clearROI", lambda: gate.wait(PATIENCE_S))
    monkeypatch.setattr(camera._session, "run", partial(camera._session.run, timeout_s=0.05))
    with pytest.raises(DeviceTimeout, match="expected to configure"):
        camera.configure(64, 1, 5.0)
    gate.set()

    camera.reconnect()

    assert window_of(camera) == before


# --- stage -----------------------------------------------------------------------------


def hang(stage: MicroManagerStage, gate: threading.Event) -> None:
    """Tell the stage to move where it hangs: the move happens when the gate opens."""

    def move_late(core: object) -> None:
        assert gate.wait(PATIENCE_S)
        core.setXYPosition("device", 190.0, 190.0)  # type: ignore[attr-defined]

    with pytest.raises(DeviceTimeout):
        stage._session.run("move", move_late, 0.02)


def test_stop_goes_beside_a_call_that_hangs() -> None:
    gate = threading.Event()
    with closing(opened_stage(Velocity=0.01)) as stage:
        core = stage._session.require_usable()
        stage.move_to(200.0, 200.0)  # takes 20 s
        hang(stage, gate)
        stopping = threading.Thread(target=stage.stop)
        stopping.start()
        wait_for_end(stopping)
        assert not core.deviceBusy("device")
        gate.set()


@pytest.mark.usefixtures("impatient")
def test_a_move_that_wakes_up_late_reaches_neither_the_new_device_nor_its_target() -> None:
    gate = threading.Event()
    with closing(opened_stage(Velocity=0.01)) as stage:
        old_core = stage._session.require_usable()
        hang(stage, gate)
        late = stage._session._worker._thread
        stage.reconnect()
        assert late.is_alive()
        before = stage.position()

        gate.set()
        wait_for_end(late)

        assert old_core.getLoadedDevices() == ("Core",)  # halted, and unloaded
        assert stage.position() == before
        stage.move_to(before[0] + 0.3, before[1])
        stage.wait_settled(PATIENCE_S)
        assert stage.position() == pytest.approx((before[0] + 0.3, before[1]), abs=STEP_UM)


def test_a_stage_that_moves_is_halted_before_it_is_unloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(opened_stage(Velocity=0.01)) as stage:
        core = stage._session.require_usable()
        busy: list[bool] = []
        unload = core.unloadAllDevices
        monkeypatch.setattr(
            core, "unloadAllDevices", lambda: (busy.append(core.deviceBusy("device")), unload())
        )
        stage.move_to(200.0, 200.0)
        assert core.deviceBusy("device")
        stage.reconnect()
        assert busy == [False]


# --- both ------------------------------------------------------------------------------

Device = MicroManagerCamera | MicroManagerStage


@pytest.fixture(params=["camera", "stage"])
def device(request: pytest.FixtureRequest) -> Device:
    device: Device = request.getfixturevalue(request.param)
    return device


def calls_of(device: Device) -> list[Callable[[], object]]:
    if isinstance(device, MicroManagerStage):
        move = partial(device.move_to, 1.0, 1.0)
        return [move, partial(device.wait_settled, 1.0), device.position, device.stop]
    start, configure = partial(device.start_sequence, 2), partial(device.configure, 64, 1, 1.0)
    return [partial(device.snap, 1.0), start, configure, device.stop]


def test_while_it_does_not_open_every_call_fails_and_then_all_is_well(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("MICROMANAGER_PATH", str(tmp_path))
        for _ in range(2):
            with pytest.raises(DeviceError, match=r"expected one of \(none found\)"):
                device.reconnect()
            for call in calls_of(device):
                with pytest.raises(DeviceError, match="got a closed one"):
                    call()
    device.reconnect()
    for call in calls_of(device):
        call()
        if isinstance(device, MicroManagerCamera):
            device.stop()


def test_a_device_that_was_closed_stays_closed(device: Device) -> None:
    device.close()
    with pytest.raises(DeviceError, match="got a closed one"):
        device.reconnect()


def test_closing_a_device_that_failed_to_reconnect_is_for_good(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("MICROMANAGER_PATH", str(tmp_path))
        with suppress(DeviceError):
            device.reconnect()
    device.close()
    with pytest.raises(DeviceError, match="got a closed one"):
        device.reconnect()
