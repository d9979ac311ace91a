"""The Micro-Manager camera, on the real core with the adapters of ``mm-test-adapters``."""

import time
from contextlib import closing

import pytest
from mm_bench import LeapingClock, camera_config, read, wait_until

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import MicroManagerCameraConfig
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera


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
