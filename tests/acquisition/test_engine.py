"""The scan engine: never a wrong frame as good, never a shifted one."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest
import zarr

from acquisition.engine import scan
from acquisition.frame import Status
from acquisition.instrument import Instrument
from acquisition.plan import LEARNING_LOOKS, LandmarkSchedule, ScanPlan
from acquisition.stopping import Terminated
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceError, DeviceTimeout, LimitError
from configs.instrument import Travel
from simulation.instant import InstantStage, PositionCamera, position_um
from simulation.shutter import SimulatedShutter


class Watcher:
    """Keeps what a scan says, and answers pauses."""

    def __init__(self, go_on=False):
        self.frames, self.visits, self.warnings, self.pauses = [], [], [], []
        self._go_on = go_on

    def begin(self, info, there):
        self.info, self.there = info, [frame.point.index for frame in there]

    def checked(self, checks):
        self.checks = checks

    def frame(self, frame):
        self.frames.append(frame)

    def landmark(self, visit):
        self.visits.append(visit)

    def warning(self, message):
        self.warnings.append(message)

    def paused(self, reason):
        self.pauses.append(reason)
        return self._go_on


class Trouble:
    """Raises at stated calls of a device's method, and lets the others through."""

    def __init__(self, method, calls, error):
        self._method, self._calls, self._error = method, set(calls), error
        self.count = 0

    def __call__(self, *arguments):
        self.count += 1
        if self.count - 1 in self._calls:
            raise self._error
        return self._method(*arguments)


@pytest.fixture
def info(small_plan, make_info):
    return make_info(small_plan)


def run_scan(info, instrument, tmp_path, watcher=None):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        summary = scan(info, instrument, writer, watcher or Watcher())
    return summary, Run(tmp_path / "run.zarr")


def assert_valid_frames_are_where_they_belong(run):
    """Every image that counts as good says itself that it was taken at its point."""
    plan, points = run.info.plan, run.points()
    for index in np.flatnonzero(points.valid):
        row, column = divmod(int(index), plan.columns)
        taken_um = position_um(run.frames(row)[column])
        assert taken_um == pytest.approx(plan.point(row, column).target_um, abs=0.003)


@pytest.mark.parametrize("order", ["raster", "snake"])
def test_every_point_is_taken_where_it_belongs(info, instant, tmp_path, order):
    plan = info.plan.model_copy(update={"order": order})
    info = info.model_copy(update={"plan": plan})
    summary, run = run_scan(info, instant, tmp_path)
    assert (summary.points, summary.valid) == (63, 63)
    assert run.points().valid.all()
    assert_valid_frames_are_where_they_belong(run)


def test_the_observer_sees_every_frame_in_order(info, instant):
    watcher = Watcher()
    scan(info, instant, None, watcher)
    assert [frame.point for frame in watcher.frames] == list(info.plan.points())
    assert watcher.info == info


@pytest.mark.parametrize(
    ("device", "method"),
    [
        ("stage", "move_to"),
        ("stage", "wait_settled"),
        ("stage", "position"),
        ("camera", "snap"),
    ],
)
def test_a_failure_is_tried_again_and_leaves_no_trace(info, instant, tmp_path, device, method):
    target = getattr(instant, device)
    trouble = Trouble(getattr(target, method), {4, 20, 21}, DeviceTimeout("late"))
    setattr(target, method, trouble)
    summary, run = run_scan(info, instant, tmp_path)
    assert summary.valid == 63
    assert_valid_frames_are_where_they_belong(run)
    attempts = [record.attempts for record in run.journal()]
    assert sorted(attempts)[-2:] == [2, 3]
    assert instant.stage.stops >= 3


def test_a_point_that_fails_is_taken_again_at_the_end(info, instant, tmp_path):
    snap = Trouble(instant.camera.snap, {10, 11, 12}, DeviceError("no trigger"))
    instant.camera.snap = snap
    watcher = Watcher()
    summary, run = run_scan(info, instant, tmp_path, watcher)
    assert (summary.points, summary.valid) == (63, 63)
    assert_valid_frames_are_where_they_belong(run)
    told = [(record.status, record.attempts) for record in run.journal() if record.index == 10]
    assert told == [(Status.INVALID, 3), (Status.VALID, 1)]
    assert watcher.frames[-1].point.index == 10


