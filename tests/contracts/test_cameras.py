"""What every camera must do, whatever is behind it.

A camera joins by one entry in ``CAMERAS``.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from configs.errors import DeviceError
from configs.geometry import SampleGeometry
from configs.instrument import Environment, MicroManagerCameraConfig, SimulatedCameraConfig
from configs.optics import Optics
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera
from drivers.protocols import Camera, Image
from simulation.camera import SimulatedCamera
from simulation.clock import VirtualClock
from simulation.samples import Sample
from simulation.world import World


@dataclass(frozen=True)
class Bench:
    """How to put a camera behind given optics, and how to tell its images apart."""

    open: Callable[[Optics], AbstractContextManager[Camera]]
    step: Callable[[Image, Image], int] | None = None
    """Exposures from one image to the next, where the picture tells."""


@contextmanager
def demo_camera(optics: Optics) -> Iterator[MicroManagerCamera]:
    config = MicroManagerCameraConfig(
        kind="micromanager",
        library="DemoCamera",
        device="DCam",
        properties={"PixelType": "16bit", "BitDepth": "16"},
    )
    camera = MicroManagerCamera(config, WallClock())
    try:
        yield camera
    finally:
        camera.close()


def wave_step(earlier: Image, later: Image) -> int:
    """DCam shows two waves across the image, an eighth further on each exposure."""
    first, second = (np.fft.rfft(image[0].astype(float))[2] for image in (earlier, later))
    return round(float(np.angle(second / first)) / (math.pi / 4)) % 8


@contextmanager
def simulated_camera(optics: Optics) -> Iterator[Camera]:
    config, clock = SimulatedCameraConfig(), VirtualClock()
    sample, frame = Sample("open", np.ones((4, 4))), SampleGeometry(4, 4, 180.0, (0.0, 0.0))
    world = World(
        sample=sample,
        geometry=frame,
        optics=optics,
        camera=config,
        environment=Environment(),
        stage_um=lambda: (0.0, 0.0),
        is_lit=lambda: True,
        clock=clock,
        seed=0,
    )
    camera = SimulatedCamera(config, optics, world, clock)
    yield camera
    camera.close()


CAMERAS = {
    "micromanager": Bench(demo_camera, wave_step),
    "simulated": Bench(simulated_camera),
}
OPTICS = {
    "64 px at binning 4": Optics(roi_px=256, binning=4),
    "64 px at binning 1": Optics(roi_px=64, binning=1),
}
EXPOSURE_MS = 1.0
TIMEOUT_S = 5.0


@pytest.fixture(params=list(CAMERAS.values()), ids=list(CAMERAS))
def bench(request: pytest.FixtureRequest) -> Bench:
    assert isinstance(request.param, Bench)
    return request.param


@pytest.fixture
def optics() -> Optics:
    return OPTICS["64 px at binning 4"]


@pytest.fixture
def camera(bench: Bench, optics: Optics) -> Iterator[Camera]:
    with bench.open(optics) as camera:
        camera.configure(optics.image_px, optics.binning, EXPOSURE_MS)
        yield camera


def test_says_what_it_is(camera: Camera) -> None:
    assert camera.identity.name
    assert camera.identity.origin in {"simulated", "hardware"}


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
def test_snap_delivers_the_window(camera: Camera, optics: Optics) -> None:
    image = camera.snap(TIMEOUT_S)

    assert image.shape == (optics.image_px, optics.image_px)
    assert image.dtype == np.uint16
    assert image.any()


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
def test_sequence_delivers_every_image(camera: Camera, optics: Optics) -> None:
    camera.start_sequence(7)
    images = [camera.read_frame(TIMEOUT_S) for _ in range(7)]

    assert {image.shape for image in images} == {(optics.image_px, optics.image_px)}
    assert {image.dtype for image in images} == {np.dtype(np.uint16)}


def test_sequence_is_in_order(bench: Bench, camera: Camera) -> None:
    if bench.step is None:
        pytest.skip("the pictures of this camera do not tell their order")
    camera.start_sequence(20)
    images = [camera.read_frame(TIMEOUT_S) for _ in range(20)]

    steps = [bench.step(*pair) for pair in pairwise(images)]
    assert steps == [1] * 19


def test_images_belong_to_the_caller(camera: Camera) -> None:
    snapped = camera.snap(TIMEOUT_S)
    before = snapped.copy()
    camera.start_sequence(3)
    first, *_ = [camera.read_frame(TIMEOUT_S) for _ in range(3)]
    camera.snap(TIMEOUT_S)

    np.testing.assert_array_equal(snapped, before)
    assert not np.shares_memory(first, snapped)


def test_snaps_right_after_a_sequence(camera: Camera, optics: Optics) -> None:
    for frames in (1, 4):
        camera.start_sequence(frames)
        for _ in range(frames):
            camera.read_frame(TIMEOUT_S)
        assert camera.snap(TIMEOUT_S).shape == (optics.image_px, optics.image_px)


def test_reading_beyond_a_sequence_raises_in_time(camera: Camera) -> None:
    camera.start_sequence(2)
    for _ in range(2):
        camera.read_frame(TIMEOUT_S)

    started_s = time.monotonic()
    with pytest.raises(DeviceError):
        camera.read_frame(0.1)
    assert time.monotonic() - started_s < 1.0


def test_reading_without_a_sequence_raises(camera: Camera) -> None:
    with pytest.raises(DeviceError):
        camera.read_frame(0.01)


def test_stop_discards_what_was_not_read(camera: Camera) -> None:
    camera.start_sequence(50)
    camera.read_frame(TIMEOUT_S)
    camera.stop()

    with pytest.raises(DeviceError):
        camera.read_frame(0.01)


def test_works_on_after_stop(bench: Bench, camera: Camera) -> None:
    camera.start_sequence(50)
    camera.read_frame(TIMEOUT_S)
    camera.stop()
    camera.stop()

    camera.snap(TIMEOUT_S)
    camera.start_sequence(2)
    first, second = camera.read_frame(TIMEOUT_S), camera.read_frame(TIMEOUT_S)
    assert bench.step is None or bench.step(first, second) == 1


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize(
    ("image_px", "binning", "exposure_ms"),
    [
        (0, None, EXPOSURE_MS),
        (-64, None, EXPOSURE_MS),
        (100_000, None, EXPOSURE_MS),
        (None, 0, EXPOSURE_MS),
        (None, 1_000, EXPOSURE_MS),
        (None, None, 0.0),
        (None, None, -1.0),
        (None, None, math.nan),
        (None, None, math.inf),
    ],
)
def test_absurd_settings_change_nothing(
    camera: Camera,
    optics: Optics,
    image_px: int | None,
    binning: int | None,
    exposure_ms: float,
) -> None:
    with pytest.raises(DeviceError) as caught:
        camera.configure(
            optics.image_px if image_px is None else image_px,
            optics.binning if binning is None else binning,
            exposure_ms,
        )

    assert "\n" not in str(caught.value)
    assert camera.snap(TIMEOUT_S).shape == (optics.image_px, optics.image_px)


def test_exposure_may_change(camera: Camera, optics: Optics) -> None:
    for exposure_ms in (2.0, 1.0):
        camera.configure(optics.image_px, optics.binning, exposure_ms)
        assert camera.snap(TIMEOUT_S).shape == (optics.image_px, optics.image_px)


def test_needs_to_be_configured(bench: Bench, optics: Optics) -> None:
    with bench.open(optics) as camera:
        with pytest.raises(DeviceError):
            camera.snap(TIMEOUT_S)
        with pytest.raises(DeviceError):
            camera.start_sequence(2)


def test_closes_once_and_for_all(camera: Camera, optics: Optics) -> None:
    camera.start_sequence(50)
    camera.close()
    camera.close()

    with pytest.raises(DeviceError):
        camera.snap(TIMEOUT_S)
    with pytest.raises(DeviceError):
        camera.configure(optics.image_px, optics.binning, EXPOSURE_MS)
    with pytest.raises(DeviceError):
        camera.start_sequence(2)
    with pytest.raises(DeviceError):
        camera.read_frame(0.01)
