"""The temperature of a camera behind Micro-Manager, on the real core."""

from contextlib import closing

import pytest

from configs.errors import DeviceError
from configs.instrument import MicroManagerCameraConfig
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera


def camera(temperature_property: str | None) -> MicroManagerCamera:
    config = MicroManagerCameraConfig(
        kind="micromanager",
        library="DemoCamera",
        device="DCam",
        properties={"CCDTemperature": -12.5},
        temperature_property=temperature_property,
    )
    return MicroManagerCamera(config, WallClock())


@pytest.mark.parametrize(("name", "degrees_c"), [("CCDTemperature", -12.5), (None, None)])
def test_the_property_says_it(name: str | None, degrees_c: float | None) -> None:
    with closing(camera(name)) as cooled:
        assert cooled.temperature_c() == degrees_c


@pytest.mark.parametrize(
    ("name", "told"),
    [("Binnning", "Binnning"), ("PixelType", "expected degrees Celsius in PixelType, got")],
)
def test_a_property_that_does_not_say_it_is_told(name: str, told: str) -> None:
    with closing(camera(name)) as cooled, pytest.raises(DeviceError, match=told):
        cooled.temperature_c()