def test_a_point_that_keeps_failing_is_invalid_and_shifts_nothing(info, instant, tmp_path):
    bad_um, snap = info.plan.point(1, 1).target_um, instant.camera.snap

    def no_trigger_there(timeout_s):
        if instant.stage.position() == bad_um:
            raise DeviceError("no trigger")
        return snap(timeout_s)

    instant.camera.snap = no_trigger_there
    watcher = Watcher()
    summary, run = run_scan(info, instant, tmp_path, watcher)
    assert (summary.points, summary.valid) == (63, 62)
    assert np.flatnonzero(~run.points().valid).tolist() == [10]
    assert_valid_frames_are_where_they_belong(run)
    assert run.frames(1)[1].sum() == 0
    record = next(r for r in run.journal() if r.index == 10)
    assert (record.attempts, record.reason) == (3, "no trigger")
    assert any("row 1, column 1" in message for message in watcher.warnings)


def test_a_readback_off_target_is_no_good_point(info, instant, tmp_path):
    class Sloppy(InstantStage):
        def position(self):
            x_um, y_um = super().position()
            return (x_um + (0.021 if self.moves % 7 == 0 else 0.019), y_um)

    stage = Sloppy(Travel())
    instrument = Instrument(stage, PositionCamera(stage), instant.clock)
    summary, run = run_scan(info, instrument, tmp_path)
    assert summary.valid == 63
    assert sum(r.attempts for r in run.journal()) > 63
    targets = [point.target_um for point in info.plan.points()]
    distance = np.linalg.norm(run.points().readback_um - targets, axis=1)
    assert distance.max() < 0.020


def test_a_readback_that_is_no_number_is_no_good_point(info, instant, tmp_path):
    instant.stage.position = lambda: (float("nan"), 0.0)
    with pytest.raises(AcquisitionError, match="points to be invalid, got 10 of 10"):
        run_scan(info, instant, tmp_path)
    assert not Run(tmp_path / "run.zarr").points().valid.any()


@pytest.mark.parametrize("image", [np.zeros((64, 63), np.uint16), np.zeros((64, 64), np.uint8)])
def test_an_image_of_another_kind_is_no_good_frame(info, instant, tmp_path, image):
    instant.camera.snap = lambda timeout_s: image
    with pytest.raises(AcquisitionError, match=r"expected a \(64, 64\) uint16 image"):
        run_scan(info, instant, tmp_path)


def test_a_broken_instrument_ends_the_scan_and_keeps_what_was_taken(info, instant, tmp_path):
    instant.camera.snap = Trouble(
        instant.camera.snap, range(20, 1000), DeviceError("cable pulled")
    )
    with pytest.raises(AcquisitionError, match=r"to be invalid, got 10 of 30.*cable pulled"):
        run_scan(info, instant, tmp_path)
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.sum() == 20
    assert_valid_frames_are_where_they_belong(run)
    assert instant.stage.stops > 0


def test_a_plan_beyond_the_travel_moves_nothing(make_info, instant):
    stage = InstantStage(Travel(x_um=(0.0, 100.5)))
    instrument = Instrument(stage, PositionCamera(stage), instant.clock)
    plan = ScanPlan(rows=7, columns=9, centre_um=(100.0, 100.0))
    with pytest.raises(LimitError, match="nothing moved"):
        scan(make_info(plan), instrument, None, Watcher())
    assert stage.moves == 0


