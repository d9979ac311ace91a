"""Devices of the real core with the adapters of ``mm-test-adapters``."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from mm_bench import camera_config, stage_config

from configs.instrument import Travel
from drivers.clock import WallClock
from drivers.micromanager import MicroManagerCamera, MicroManagerStage


@pytest.fixture
def camera() -> Iterator[MicroManagerCamera]:
    with closing(MicroManagerCamera(camera_config(), WallClock())) as camera:
        camera.configure(64, 4, 1.0)
        yield camera


@pytest.fixture
def stage() -> Iterator[MicroManagerStage]:
    with closing(MicroManagerStage(stage_config(), Travel(), WallClock())) as stage:
        yield stage
