"""A sample that drifts is followed, with looks at a landmark."""

import dataclasses
import os
import signal

import numpy as np
import pytest
import zarr
from scan_bench import Trouble, Watcher, run_scan

from acquisition.engine import scan
from acquisition.plan import LEARNING_LOOKS, LandmarkSchedule, ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceTimeout
from configs.instrument import Travel
from simulation.instant import PositionCamera


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
        assert [visit.line for visit in watcher.visits] == [0, 2, 4, 6, 7]
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
        assert run.points().valid.all()
        latest = {record.index: record for record in run.journal()}
        for record in latest.values():
            wanted_um = by_um if record.index >= 2 * 9 else 0.0
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
        assert run.points().valid.reshape(7, 9).all(axis=1).tolist() == [1, 1, 0, 0, 0, 0, 0]
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
        group["landmark/drift_um"][5] = (far_um, 0.0)
        (path / "journal.jsonl").write_bytes(b"")
        watcher = Watcher()
        again = self.bench(instant, moves_after=0, by_um=far_um)
        with RunWriter(Run(path)) as writer:
            scan(make_info(plan), again, writer, watcher)
        assert moved == pytest.approx(0.15, abs=0.005)
        assert not watcher.pauses
        assert [visit.visit for visit in watcher.visits] == [6, 7, 8, 9, 10]
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
        assert len(watcher.visits) == 63 // 3 + 1  # once all are there
        assert [frame.point.index for frame in watcher.frames] == list(range(63))

    def test_a_failing_visit_is_tried_again(self, plan, make_info, instant, tmp_path):
        bench = self.bench(instant)
        bench.camera.read_frame = Trouble(
            bench.camera.read_frame, {self.LEARNING + 6}, DeviceTimeout("late")
        )
        _, run = run_scan(make_info(plan), bench, tmp_path)
        assert run.landmark()["is_believed"].tolist() == [1, 1, 1, 1, 1]

    def test_a_visit_that_keeps_failing_is_told_and_left_out(
        self, plan, make_info, instant, tmp_path
    ):
        bench = self.bench(instant)
        late = {self.LEARNING + 4, self.LEARNING + 5, self.LEARNING + 6}
        bench.camera.read_frame = Trouble(bench.camera.read_frame, late, DeviceTimeout("late"))
        watcher = Watcher()
        summary, run = run_scan(make_info(plan), bench, tmp_path, watcher)
        assert summary.valid == 63
        assert [visit.line for visit in watcher.visits] == [0, 4, 6, 7]
        assert run.landmark()["line"].tolist() == [0, 4, 6, 7]
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

    def test_a_laser_that_fails_before_a_look_is_waited_for(self, plan, make_info, instant):
        bench = self.bench(instant)
        snap, random, left = bench.camera.snap, np.random.default_rng(2), [0]

        def dim(timeout_s):
            image = snap(timeout_s)
            if left[0]:
                left[0] -= 1
                return random.normal(100, 3, image.shape).astype(np.uint16)
            return image

        class Fails(Watcher):
            def frame(self, frame):
                super().frame(frame)
                if len(self.frames) == 36:  # line 4 begins with a look
                    left[0] = 60

        bench.camera.snap = dim
        watcher = Fails()
        summary = scan(make_info(plan), bench, None, watcher)
        assert summary.valid == 63
        assert summary.seconds >= 5
        assert not watcher.pauses
        assert "landmark: expected some light, got none" in watcher.warnings[0]
        assert [visit.line for visit in watcher.visits] == [0, 2, 4, 6, 7]
        assert all(visit.is_believed for visit in watcher.visits)

    @pytest.mark.parametrize(("images", "looks"), [(2, 25), (8, 23)], ids=["some", "whole"])
    def test_what_is_dark_teaches_nothing_of_the_landmark(
        self, plan, make_info, instant, tmp_path, images, looks
    ):
        """Learnt in the dark, a landmark would tell wrong positions, and fit them well."""
        bench = self.bench(instant)
        snap, random, taken = bench.camera.snap, np.random.default_rng(2), [0]
        begins = self.LEARNING - 20 * 4  # with a look

        def fails(timeout_s):
            image, taken[0] = snap(timeout_s), taken[0] + 1
            if begins < taken[0] <= begins + images:
                return random.normal(100, 3, image.shape).astype(np.uint16)
            return image

        bench.camera.snap = fails
        _, run = run_scan(make_info(plan), bench, tmp_path)
        learnt = run.dither()
        assert len(learnt.images) == len(learnt.offsets_um) == looks
        light = learnt.images.mean(axis=(2, 3))
        assert light.min() > 0.9 * light.max()
