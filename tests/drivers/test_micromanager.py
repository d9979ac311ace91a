"""What the Micro-Manager drivers have in common: errors translated, nothing left behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from mm_bench import (
    read,
    stage_config,
)

from configs.errors import DeviceError
from configs.instrument import Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage


def test_close_unloads_the_device(camera: MicroManagerCamera, stage: MicroManagerStage) -> None:
    cores = [device._session.require_usable() for device in (camera, stage)]
    camera.close()
    stage.close()
    assert [core.getLoadedDevices() for core in cores] == [("Core",), ("Core",)]


UNLOADS_AFTER_SEQUENCES = """
import gc
from configs.instrument import MicroManagerCameraConfig
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera

for _ in range(15):
    camera = MicroManagerCamera(
        MicroManagerCameraConfig(kind="micromanager", library="DemoCamera", device="DCam",
                                 properties={"PixelType": "16bit"}), WallClock())
    camera.configure(512, 1, 1.0)
    camera.start_sequence(2)
    core = camera._session.require_usable()
    while core.isSequenceRunning():  # close at the very moment when it ends by itself
        pass
    camera.close()
    del camera, core
    gc.collect()
    [bytearray(size) for size in range(0, 20_000, 37)]  # writes over what was freed
"""


def test_close_waits_for_the_thread_of_the_adapter() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", UNLOADS_AFTER_SEQUENCES],
        env=os.environ | {"MALLOC_PERTURB_": "165", "PYMM_BUFFER_SIZE_MB": "1"},
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0


def test_camera_and_stage_are_independent(camera: MicroManagerCamera) -> None:
    with closing(MicroManagerStage(stage_config(), Travel(), WallClock())) as stage:
        stage.move_to(1.0, 2.0)
        camera.snap(1.0)
        stage.wait_settled(2.0)
    assert camera.snap(1.0).shape == (64, 64)


CAMERA_CALLS: dict[str, Callable[[MicroManagerCamera], object]] = {
    "configure": lambda camera: camera.configure(64, 4, 2.0),
    "snap": lambda camera: camera.snap(1.0),
    "start_sequence": lambda camera: camera.start_sequence(2),
    "stop": lambda camera: camera.stop(),
    "close": lambda camera: camera.close(),
}
STAGE_CALLS: dict[str, Callable[[MicroManagerStage], object]] = {
    "move_to": lambda stage: stage.move_to(1.0, 1.0),
    "wait_settled": lambda stage: stage.wait_settled(1.0),
    "position": lambda stage: stage.position(),
    "stop": lambda stage: stage.stop(),
    "close": lambda stage: stage.close(),
}


@pytest.mark.parametrize("call", CAMERA_CALLS.values(), ids=CAMERA_CALLS)
def test_camera_translates_what_the_core_raises(
    camera: MicroManagerCamera, call: Callable[[MicroManagerCamera], object]
) -> None:
    camera._session.require_usable().unloadAllDevices()
    with pytest.raises(DeviceError, match=r"^DemoCamera/DCam: .*reports: ") as caught:
        call(camera)
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    camera._session.close(lambda core: None, 1.0)


def test_read_frame_translates_what_the_core_raises(camera: MicroManagerCamera) -> None:
    camera.start_sequence(1000)
    core = camera._session.require_usable()
    core.stopSequenceAcquisition()
    core.unloadAllDevices()
    with pytest.raises(DeviceError, match=r"^DemoCamera/DCam: .*reports: ") as caught:
        read(camera, 1000)
    assert caught.value.__cause__ is not None
    camera._session.close(lambda core: None, 1.0)


@pytest.mark.parametrize("call", STAGE_CALLS.values(), ids=STAGE_CALLS)
def test_stage_translates_what_the_core_raises(
    stage: MicroManagerStage, call: Callable[[MicroManagerStage], object]
) -> None:
    stage._session.require_usable().unloadAllDevices()
    with pytest.raises(DeviceError, match=r"^DemoCamera/DXYStage: .*reports: ") as caught:
        call(stage)
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    stage._session.close(lambda core: None, 1.0)


LEAVES_NOTHING = """
import logging, threading
from configs.instrument import MicroManagerCameraConfig, MicroManagerStageConfig, Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage

camera = MicroManagerCamera(
    MicroManagerCameraConfig(kind="micromanager", library="DemoCamera", device="DCam",
                             properties={"PixelType": "16bit"}), WallClock())
stage = MicroManagerStage(
    MicroManagerStageConfig(kind="micromanager", library="DemoCamera", device="DXYStage"),
    Travel(), WallClock())
for exposure_ms in range(1, 30):  # each a burst of events, had they a listener
    camera.configure(64, 4, float(exposure_ms))
camera.start_sequence(2)
stage.move_to(1.0, 1.0)
if CLOSE:
    core = camera._session.require_usable()
    assert not core.getPrimaryLogFile(), core.getPrimaryLogFile()
    camera.close()
    stage.close()
    assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert logging.getLogger().level == logging.WARNING
handlers = logging.getLogger("pymmcore-plus").handlers
assert not any(isinstance(handler, logging.FileHandler) for handler in handlers), handlers
"""


@pytest.mark.parametrize("close", [True, False])
def test_program_ends_in_silence_and_leaves_nothing(close: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"CLOSE = {close}\n{LEAVES_NOTHING}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
