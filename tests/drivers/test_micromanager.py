"""The Micro-Manager drivers, on the real core with the adapters of ``mm-test-adapters``."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mm_test_adapters
import pytest

from configs.errors import DeviceError, DeviceTimeout, LimitError
from configs.instrument import MicroManagerCameraConfig, MicroManagerStageConfig, Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage
from drivers.protocols import Identity, Image
from simulation.clock import VirtualClock

SIXTEEN_BIT: dict[str, str | int | float] = {"PixelType": "16bit", "BitDepth": "16"}
STEP_UM = 0.015
"""DXYStage moves in steps of 15 nm."""


class LeapingClock(VirtualClock):
    """Every wait takes an hour, so that deadlines pass while the device is still at it."""

    def sleep(self, seconds: float) -> None:
        super().sleep(3600.0)


def camera_config(
    library: str = "DemoCamera", device: str = "DCam", **properties: str | float
) -> MicroManagerCameraConfig:
    return MicroManagerCameraConfig(
        kind="micromanager",
        library=library,
        device=device,
        properties=SIXTEEN_BIT | properties,
    )


def stage_config(
    device: str = "DXYStage", **properties: str | float
) -> MicroManagerStageConfig:
    return MicroManagerStageConfig(
        kind="micromanager", library="DemoCamera", device=device, properties=dict(properties)
    )


@pytest.fixture
def camera() -> Iterator[MicroManagerCamera]:
    with closing(MicroManagerCamera(camera_config(), WallClock())) as camera:
        camera.configure(64, 4, 1.0)
        yield camera


@pytest.fixture
def stage() -> Iterator[MicroManagerStage]:
    with closing(MicroManagerStage(stage_config(), Travel(), WallClock())) as stage:
        yield stage


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 5 s"


def read(camera: MicroManagerCamera, frames: int) -> list[Image]:
    return [camera.read_frame(1.0) for _ in range(frames)]


# --- opening ---------------------------------------------------------------------------


def refusal(config: MicroManagerCameraConfig) -> str:
    with pytest.raises(DeviceError) as caught:
        MicroManagerCamera(config, WallClock())
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_unknown_library_lists_those_there() -> None:
    message = refusal(camera_config(library="HamamatsuHam"))
    assert "HamamatsuHam" in message
    assert "DemoCamera, NotificationTester, SequenceTester, Utilities" in message


def test_unknown_device_lists_those_in_the_library() -> None:
    message = refusal(camera_config(device="Zyla"))
    assert "'Zyla'" in message
    assert "DCam" in message
    assert "DXYStage" in message


def test_device_of_another_kind_is_refused() -> None:
    assert "expected a CameraDevice, got a XYStageDevice" in refusal(
        camera_config(device="DXYStage")
    )
    with pytest.raises(DeviceError, match="expected a XYStageDevice, got a CameraDevice"):
        MicroManagerStage(stage_config(device="DCam"), Travel(), WallClock())


def test_unknown_property_lists_those_there() -> None:
    message = refusal(camera_config(ScanSpeed="2"))
    assert "'ScanSpeed'" in message
    assert "ScanMode" in message


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ScanMode", "7", "one of 1, 2, 3, got '7'"),
        ("ScanMode", 2.0, "one of 1, 2, 3, got '2.0'"),
        ("Gain", 99, "number from -5 to 8, got 99"),
        ("Gain", "high", "number from -5 to 8, got 'high'"),
        ("CameraID", "V2", "read-only"),
    ],
)
def test_value_not_allowed_names_property_and_values(
    name: str, value: str | float, reason: str
) -> None:
    message = refusal(camera_config("DemoCamera", "DCam", **{name: value}))
    assert f"property {name}" in message
    assert reason in message


def test_properties_reach_the_device() -> None:
    with closing(MicroManagerCamera(camera_config(Gain=-3, ScanMode=2), WallClock())) as camera:
        core = camera._session.require_usable()
        assert core.getProperty("device", "Gain") == "-3"
        assert core.getProperty("device", "ScanMode") == "2"
        assert not core.getAutoShutter()


def test_preinitialisation_properties_are_set_in_time() -> None:
    with closing(
        MicroManagerCamera(camera_config(MaximumExposureMs=50), WallClock())
    ) as camera:
        camera.configure(64, 4, 40.0)
        with pytest.raises(DeviceError, match="made it 40 ms"):
            camera.configure(64, 4, 60.0)


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    assert 'pip install "opticalnet[micromanager]"' in refusal(camera_config())


def test_missing_installation_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymmcore_plus.find_micromanager", lambda: None)
    message = refusal(camera_config())
    assert "mmcore install" in message
    assert "pip install mm-test-adapters" in message


def test_folder_without_adapters_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    assert "expected one of (none found)" in refusal(camera_config())


def test_adapter_that_does_not_load_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (adapter,) = Path(mm_test_adapters.device_adapter_path()).glob("*mmgr_dal_DemoCamera*")
    (tmp_path / adapter.name).write_bytes(b"no library")
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    assert "Micro-Manager reports: Failed to load" in refusal(camera_config())


def test_only_libraries_of_micromanager_itself_are_simulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, camera: MicroManagerCamera
) -> None:
    (adapter,) = Path(mm_test_adapters.device_adapter_path()).glob("*mmgr_dal_DemoCamera*")
    shutil.copy(adapter, tmp_path / adapter.name.replace("DemoCamera", "VendorCamera"))
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))

    with closing(MicroManagerCamera(camera_config("VendorCamera"), WallClock())) as vendor:
        assert vendor.identity == Identity("VendorCamera/DCam", "hardware")
    assert camera.identity == Identity("DemoCamera/DCam", "simulated")


# --- camera ----------------------------------------------------------------------------


@pytest.mark.parametrize(("binning", "corner"), [(1, 224), (4, 32), (8, 0)])
def test_window_is_centred(camera: MicroManagerCamera, binning: int, corner: int) -> None:
    camera.configure(64, binning, 1.0)
    assert camera._session.require_usable().getROI() == [corner, corner, 64, 64]


def test_window_larger_than_the_binned_sensor_names_its_size(
    camera: MicroManagerCamera,
) -> None:
    with pytest.raises(DeviceError, match=r"128 x 128 px .* binning 4, got 256 x 256 px"):
        camera.configure(256, 4, 1.0)


def test_binning_not_offered_lists_what_is(camera: MicroManagerCamera) -> None:
    with pytest.raises(DeviceError, match=r"property Binning: expected one of 1, 2, 4, 8"):
        camera.configure(64, 3, 1.0)


@pytest.mark.parametrize(("pixel_type", "got"), [("8bit", "1 and 1"), ("32bitRGB", "4 and 4")])
def test_pixels_other_than_16_bit_are_refused(pixel_type: str, got: str) -> None:
    config = MicroManagerCameraConfig(
        kind="micromanager",
        library="DemoCamera",
        device="DCam",
        properties={"PixelType": pixel_type},
    )
    with (
        closing(MicroManagerCamera(config, WallClock())) as camera,
        pytest.raises(DeviceError, match=f"got {got}; choose a 16-bit pixel type"),
    ):
        camera.configure(64, 4, 1.0)


def test_exposure_that_the_adapter_ignores_is_refused(camera: MicroManagerCamera) -> None:
    with pytest.raises(DeviceError, match=r"exposure of 20000 ms, .* made it 1 ms"):
        camera.configure(64, 4, 20_000.0)


def test_image_of_another_shape_raises(camera: MicroManagerCamera) -> None:
    camera._session.require_usable().setROI(0, 0, 32, 64)
    with pytest.raises(DeviceError, match=r"\(64, 64\) uint16, got \(64, 32\)"):
        camera.snap(1.0)
    camera.start_sequence(1)
    with pytest.raises(DeviceError, match=r"\(64, 64\) uint16, got \(64, 32\)"):
        camera.read_frame(1.0)


def test_image_of_another_type_raises(camera: MicroManagerCamera) -> None:
    camera._session.require_usable().setProperty("device", "PixelType", "8bit")
    with pytest.raises(DeviceError, match=r"uint16, got \(64, 64\) uint8"):
        camera.snap(1.0)


def test_a_running_sequence_is_not_disturbed(camera: MicroManagerCamera) -> None:
    camera.start_sequence(3)
    for disturb in (
        lambda: camera.snap(1.0),
        lambda: camera.configure(64, 1, 1.0),
        lambda: camera.start_sequence(2),
    ):
        with pytest.raises(DeviceError, match=r"3 images unread; .* stop"):
            disturb()
    assert [image.shape for image in read(camera, 3)] == [(64, 64)] * 3


@pytest.mark.parametrize("frames", [0, -1])
def test_sequence_of_no_images_is_refused(camera: MicroManagerCamera, frames: int) -> None:
    with pytest.raises(DeviceError, match=f"at least 1 image, got {frames}"):
        camera.start_sequence(frames)
    camera.snap(1.0)


def test_late_image_of_a_sequence_times_out_and_the_sequence_goes_on() -> None:
    with closing(MicroManagerCamera(camera_config(), LeapingClock())) as camera:
        camera.configure(64, 4, 300.0)
        camera.start_sequence(1)
        with pytest.raises(DeviceTimeout, match=r"within 5 s after an exposure of 300 ms"):
            camera.read_frame(5.0)

        core = camera._session.require_usable()
        wait_until(lambda: core.getRemainingImageCount() == 1)
        assert camera.read_frame(5.0).shape == (64, 64)


def test_sequence_that_the_camera_ends_early_is_told(camera: MicroManagerCamera) -> None:
    camera.start_sequence(1000)
    camera._session.require_usable().stopSequenceAcquisition()
    with pytest.raises(DeviceError, match="camera has ended the sequence"):
        read(camera, 1000)
    camera.stop()
    camera.snap(1.0)


def test_sequence_leaves_nothing_behind(camera: MicroManagerCamera) -> None:
    core = camera._session.require_usable()
    for _ in range(50):
        camera.start_sequence(1)
        read(camera, 1)
        assert not core.isSequenceRunning()

    camera.start_sequence(100)
    wait_until(lambda: core.getRemainingImageCount() > 2)
    camera.stop()
    assert not core.isSequenceRunning()
    assert core.getRemainingImageCount() == 0


def test_overflow_of_the_buffer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYMM_BUFFER_SIZE_MB", "1")  # two images of 512 x 512
    with closing(MicroManagerCamera(camera_config(), WallClock())) as camera:
        camera.configure(512, 1, 1.0)
        camera.start_sequence(10)
        wait_until(camera._session.require_usable().isBufferOverflowed)
        with pytest.raises(DeviceError, match="buffer of 1 MB overflowed"):
            camera.read_frame(1.0)

        camera.stop()
        camera.start_sequence(1)
        assert camera.read_frame(1.0).shape == (512, 512)


def test_camera_that_hangs_times_out_and_is_good_for_close_only() -> None:
    camera = MicroManagerCamera(camera_config(ReadoutTime=500), WallClock())
    camera.configure(64, 4, 1.0)

    started_s = time.monotonic()
    with pytest.raises(DeviceTimeout, match=r"expected to snap within 0\.051 s, got no answer"):
        camera.snap(0.05)
    assert time.monotonic() - started_s < 0.4

    for use in (
        lambda: camera.snap(1.0),
        lambda: camera.configure(64, 4, 1.0),
        lambda: camera.start_sequence(1),
        lambda: camera.read_frame(1.0),
        camera.stop,
    ):
        with pytest.raises(DeviceError, match="hangs since it was told to snap; close it"):
            use()
    camera.close()


def test_close_of_a_camera_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.micromanager.ACTION_S", 0.05)
    camera = MicroManagerCamera(camera_config(ReadoutTime=600), WallClock())
    camera.configure(64, 4, 1.0)
    with pytest.raises(DeviceTimeout):
        camera.snap(0.05)

    started_s = time.monotonic()
    with pytest.raises(DeviceTimeout, match="switch it off and on again"):
        camera.close()
    assert time.monotonic() - started_s < 0.4
    camera.close()

    camera._session._worker._thread.join(timeout=5.0)  # released once it no longer hangs
    assert not camera._session._worker._thread.is_alive()


# --- stage -----------------------------------------------------------------------------


@pytest.mark.parametrize("target_um", [(0.0, 200.0), (12.34, 5.2), (100.18, 99.82)])
def test_stage_arrives(stage: MicroManagerStage, target_um: tuple[float, float]) -> None:
    stage.move_to(*target_um)
    stage.wait_settled(2.0)
    assert stage.position() == pytest.approx(target_um, abs=STEP_UM)


@pytest.mark.parametrize("target_um", [(-0.1, 10.0), (10.0, 200.1), (float("nan"), 10.0)])
def test_target_outside_the_travel_moves_nothing(
    stage: MicroManagerStage, target_um: tuple[float, float]
) -> None:
    stage.move_to(10.0, 20.0)
    stage.wait_settled(2.0)
    before = stage.position()

    with pytest.raises(LimitError):
        stage.move_to(*target_um)
    stage.wait_settled(2.0)
    assert stage.position() == before


def test_slow_stage_times_out_and_stops() -> None:
    config = stage_config(Velocity=0.01)  # mm/s: 20 s for this move
    with closing(MicroManagerStage(config, Travel(), LeapingClock())) as stage:
        stage.move_to(200.0, 200.0)
        with pytest.raises(DeviceTimeout, match="expected the stage to settle within 2 s"):
            stage.wait_settled(2.0)

        stage.stop()
        stage.wait_settled(2.0)
        x_um, y_um = stage.position()
        assert x_um < 100.0
        assert y_um < 100.0
        stage.move_to(x_um + 1.0, y_um)
        core = stage._session.require_usable()
        wait_until(lambda: not core.deviceBusy("device"))
        assert stage.position() == pytest.approx((x_um + 1.0, y_um), abs=STEP_UM)


def test_stage_closes_while_it_moves_once_and_for_all() -> None:
    stage = MicroManagerStage(stage_config(Velocity=0.01), Travel(), WallClock())
    stage.move_to(200.0, 200.0)
    stage.close()
    stage.close()

    for use in (
        lambda: stage.move_to(1.0, 1.0),
        lambda: stage.wait_settled(1.0),
        stage.position,
        stage.stop,
    ):
        with pytest.raises(DeviceError, match="got a closed one"):
            use()


def test_stage_says_what_it_is(stage: MicroManagerStage) -> None:
    assert stage.identity == Identity("DemoCamera/DXYStage", "simulated")
    assert stage.limits == Travel()


# --- both ------------------------------------------------------------------------------


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
