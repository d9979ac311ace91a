"""A landmark far from where it should be, and frames of which nobody knows where they are."""

import dataclasses

import numpy as np
import pytest
from scan_bench import Trouble, Watcher, run_scan

from acquisition.engine import scan
from acquisition.plan import LEARNING_LOOKS, LandmarkSchedule, ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceTimeout
from configs.instrument import Limits
from opticalnet.reconstructions import unplaced
from simulation.instant import PositionCamera

# Images until then: a landmark chosen and learnt, two visits and two lines.
IN_LINE_3 = LEARNING_LOOKS * 4 + 2 * 4 + 2 * 9 + 1
HERE = (0.0, 0.0)


class Weave(PositionCamera):
    """Light that is the same nowhere within a micrometre; the sample may move, or change."""

    def __init__(self, stage, moves_after=0, from_um=HERE, to_um=HERE, grain=6.0):
        super().__init__(stage)
        self._moves_after, self._way_um, self._grain = moves_after, (from_um, to_um), grain
        self._taken = 0
        self._random = np.random.default_rng(1)

    def snap(self, timeout_s):
        self._taken += 1
        has_moved = self._taken > self._moves_after
        x_um, y_um = np.subtract(self._stage.position(), self._way_um[has_moved])
        y, x = np.mgrid[:64, :64] / (self._grain if has_moved else 6.0)
        light = np.sin(x + 12 * x_um) + np.sin(y + 12 * y_um)
        light += np.sin((x + 2 * y) / 3 + 5 * x_um + 3.7 * y_um)
        return (100 + self._random.poisson(150 * (3 + light)) / 0.46).astype(np.uint16)


class StopsAt(Watcher):
    """Ends a scan before some frame."""

    def __init__(self, frames, go_on=False):
        super().__init__(go_on)
        self._most = frames

    def frame(self, frame):
        super().frame(frame)
        if len(self.frames) == self._most:
            raise KeyboardInterrupt


@pytest.fixture
def plan():
    schedule = LandmarkSchedule(every_lines=2, frames=4)
    return ScanPlan(rows=7, columns=9, centre_um=(100.0, 100.0), landmark=schedule)


@pytest.fixture
def info(make_info, plan):
    return make_info(plan)


@pytest.fixture
def bench(instant):
    def make(**settings):
        return dataclasses.replace(instant, camera=Weave(instant.stage, **settings))

    return make


def go_on(tmp_path, instrument, watcher):
    run = Run(tmp_path / "run.zarr")
    with RunWriter(run) as writer:
        scan(run.info, instrument, writer, watcher)
    return Run(run.path)


def assert_unknown(run, indices):
    """These points, and no others, say that nobody knows where the sample was."""
    unknown = np.isnan(run.points().drift_um).any(axis=1)
    assert np.flatnonzero(unknown).tolist() == list(indices)
    told = {r.index for r in run.journal() if r.drift_um is None}
    assert told == set(indices)


@pytest.mark.parametrize("to_um", [(0.7, -0.5), (-0.9, 0.9)])
def test_a_landmark_far_away_is_found(info, bench, tmp_path, to_um):
    watcher = Watcher()
    instrument = bench(moves_after=IN_LINE_3, to_um=to_um)
    _, run = run_scan(info, instrument, tmp_path, watcher)
    assert not watcher.pauses
    assert run.landmark()["is_believed"].all()
    for frame in watcher.frames[4 * 9 :]:
        assert frame.correction_um == pytest.approx(to_um, abs=0.005)
    assert_unknown(run, [])
    assert not unplaced(run.points())


