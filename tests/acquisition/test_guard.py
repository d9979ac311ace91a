"""Limits: looked at before the first move and while the scan goes on."""

import shutil
from collections import namedtuple
from dataclasses import replace

import pytest
from guard_bench import Notes, WarmCamera

from acquisition import patience
from acquisition.engine import scan
from acquisition.guard import Guard
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceError, LimitError
from configs.instrument import Limits, Travel
from simulation.instant import InstantStage
from simulation.shutter import SimulatedShutter

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def bench(instant):
    camera = WarmCamera(instant.stage, instant.clock)
    return replace(instant, camera=camera, shutter=SimulatedShutter())


def test_everything_is_looked_at_before_the_first_move(make_info, small_plan, bench, tmp_path):
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0), speed_um_per_s=50.0))
    notes = Notes()
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        scan(info, bench, writer, notes)
    assert [check.name for check in notes.checks] == [
        "travel in x",
        "travel in y",
        "speed",
        "dose",
        "disk",
        "temperature of the camera",
        "shutter",
    ]
    assert all(check.is_met for check in notes.checks)
    log = (tmp_path / "run.zarr/log.jsonl").read_text()
    assert all(check.got in log for check in notes.checks)


def test_all_that_is_wrong_is_said_at_once_and_nothing_moves(make_info, small_plan, bench):
    stage = InstantStage(Travel(x_um=(100.0, 101.0)))
    bench = replace(bench, stage=stage)
    bench.shutter.set_open(True)
    limits = Limits(temperature_c=(30.0, 40.0), dose_j_per_cm2=1.0)
    with pytest.raises(LimitError) as told:
        scan(make_info(small_plan, limits=limits), bench, None, Notes())
    for name in ("travel in x", "dose", "temperature of the camera", "shutter"):
        assert f"{name}: expected" in str(told.value)
    assert "travel in y" not in str(told.value)
    assert stage.moves == 0


def test_a_disk_that_is_too_small_is_told_before(make_info, small_plan, bench, tmp_path):
    info = make_info(small_plan)
    path = tmp_path / "run.zarr"
    with RunWriter.create(path, info) as writer:
        info = make_info(small_plan, limits=Limits(free_mb=1e9))
        with pytest.raises(LimitError, match=r"disk: expected 10000000\d\d MB free"):
            scan(info, bench, writer, Notes())


def test_a_disk_that_fills_is_waited_for_in_the_dark(
    make_info, small_plan, bench, tmp_path, monkeypatch, always
):
    info, seen = make_info(small_plan), []
    monkeypatch.setattr(patience, "_FULL_DISK_PERIOD_S", 0.01)
    free_bytes = iter([10**6] * 4)

    def usage(path):
        seen.append(bench.shutter.is_open())
        return Usage(0, 0, next(free_bytes, 10**12))

    notes = Notes(20, lambda: monkeypatch.setattr(shutil, "disk_usage", usage))
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        summary = scan(info, bench, writer, notes)
    assert summary.valid == 63
    assert seen[:5] == [True, False, False, False, False]
    assert "disk: expected 50 MB free, got 1 MB" in notes.warnings[0]
    assert Run(tmp_path / "run.zarr").points().valid.all()


def test_a_camera_that_warms_is_waited_for(make_info, small_plan, bench, always):
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))

    def warm():
        bench.camera.degrees_c = iter([31.0, 31.0, 31.0, 20.0])

    notes = Notes(20, warm)
    assert scan(info, bench, None, notes).valid == 63
    assert "temperature of the camera: expected 0 to 30 C, got 31.0 C" in notes.warnings[0]
    assert not notes.pauses


def test_one_that_stays_warm_ends_the_scan(make_info, small_plan, bench, always):
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))

    def warm():
        bench.camera.now_c = 31.0

    notes = Notes(20, warm)
    with pytest.raises(AcquisitionError, match="temperature of the camera"):
        scan(info, bench, None, notes)
    assert notes.count == 20
    assert "and so for 600 s" in notes.pauses[0]
    assert not bench.shutter.is_open()


def test_no_place_gets_more_than_the_dose(make_info, small_plan, bench):
    limits = Limits(dose_j_per_cm2=10.0)
    info = make_info(small_plan, limits=limits)
    watts_per_j_per_cm2 = (180e-7) ** 2 / 0.01
    too_bright = info.model_copy(update={"power_w": 11 * watts_per_j_per_cm2})
    notes = Notes()
    with pytest.raises(LimitError, match="got 11 J/cm2 by the raster"):
        scan(too_bright, bench, None, notes)
    info = info.model_copy(update={"power_w": 7 * watts_per_j_per_cm2})
    assert scan(info, bench, None, notes).dose_j_per_cm2 == pytest.approx(7, rel=0.01)
    bench.camera.snap = slow = Slow(bench.camera.snap, bench.clock)
    with pytest.raises(AcquisitionError, match="dose: expected at most 10 J/cm2 anywhere"):
        scan(info, bench, None, notes)
    assert 2 < slow.count < 63


class Slow:
    """A call that takes another 20 ms."""

    def __init__(self, call, clock):
        self._call, self._clock, self.count = call, clock, 0

    def __call__(self, timeout_s):
        self.count += 1
        self._clock.sleep(0.02)
        return self._call(timeout_s)


