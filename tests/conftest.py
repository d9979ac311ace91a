"""Pieces that tests of several folders share."""

import signal

import pytest

from acquisition.instrument import Instrument
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import RunInfo
from configs.instrument import InstrumentConfig
from simulation.clock import VirtualClock
from simulation.instant import InstantStage, PositionCamera


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Take Ctrl-C, here and in what is started, even where a shell's ``&`` had it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def small_plan():
    return ScanPlan(rows=7, columns=9, grid=3, centre_um=(100.0, 100.0), landmark=None)


@pytest.fixture
def make_info():
    def make(plan, **settings):
        config = InstrumentConfig(name="test", **settings)
        return RunInfo(
            provenance=Provenance.now({}), instrument=config, plan=plan, sample="test"
        )

    return make


@pytest.fixture
def instant():
    """An instrument that takes no time and images that say where they were taken."""
    stage = InstantStage(InstrumentConfig(name="test").travel)
    return Instrument(stage, PositionCamera(stage), VirtualClock())
