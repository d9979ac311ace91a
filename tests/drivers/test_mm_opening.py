"""What the Micro-Manager drivers refuse to open, and what they say then."""

import shutil
import sys
from contextlib import closing
from pathlib import Path

import mm_test_adapters
import pytest
from mm_bench import camera_config, stage_config

from configs.errors import DeviceError
from configs.instrument import MicroManagerCameraConfig, Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage
from drivers.protocols import Identity


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
