"""What tests of the Micro-Manager drivers begin with."""

import time
from collections.abc import Callable

from configs.instrument import MicroManagerCameraConfig, MicroManagerStageConfig
from drivers.micromanager import MicroManagerCamera
from drivers.protocols import Image
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


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 5 s"


def read(camera: MicroManagerCamera, frames: int) -> list[Image]:
    return [camera.read_frame(1.0) for _ in range(frames)]
