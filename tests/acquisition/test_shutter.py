"""The shutter: looked at before the first move and while the scan goes on."""

from dataclasses import replace

import pytest
from guard_bench import Notes, WarmCamera

from acquisition.engine import scan
from configs.errors import AcquisitionError, DeviceError, LimitError
from configs.instrument import Limits
from simulation.shutter import SimulatedShutter


@pytest.fixture
def bench(instant):
    camera = WarmCamera(instant.stage, instant.clock)
    return replace(instant, camera=camera, shutter=SimulatedShutter())


def test_a_silent_shutter_is_connected_anew_before_the_first_move(make_info, small_plan, bench):
    class Mute(SimulatedShutter):
        is_dead = True

        def is_open(self):
            if self.is_dead:
                raise DeviceError("shutter: expected an answer, got none")
            return super().is_open()

        def reconnect(self):
            self.is_dead = False

    info = make_info(small_plan)
    bench = replace(bench, shutter=Mute())
    bench.shutter.reconnect = lambda: None
    with pytest.raises(LimitError, match="shutter: expected closed, got shutter: expected an"):
        scan(info, bench, None, Notes())
    assert bench.stage.moves == 0
    assert scan(info, replace(bench, shutter=Mute()), None, Notes()).valid == 63


class Interlock(SimulatedShutter):
    """Closes the beam by itself, and does not open so many times."""

    refusals_left = 0

    def trip(self, refusals):
        self.set_open(False)
        self.refusals_left = refusals

    def set_open(self, is_open):
        self.refusals_left -= is_open
        super().set_open(is_open and self.refusals_left < 0)


def test_a_shutter_that_closes_by_itself_is_opened_again(make_info, small_plan, bench, always):
    bench = replace(bench, shutter=Interlock())
    notes = Notes(20, lambda: bench.shutter.trip(5))
    assert scan(make_info(small_plan), bench, None, notes).valid == 63
    assert notes.count == 63, "none was taken in the dark"
    assert notes.warnings == [
        "shutter: expected open, got closed; see what has closed it; waiting",
        "all is well again",
    ]
    assert not notes.pauses


def test_one_that_stays_closed_ends_the_scan(make_info, small_plan, bench, always):
    bench = replace(bench, shutter=Interlock())
    notes = Notes(20, lambda: bench.shutter.trip(10**6))
    with pytest.raises(AcquisitionError, match=r"shutter: expected open, got closed.* 600 s"):
        scan(make_info(small_plan), bench, None, notes)
    assert notes.count == 20


def test_a_shutter_that_opens_by_itself_ends_the_scan(make_info, small_plan, bench, always):
    def warm():
        bench.camera.now_c = 31.0
        say = bench.camera.temperature_c

        def open_by_hand():
            bench.shutter.set_open(not bench.shutter.is_open())
            return say()

        bench.camera.temperature_c = open_by_hand

    notes = Notes(20, warm)
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))
    with pytest.raises(AcquisitionError, match="shutter: expected closed, got open; close it"):
        scan(info, bench, None, notes)
    assert not bench.shutter.is_open()
    assert not notes.pauses
