"""After the raster: further looks at what is in doubt, kept beside the first."""

import numpy as np
import pytest
from test_guard import Notes, Slow

from acquisition.engine import scan
from acquisition.plan import FinishSchedule
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import DeviceError
from configs.instrument import Limits
from simulation.instant import position_um


class Doubts:
    """Doubts some columns of the scan, most above and least below, and others not at all."""

    def __init__(self, run, column):
        self._run, self._column, self.seen = run, column, []

    def __call__(self):
        run = Run(self._run)
        self.seen.append(len(run.points().repeats))
        plan = run.info.plan
        doubt = np.zeros((plan.rows, plan.columns))
        doubt[:, self._column] = np.arange(plan.rows, 0, -1)[:, None]
        return doubt


@pytest.fixture
def finished(small_plan, make_info, instant, tmp_path):
    """Scan with further looks, and return the run and who doubted."""

    def run_it(share=0.1, watcher=None, seconds=600.0, column=slice(4, 5), **settings):
        finish = FinishSchedule(share=share, seconds=seconds)
        plan = small_plan.changed(finish=finish)
        info, path = make_info(plan, **settings), tmp_path / "run.zarr"
        if "limits" in settings:
            info = info.model_copy(update={"power_w": 1e-9})
        doubts = Doubts(path, column)
        with RunWriter.create(path, info) as writer:
            scan(info, instant, writer, watcher or Notes(), doubts)
        return Run(path), doubts

    return run_it


def test_what_is_most_in_doubt_is_looked_at_again(finished):
    run, doubts = finished()
    repeats = run.points().repeats
    assert [repeats[i].index for i in range(6)] == [4, 13, 4, 13, 4, 13], "rows 0 and 1"
    assert doubts.seen == [0, 2, 4], "each round knows what the one before has seen"
    line = run.valid_frames(1, run.points())
    assert line.columns.tolist() == [*range(9), 4, 4, 4]
    for column, image in zip(line.columns, line.images, strict=True):
        target_um = run.info.plan.point(1, int(column)).target_um
        assert position_um(image) == pytest.approx(target_um, abs=0.003)
    assert run.points().valid.all()


def test_looks_at_a_point_are_averaged_for_networks(finished):
    run, _ = finished()
    line = run.valid_frames(0, run.points())
    merged = line.merged()
    assert merged.columns.tolist() == list(range(9))
    looks = line.images[line.columns == 4]
    assert len(looks) == 4
    np.testing.assert_allclose(merged.images[4], looks.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(merged.images[3], line.images[3])
    np.testing.assert_allclose(merged.off_um[4], line.off_um[line.columns == 4].mean(axis=0))


def test_a_scan_goes_on_with_its_further_looks(finished, instant, tmp_path):
    class Stops(Notes):
        def frame(self, frame):
            super().frame(frame)
            if frame.repeat == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished(watcher=Stops())
    run = Run(tmp_path / "run.zarr")
    begun = run.points().repeats
    assert 0 < len(begun) < 6
    with RunWriter(run) as writer:
        scan(run.info, instant, writer, Notes(), Doubts(run.path, slice(4, 5)))
    repeats = Run(run.path).points().repeats
    assert sorted(repeats) == list(range(6))
    assert all(repeats[slot] == record for slot, record in begun.items())


def test_nothing_is_looked_at_for_longer_than_its_time(finished, instant):
    instant.camera.snap = Slow(instant.camera.snap, instant.clock)  # 20 ms
    run, _ = finished(share=0.2, seconds=0.09)
    assert len(run.points().repeats) == 5, "begun within 90 ms"


def test_its_time_goes_on_when_the_scan_does(finished, instant, tmp_path):
    """Four looks of 20 ms in one session, and the two that are left in the next."""

    class Stops(Notes):
        def frame(self, frame):
            super().frame(frame)
            if frame.repeat == 3:
                raise KeyboardInterrupt

    instant.camera.snap = Slow(instant.camera.snap, instant.clock)
    with pytest.raises(KeyboardInterrupt):
        finished(share=0.5, seconds=0.09, column=slice(None), watcher=Stops())
    run = Run(tmp_path / "run.zarr")
    assert len(run.points().repeats) == 4
    with RunWriter(run) as writer:
        scan(run.info, instant, writer, Notes(), Doubts(run.path, slice(None)))
    started_s = [look.started_s for look in Run(run.path).points().repeats.values()]
    assert len(started_s) == 6
    assert max(started_s) - min(started_s) < 0.09


def test_nothing_is_looked_at_beyond_its_dose(finished, instant):
    instant.camera.snap = Slow(instant.camera.snap, instant.clock)
    # A raster of 20 ms leaves 0.06 J/cm2 in its middle, and less at its edges.
    run, _ = finished(share=0.3, limits=Limits(dose_j_per_cm2=0.08))
    assert 0 < len(run.points().repeats) < 18
    assert run.points().valid.all()


def test_looks_beside_each_other_end_at_the_dose_and_the_run_is_whole(finished, instant):
    instant.camera.snap = Slow(instant.camera.snap, instant.clock)
    run, _ = finished(share=1.0, limits=Limits(dose_j_per_cm2=0.075), column=slice(None))
    assert 0 < len(run.points().repeats) < 63
    assert run.points().valid.all()


def test_a_look_that_fails_is_let_go_of(finished, instant):
    snap, calls = instant.camera.snap, []

    def failing(timeout_s):
        calls.append(None)
        if len(calls) > 63:
            raise DeviceError("no trigger")
        return snap(timeout_s)

    instant.camera.snap = failing
    run, _ = finished()
    assert not run.points().repeats
    assert run.points().valid.all()


def test_a_damaged_look_is_left_out(finished):
    run, _ = finished()
    (run.path / "repeats/frames/c/3/0/0").unlink()
    run = Run(run.path)
    assert run.damaged_repeats(run.points()) == [3]
    assert run.valid_frames(1, run.points()).columns.tolist() == [*range(9), 4, 4]
    assert run.valid_frames(0, run.points()).columns.tolist() == [*range(9), 4, 4, 4]


def test_without_a_share_nobody_is_asked(finished):
    run, doubts = finished(share=0.0)
    assert doubts.seen == []
    assert len(run.points().repeats) == 0