def test_frames_after_a_lost_landmark_are_marked(info, bench, tmp_path):
    """It went, with what was there before it, and then something else was learnt."""
    moved_um = (0.15, 0.0)
    instrument = bench(from_um=HERE, to_um=moved_um, moves_after=IN_LINE_3)
    stops = StopsAt(5 * 9)
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, instrument, tmp_path, stops)
    changed = bench(to_um=moved_um, grain=9.0)
    watcher = StopsAt(9, go_on=True)
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, changed, watcher)
    (reason,) = watcher.pauses
    assert reason.endswith("; going on, frames are marked as displaced")
    assert watcher.visits[-1].is_believed is False
    # Also in a session that finds it again: it has not been there since the beginning.
    watcher = Watcher()
    run = go_on(tmp_path, bench(to_um=moved_um, grain=9.0), watcher)
    assert not watcher.pauses
    assert watcher.visits[0].is_believed
    # With the two lines that were withdrawn when it had moved.
    assert_unknown(run, [*range(2 * 9, 4 * 9), *range(5 * 9, 63)])
    # Reconstruction takes the sample to be where the scan took it to be, and says so.
    points = run.points()
    assert points.columns["correction_um"][-1] == pytest.approx(moved_um, abs=0.02)
    for row in (5, 6):
        assert run.valid_frames(row, points).off_um == pytest.approx(0, abs=1e-6)
    (warning,) = unplaced(points)
    assert warning.startswith("36 of 63 frames were taken while the landmark was lost")


@pytest.mark.parametrize("meanwhile_um", [0.15, -0.02, 0.6])
def test_a_sample_that_moved_while_nobody_looked(info, bench, tmp_path, meanwhile_um):
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench(), tmp_path, StopsAt(4 * 9))
    watcher = Watcher()
    run = go_on(tmp_path, bench(to_um=(meanwhile_um, 0.0)), watcher)
    assert not watcher.pauses
    assert len(watcher.frames) == 3 * 9
    for frame in watcher.frames:
        assert frame.correction_um == pytest.approx((meanwhile_um, 0), abs=0.004)
    assert_unknown(run, [])


def test_going_on_without_a_look_nobody_knows(info, bench, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench(), tmp_path, StopsAt(4 * 9))
    again = bench()
    late = Trouble(again.camera.read_frame, range(3), DeviceTimeout("late"))
    again.camera.read_frame = late
    watcher = Watcher()
    run = go_on(tmp_path, again, watcher)
    assert any("no look at the landmark before line 4" in told for told in watcher.warnings)
    assert_unknown(run, range(4 * 9, 6 * 9))


@pytest.fixture
def leashed(make_info, plan):
    return make_info(plan, limits=Limits(correction_um=0.1))


def test_a_sample_that_goes_too_far_is_not_followed_there(leashed, bench, tmp_path):
    watcher = Watcher(go_on=True)
    instrument = bench(moves_after=IN_LINE_3, to_um=(-0.3, 0.05))
    summary, run = run_scan(leashed, instrument, tmp_path, watcher)
    (reason,) = watcher.pauses
    assert "before line 4 the sample has gone too far: expected at most 0.1 um" in reason
    assert "\n" not in reason
    assert summary.valid == 63
    for frame in watcher.frames[4 * 9 :]:
        assert frame.correction_um == pytest.approx((-0.1, 0.05), abs=0.004)
        assert frame.drift_um == pytest.approx((-0.3, 0.05), abs=0.004)
    # What reconstruction hears: by how much the beam was off its square.
    assert run.valid_frames(5, run.points()).off_um == pytest.approx(
        np.tile([0.2, 0.0], (9, 1)), abs=0.005
    )


def test_nobody_there_to_ask_ends_a_scan_that_goes_too_far(leashed, bench, tmp_path):
    instrument = bench(moves_after=IN_LINE_3, to_um=(-0.3, 0.05))
    with pytest.raises(AcquisitionError, match="the sample has gone too far"):
        run_scan(leashed, instrument, tmp_path, Watcher())
    valid = Run(tmp_path / "run.zarr").points().valid
    assert np.flatnonzero(valid).tolist() == list(range(2 * 9)), "withdrawn since the last look"