def test_a_dose_that_is_not_known_is_not_exceeded(make_info, small_plan, bench):
    info = make_info(small_plan, limits=Limits(dose_j_per_cm2=10.0))
    with pytest.raises(LimitError, match="for want of the beam's power"):
        scan(info, bench, None, Notes())


def test_a_focus_drive_out_of_its_range_is_told(make_info, small_plan, bench):
    class Elsewhere:
        limits_um = (0.0, 100.0)

        def position(self):
            return 100.2

        def stop(self):
            pass

    bench = replace(bench, focus=Elsewhere())
    with pytest.raises(LimitError, match=r"focus: expected 0 to 100 um, got 100\.200 um"):
        scan(make_info(small_plan), bench, None, Notes())


def test_it_is_dark_while_somebody_is_asked_and_waits_on(
    make_info, small_plan, bench, tmp_path, always
):
    class Patient(Notes):
        def paused(self, reason):
            self.pauses.append(reason)
            return len(self.pauses) < 3

    states = []

    def warm():
        bench.camera.now_c = 31.0
        say = bench.camera.temperature_c
        bench.camera.temperature_c = lambda: (states.append(bench.shutter.is_open()), say())[1]

    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))
    notes = Patient(20, warm)
    with pytest.raises(AcquisitionError, match="temperature"):
        scan(info, bench, None, notes)
    assert len(notes.pauses) == 3
    assert states[0], "before the point that is not taken"
    assert not any(states[1:])


def test_room_is_wanted_for_what_is_missing_only(make_info, small_plan, bench, tmp_path):
    info, path = make_info(small_plan), tmp_path / "run.zarr"
    guard = Guard(info, bench, path.parent)
    whole, half = (
        next(check for check in guard.checks(missing) if check.name == "disk").expected
        for missing in (1.0, 0.0)
    )
    assert half == "50 MB free"
    assert whole == "51 MB free"


def test_a_camera_that_does_not_say_how_warm_it_is_is_connected_anew(
    make_info, small_plan, bench, always
):
    class Mute(WarmCamera):
        is_dead, reconnected = False, 0

        def temperature_c(self):
            if self.is_dead:
                raise DeviceError("no answer")
            return 20.0

        def stop(self):
            if self.is_dead:
                raise DeviceError("no answer")

        def reconnect(self):
            self.is_dead, self.reconnected = False, self.reconnected + 1

    camera = Mute(bench.stage, bench.clock)
    bench = replace(bench, camera=camera)
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))
    notes = Notes(20, lambda: setattr(camera, "is_dead", True))
    assert scan(info, bench, None, notes).valid == 63
    assert camera.reconnected == 1
    assert not notes.pauses


class MuteCamera(WarmCamera):
    """Does not say how warm it is, so many times."""

    def __init__(self, stage, clock, times):
        super().__init__(stage, clock)
        self.times_left = times

    def temperature_c(self):
        self.times_left -= 1
        if self.times_left >= 0:
            raise DeviceError("camera: expected an answer, got none")
        return 20.0


@pytest.mark.parametrize(("times", "is_heard"), [(2, True), (3, False)])
def test_a_silent_device_is_asked_again_at_first(make_info, small_plan, bench, times, is_heard):
    camera = MuteCamera(bench.stage, bench.clock, times)
    bench = replace(bench, camera=camera)
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))
    if is_heard:
        assert scan(info, bench, None, Notes()).valid == 63
    else:
        with pytest.raises(LimitError, match=r"temperature of the camera: .*got none"):
            scan(info, bench, None, Notes())
        assert bench.stage.moves == 0


def test_room_is_waited_for_all_night_and_told_now_and_then(
    make_info, small_plan, bench, tmp_path, monkeypatch, always
):
    monkeypatch.setattr(patience, "_FULL_DISK_PERIOD_S", 0.001)
    monkeypatch.setattr(patience, "_TELL_EVERY_S", 0.01)
    free_bytes = iter([10**6] * 35)
    notes = Notes(
        20,
        lambda: monkeypatch.setattr(
            shutil, "disk_usage", lambda path: Usage(0, 0, next(free_bytes, 10**12))
        ),
    )
    info = make_info(small_plan, limits=Limits(wait_s=0.0))
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        assert scan(info, bench, writer, notes).valid == 63
    assert not notes.pauses
    first, *again, last = notes.warnings
    assert first.endswith("the scan goes on by itself then")
    assert [message.rpartition(", ")[2] for message in again] == ["and so for 0 s"] * 3
    assert last == "the disk takes frames again"


def test_room_that_comes_does_not_hide_what_else_is_wrong(
    make_info, small_plan, bench, tmp_path, monkeypatch, always
):
    monkeypatch.setattr(patience, "_FULL_DISK_PERIOD_S", 0.001)
    free_bytes = iter([10**6] * 5)

    def fill_and_warm():
        usage = Usage(0, 0, 0)
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: usage._replace(free=next(free_bytes, 10**12))
        )
        bench.camera.now_c = 31.0

    notes = Notes(20, fill_and_warm)
    info = make_info(small_plan, limits=Limits(temperature_c=(0.0, 30.0)))
    with (
        RunWriter.create(tmp_path / "run.zarr", info) as writer,
        pytest.raises(AcquisitionError, match="temperature of the camera"),
    ):
        scan(info, bench, writer, notes)
    assert "disk: expected 50 MB free" in notes.warnings[0]
    assert "and so for 600 s" in notes.pauses[0]