class Signalling(Watcher):
    """Sends signals to its own process at the 13th frame, the fourth of its line."""

    def __init__(self, *numbers):
        super().__init__()
        self._numbers = numbers

    def frame(self, frame):
        super().frame(frame)
        if len(self.frames) == 13:
            for number in self._numbers:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("numbers", "ending", "frames"),
    [
        ([signal.SIGINT], KeyboardInterrupt, 18),
        ([signal.SIGINT, signal.SIGINT], KeyboardInterrupt, 13),
        ([signal.SIGINT] * 3, KeyboardInterrupt, 13),
        ([signal.SIGTERM], Terminated, 13),
        ([signal.SIGINT, signal.SIGTERM], Terminated, 13),
    ],
)
def test_signals_end_the_scan_and_leave_it_safe(
    info, instant, tmp_path, numbers, ending, frames
):
    shutter = SimulatedShutter()
    instant = dataclasses.replace(instant, shutter=shutter)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    watcher = Signalling(*numbers)
    with pytest.raises(ending):
        run_scan(info, instant, tmp_path, watcher)
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.sum() == len(watcher.frames) == frames
    assert_valid_frames_are_where_they_belong(run)
    assert instant.stage.stops >= 1
    assert not shutter.is_open()
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_while_a_scan_ends_change_nothing(info, instant, tmp_path):
    def stop():
        os.kill(os.getpid(), signal.SIGINT)
        instant.stage.stops += 1

    instant.stage.stop = stop
    watcher = Signalling(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, instant, tmp_path, watcher)
    assert instant.stage.stops >= 1
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 13


