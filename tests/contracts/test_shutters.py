"""What every Shutter does, whatever is behind it.

A new shutter joins by one entry in ``SHUTTERS``.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest

from configs.errors import DeviceError
from configs.instrument import MicroManagerShutterConfig
from drivers.mm_shutter import MicroManagerShutter
from drivers.protocols import Shutter
from simulation.shutter import SimulatedShutter

TIMEOUT_S = 5.0


def demo_shutter() -> MicroManagerShutter:
    return MicroManagerShutter(
        MicroManagerShutterConfig(kind="micromanager", library="DemoCamera", device="DShutter")
    )


SHUTTERS: dict[str, Callable[[], Shutter]] = {
    "simulated": SimulatedShutter,
    "micromanager": demo_shutter,
}


@pytest.fixture(params=SHUTTERS.values(), ids=SHUTTERS)
def shutter(request: pytest.FixtureRequest) -> Iterator[Shutter]:
    with closing(request.param()) as shutter:
        yield shutter


def test_it_says_what_it_is(shutter: Shutter) -> None:
    assert shutter.identity.name
    assert shutter.identity.origin in {"simulated", "hardware"}


def test_it_is_closed_at_first(shutter: Shutter) -> None:
    assert shutter.is_open() is False


def test_it_is_as_it_was_told_to_be(shutter: Shutter) -> None:
    for is_open in (True, True, False, False, True, False):
        shutter.set_open(is_open)
        assert shutter.is_open() is is_open


def test_another_thread_may_close_it(shutter: Shutter) -> None:
    shutter.set_open(True)
    with ThreadPoolExecutor(1) as another:
        another.submit(shutter.set_open, False).result(TIMEOUT_S)
        assert another.submit(shutter.is_open).result(TIMEOUT_S) is False
    assert shutter.is_open() is False
    shutter.set_open(True)
    assert shutter.is_open() is True


@pytest.mark.parametrize("is_open", [True, False])
def test_it_closes_once_and_for_all(shutter: Shutter, is_open: bool) -> None:
    shutter.set_open(is_open)
    shutter.close()
    shutter.close()

    for call in (
        shutter.is_open,
        partial(shutter.set_open, True),
        partial(shutter.set_open, False),
    ):
        with pytest.raises(DeviceError) as caught:
            call()
        assert "\n" not in str(caught.value)
