"""What was taken between a jump of the sample and the look that tells of it is withdrawn."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from scan_bench import Watcher, run_scan

from acquisition.engine import scan
from acquisition.plan import LEARNING_LOOKS, FinishSchedule, LandmarkSchedule, ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter
from simulation.instant import PositionCamera

LOOK = 4
# Images until then: a landmark learnt, looks before lines 0 and 2, and three lines.
IN_LINE_3 = LEARNING_LOOKS * LOOK + 2 * LOOK + 3 * 9 + 1
SINCE_LOOK = list(range(2 * 9, 4 * 9))


class Jumps(PositionCamera):
    """Fringes of a sample that is ``by_um(images taken)`` away along x."""

    def __init__(self, stage, by_um):
        super().__init__(stage)
        self._by_um, self._taken = by_um, 0
        self._random = np.random.default_rng(1)

    def snap(self, timeout_s):
        self._taken += 1
        x_um, y_um = self._stage.position()
        x_um -= self._by_um(self._taken)
        y, x = np.mgrid[:64, :64] / 6.0
        light = 200 * (2 + np.sin(x + 12 * x_um) + np.sin(y + 12 * y_um))
        return (100 + self._random.poisson(light) / 0.46).astype(np.uint16)


@pytest.fixture
def info(make_info):
    schedule = LandmarkSchedule(every_lines=2, frames=LOOK)
    return make_info(ScanPlan(rows=7, columns=9, centre_um=(100.0, 100.0), landmark=schedule))


@pytest.fixture
def bench(instant):
    def make(by_um):
        return dataclasses.replace(instant, camera=Jumps(instant.stage, by_um))

    return make


def once(by_um, after=IN_LINE_3):
    return lambda taken: by_um if taken > after else 0.0


def withdrawals(run):
    return [record for record in run.journal() if not record.attempts]


def takes(run):
    return Counter(record.index for record in run.journal() if record.attempts)


def test_what_was_taken_of_a_sample_that_jumped_is_withdrawn(info, bench, tmp_path):
    watcher = Watcher()
    summary, run = run_scan(info, bench(once(0.15)), tmp_path, watcher)
    assert summary.valid == 63
    assert [record.index for record in withdrawals(run)] == SINCE_LOOK
    for record in withdrawals(run):
        assert "the sample had jumped by 15" in record.reason
        assert record.reason.endswith(" nm by the next look")
    assert takes(run) == {index: 1 + (index in SINCE_LOOK) for index in range(63)}
    assert any("18 frames since the look before are invalid" in w for w in watcher.warnings)
    points = run.points()
    off_um = points.readback_um - points.columns["target_um"]
    was_um = np.where(np.arange(63) < SINCE_LOOK[0], 0.0, 0.15)
    assert off_um[:, 0] == pytest.approx(was_um, abs=0.005)
    # The image kept is the later one: it says itself where it was taken.
    assert not [index for row in range(7) for index in run.damaged(row, points)]


def test_a_jump_after_the_last_look_is_seen_by_the_closing_one(info, bench, tmp_path):
    in_line_6 = LEARNING_LOOKS * LOOK + 4 * LOOK + 6 * 9 + 2
    summary, run = run_scan(info, bench(once(0.15, in_line_6)), tmp_path)
    assert summary.valid == 63
    assert [record.index for record in withdrawals(run)] == list(range(6 * 9, 63))


def test_further_looks_that_are_withdrawn_count_for_nothing(info, bench, tmp_path):
    finish = FinishSchedule(share=0.3)
    info = info.model_copy(update={"plan": info.plan.changed(finish=finish)})
    among_them = LEARNING_LOOKS * LOOK + 5 * LOOK + 63 + 3
    instrument = bench(once(0.15, among_them))
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        scan(info, instrument, writer, Watcher(), lambda: np.ones((7, 9)))
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.all()
    gone = {record.repeat for record in withdrawals(run)}
    assert gone
    assert None not in gone
    places_um = np.concatenate([line.off_um for line in run.lines(run.points())])
    assert len(places_um) == 63 + 18 - len(gone)
    assert places_um == pytest.approx(0, abs=0.005)


def test_who_is_stopped_after_a_withdrawal_takes_it_again(info, bench, tmp_path):
    class Stops(Watcher):
        def landmark(self, visit):
            if visit.line == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench(once(0.15)), tmp_path, Stops())
    run = Run(tmp_path / "run.zarr")
    assert np.flatnonzero(run.points().valid).tolist() == list(range(2 * 9))
    with RunWriter(run) as writer:
        scan(info, bench(lambda _: 0.15), writer, Watcher())
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.all()
    assert takes(run) == {index: 1 + (index in SINCE_LOOK) for index in range(63)}


def test_a_step_within_tolerance_withdraws_nothing(info, bench, tmp_path):
    watcher = Watcher()
    _, run = run_scan(info, bench(once(0.015)), tmp_path, watcher)
    assert run.landmark()["drift_um"][-1, 0] == pytest.approx(0.015, abs=0.003)
    assert not withdrawals(run)
    assert not watcher.warnings


def test_a_sample_that_keeps_jumping_is_given_up(info, bench, tmp_path):
    """A place for every few images, none of them the one before."""
    places_um = np.random.default_rng(3).uniform(-0.15, 0.15, 1000)
    steady = LEARNING_LOOKS * LOOK + LOOK

    def by_um(taken):
        return places_um[(taken - steady) // 5] if taken > steady else 0.0

    summary, run = run_scan(info, bench(by_um), tmp_path)
    assert summary.valid < 63
    assert max(takes(run).values()) == 4
    points = run.points()
    for record in {record.index: record for record in run.journal()}.values():
        assert points.valid[record.index] or "jumped" in record.reason