@pytest.mark.parametrize(
    ("order", "frames"), [("", 18), ("line", 18), ("now\n", 13), ("EMERGENCY", 13)]
)
def test_a_file_stops_the_scan(info, instant, tmp_path, order, frames):
    stop_file = tmp_path / "run.zarr" / "STOP"

    class Remote(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 13:
                stop_file.write_text(order)
                heeded = time.monotonic() + 5
                while stop_file.exists():
                    assert time.monotonic() < heeded

    watcher = Remote()
    with pytest.raises(AcquisitionError, match="stopped by the file"):
        run_scan(info, instant, tmp_path, watcher)
    assert len(watcher.frames) in range(frames, frames + 2)
    assert Run(tmp_path / "run.zarr").points().valid.sum() == len(watcher.frames)
    assert instant.stage.stops >= 1


def test_a_file_that_says_something_else_is_told(info, instant, tmp_path):
    class Remote(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 13:
                (tmp_path / "run.zarr" / "STOP").write_text("please")
                while not self.warnings:
                    pass

    watcher = Remote()
    summary, _ = run_scan(info, instant, tmp_path, watcher)
    assert summary.valid == 63
    assert watcher.warnings == ["STOP: expected line, now or emergency, got 'please'"]


def test_a_scan_that_fails_before_its_first_frame_leaves_nothing(info, instant, tmp_path):
    def refuse(*_):
        raise DeviceError("no such window")

    instant.camera.configure = refuse
    with pytest.raises(DeviceError, match="no such window"):
        run_scan(info, instant, tmp_path)
    assert not (tmp_path / "run.zarr").exists()


def test_a_failing_observer_still_stops_the_stage(info, instant, tmp_path):
    class Broken(Watcher):
        def frame(self, frame):
            raise RuntimeError("display gone")

    with pytest.raises(RuntimeError, match="display gone"):
        run_scan(info, instant, tmp_path, Broken())
    assert instant.stage.stops == 1
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 1


class TestDrift:
    """A camera whose image changes with the position, as a microscope's does."""

    LEARNING = LEARNING_LOOKS * 4
    # Images until then: a landmark chosen and learnt, two visits and two lines.
    IN_LINE_3 = LEARNING + 2 * 4 + 2 * 9 + 1

    class Fringes(PositionCamera):
        """Fringes that move with the stage and, from some image on, by themselves."""

        def __init__(self, stage, moves_after=10**9, by_um=0.0, period=6.0):
            super().__init__(stage)
            self._moves_after, self._by_um, self._period = moves_after, by_um, period
            self._images_taken = 0
            self._random = np.random.default_rng(1)

        def snap(self, timeout_s):
            self._images_taken += 1
            x_um, y_um = self._stage.position()
            period = 6.0
            if self._images_taken > self._moves_after:
                x_um, period = x_um - self._by_um, self._period
            y, x = np.mgrid[:64, :64] / period
            light = 200 * (2 + np.sin(x + 12 * x_um) + np.sin(y + 12 * y_um))
            return (100 + self._random.poisson(light) / 0.46).astype(np.uint16)

    @pytest.fixture
    def plan(self):
        return ScanPlan(
            rows=7,
            columns=9,
            centre_um=(100.0, 100.0),
            landmark=LandmarkSchedule(every_lines=2, frames=4),
        )

    def bench(self, instant, **settings):
        return dataclasses.replace(instant, camera=self.Fringes(instant.stage, **settings))

    def test_without_drift_the_stage_follows_nothing(self, plan, make_info, instant, tmp_path):
        watcher = Watcher()
        _, run = run_scan(make_info(plan), self.bench(instant), tmp_path, watcher)
        assert [visit.line for visit in watcher.visits] == [0, 2, 4, 6]
        landmark = run.landmark()
        assert landmark["drift_um"] == pytest.approx(0, abs=0.003)
        assert landmark["chi_squared"] == pytest.approx(1, abs=0.15)
        assert not any(any(record.correction_um) for record in run.journal())
        assert not watcher.pauses
        assert not watcher.warnings

    @pytest.mark.parametrize("by_um", [0.05, -0.15])
    def test_a_sample_that_moves_is_followed(self, plan, make_info, instant, tmp_path, by_um):
        """Small moves are seen at once, large ones are looked for."""
        bench = self.bench(instant, moves_after=self.IN_LINE_3, by_um=by_um)
        watcher = Watcher()
        _, run = run_scan(make_info(plan), bench, tmp_path, watcher)
        assert not watcher.pauses
        records = sorted(run.journal(), key=lambda record: record.index)
        for record in records:
            wanted_um = by_um if record.index >= 4 * 9 else 0.0
            assert record.correction_um == pytest.approx((wanted_um, 0), abs=0.004)
            moved_um = np.subtract(record.readback_um, record.target_um)
            assert moved_um == pytest.approx(record.correction_um)
        # What reconstruction hears: the beam was on its square.
        (line,) = [line for line in run.lines(run.points()) if line.row == 5]
        assert line.off_um == pytest.approx(0, abs=0.004)

    def test_a_landmark_that_is_lost_ends_the_scan(self, plan, make_info, instant, tmp_path):
        bench = self.bench(instant, moves_after=self.IN_LINE_3, period=9.0)
        watcher = Watcher(go_on=False)
        with pytest.raises(AcquisitionError, match="landmark is lost before line 4"):
            run_scan(make_info(plan), bench, tmp_path, watcher)
        assert len(watcher.pauses) == 1
        run = Run(tmp_path / "run.zarr")
        assert run.landmark()["is_believed"].tolist() == [1, 1, 0]
        assert run.points().valid.sum() == 4 * 9
        assert not any(any(record.correction_um) for record in run.journal())

    def test_a_pause_can_be_overruled(self, plan, make_info, instant, tmp_path):
        bench = self.bench(instant, moves_after=self.IN_LINE_3, period=9.0)
        watcher = Watcher(go_on=True)
        summary, _ = run_scan(make_info(plan), bench, tmp_path, watcher)
        assert len(watcher.pauses) == 1
        assert watcher.visits[-1].is_believed, "the landmark is learnt anew"
        assert summary.valid == 63

    def test_a_drift_that_was_known_is_known_when_going_on(
        self, plan, make_info, instant, tmp_path
    ):
        """It is farther than the landmark is ever looked for, were it not known."""
        far_um, path = 0.9, tmp_path / "run.zarr"
        bench = self.bench(instant, moves_after=self.IN_LINE_3, by_um=0.15)
        run_scan(make_info(plan), bench, tmp_path)
        moved = Run(path).landmark()["drift_um"][-1, 0]
        group = zarr.open_group(path, mode="r+")
        group["landmark/drift_um"][3] = (far_um, 0.0)
        (path / "journal.jsonl").write_bytes(b"")
        watcher = Watcher()
        again = self.bench(instant, moves_after=0, by_um=far_um)
        with RunWriter(Run(path)) as writer:
            scan(make_info(plan), again, writer, watcher)
        assert moved == pytest.approx(0.15, abs=0.005)
        assert not watcher.pauses
        assert [visit.visit for visit in watcher.visits] == [4, 5, 6, 7]
        for frame in watcher.frames:
            assert frame.correction_um == pytest.approx((far_um, 0), abs=0.02)
        frames = list(Run(path).good_frames(Run(path).points()))
        assert frames[-1].drift_um == watcher.frames[-1].drift_um

    def test_a_landmark_that_cannot_be_learnt_anew_stays(
        self, plan, make_info, instant, tmp_path
    ):
        schedule = plan.landmark.changed(max_chi_squared=1.2)  # learnt anew at every visit
        plan = plan.changed(landmark=schedule)
        bench = self.bench(instant)
        dead = range(self.LEARNING + 4, 10**6)
        bench.camera.read_frame = Trouble(bench.camera.read_frame, dead, DeviceTimeout("late"))
        watcher = Watcher()
        summary, _ = run_scan(make_info(plan), bench, tmp_path, watcher)
        assert summary.valid == 63
        assert any("not learnt anew" in message for message in watcher.warnings)

    def test_visits_go_by_the_clock_too(self, plan, make_info, instant):
        class Slow(Watcher):
            def frame(self, frame):
                super().frame(frame)
                instant.clock.sleep(12.5)

        watcher = Slow()
        scan(make_info(plan), self.bench(instant), None, watcher)
        assert len(watcher.visits) == 63 // 3
        assert [frame.point.index for frame in watcher.frames] == list(range(63))

    def test_a_failing_visit_is_tried_again(self, plan, make_info, instant, tmp_path):
        bench = self.bench(instant)
        bench.camera.read_frame = Trouble(
            bench.camera.read_frame, {self.LEARNING + 6}, DeviceTimeout("late")
        )
        _, run = run_scan(make_info(plan), bench, tmp_path)
        assert run.landmark()["is_believed"].tolist() == [1, 1, 1, 1]

    def test_a_visit_that_keeps_failing_is_told_and_left_out(
        self, plan, make_info, instant, tmp_path
    ):
        bench = self.bench(instant)
        late = {self.LEARNING + 4, self.LEARNING + 5, self.LEARNING + 6}
        bench.camera.read_frame = Trouble(bench.camera.read_frame, late, DeviceTimeout("late"))
        watcher = Watcher()
        summary, run = run_scan(make_info(plan), bench, tmp_path, watcher)
        assert summary.valid == 63
        assert [visit.line for visit in watcher.visits] == [0, 4, 6]
        assert run.landmark()["line"].tolist() == [0, 4, 6]
        assert any("before line 2: late" in message for message in watcher.warnings)

    def test_looks_stay_within_the_travel(self, make_info, instant):
        plan = ScanPlan(rows=3, columns=3, centre_um=(100.0, 100.0))
        instant.stage.limits = Travel(x_um=(99.5, 100.5), y_um=(99.8, 100.2))
        watcher = Watcher()
        scan(make_info(plan), self.bench(instant), None, watcher)
        assert len(watcher.frames) == 9

    def test_ctrl_c_at_a_pause_goes_through_at_once(self, plan, make_info, instant):
        class Hesitant(Watcher):
            def paused(self, reason):
                os.kill(os.getpid(), signal.SIGINT)
                return True

        bench = self.bench(instant, moves_after=self.IN_LINE_3, period=9.0)
        watcher = Hesitant()
        with pytest.raises(KeyboardInterrupt):
            scan(make_info(plan), bench, None, watcher)
        assert len(watcher.frames) == 4 * 9

    def test_a_sample_that_tells_nothing_is_not_watched(
        self, plan, make_info, instant, tmp_path
    ):
        class Blind(self.Fringes):
            def snap(self, timeout_s):
                light = np.full((64, 64), 100.0)
                return (100 + self._random.poisson(light) / 0.46).astype(np.uint16)

        bench = dataclasses.replace(instant, camera=Blind(instant.stage))
        watcher = Watcher()
        _, run = run_scan(make_info(plan), bench, tmp_path, watcher)
        (warning,) = watcher.warnings
        assert "the drift is not seen here and not followed" in warning
        assert not watcher.visits
        assert not any(any(record.correction_um) for record in run.journal())


def test_status_values_are_the_format():
    assert [int(s) for s in (Status.PENDING, Status.VALID, Status.INVALID)] == [0, 1, 2]
