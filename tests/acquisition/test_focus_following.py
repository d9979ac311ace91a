"""A sample that leaves its plane is followed by the focus drive, within its range."""

import dataclasses

import numpy as np
import pytest
import zarr
from scan_bench import Watcher

from acquisition.engine import scan
from acquisition.plan import FOCUS_LOOKS, LEARNING_LOOKS, LandmarkSchedule, ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceError, DeviceTimeout, LimitError
from configs.instrument import SimulatedFocusConfig
from simulation.instant import InstantFocus, PositionCamera

HOME_UM = 50.0
# Images until then: a landmark chosen and learnt, two visits and two lines.
IN_LINE_3 = (LEARNING_LOOKS + FOCUS_LOOKS) * 4 + 2 * 4 + 2 * 9 + 1


class Fringes(PositionCamera):
    """Fringes that move with the stage and with the focus; the sample may leave its plane."""

    def __init__(self, stage, focus, moves_after=10**9, by_um=0.0):
        super().__init__(stage)
        self._focus, self._moves_after, self._by_um = focus, moves_after, by_um
        self._images_taken = 0
        self._random = np.random.default_rng(1)

    def snap(self, timeout_s):
        self._images_taken += 1
        x_um, y_um = self._stage.position()
        z_um = self._focus.position() - HOME_UM
        if self._images_taken > self._moves_after:
            z_um -= self._by_um
        y, x = np.mgrid[:64, :64] / 6.0
        light = (
            3 + np.sin(x + 12 * x_um) + np.sin(y + 12 * y_um) + np.sin((x - y) / 2 + 3 * z_um)
        )
        return (100 + self._random.poisson(150 * light) / 0.46).astype(np.uint16)


@pytest.fixture
def info(make_info):
    plan = ScanPlan(
        rows=7,
        columns=9,
        centre_um=(100.0, 100.0),
        landmark=LandmarkSchedule(every_lines=2, frames=4),
    )
    return make_info(plan, focus=SimulatedFocusConfig())


@pytest.fixture
def bench(instant):
    def make(range_um=(0.0, 100.0), **settings):
        focus = InstantFocus(range_um)
        focus.move_to(HOME_UM)
        camera = Fringes(instant.stage, focus, **settings)
        return dataclasses.replace(instant, camera=camera, focus=focus)

    return make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.zarr"


def run_scan(info, instrument, path, watcher):
    with RunWriter.create(path, info) as writer:
        scan(info, instrument, writer, watcher)
    return Run(path)


def focus_by_line(watcher):
    return {frame.point.row: frame.focus_um for frame in watcher.frames}


def test_a_sample_that_stays_is_not_followed(info, bench, path):
    watcher = Watcher()
    run = run_scan(info, bench(), path, watcher)
    landmark = run.landmark()
    assert landmark["drift_um"].shape == (5, 3)
    assert landmark["drift_um"] == pytest.approx(0, abs=0.005)
    assert landmark["chi_squared"] == pytest.approx(1, abs=0.15)
    assert (landmark["correction_um"] == 0).all()
    assert landmark["commanded_um"][:, 2] == pytest.approx(HOME_UM)
    assert [record.focus_um for record in run.journal()] == [HOME_UM] * 63
    assert (run.points().columns["focus_um"] == HOME_UM).all()
    assert not watcher.warnings
    assert run.dither().images.shape[0] == 45


@pytest.mark.parametrize("by_um", [0.1, -0.1, 0.3, -0.4])
def test_a_sample_that_leaves_its_plane_is_followed(info, bench, path, by_um):
    """At once as far as a step goes; a large move is looked for."""
    watcher = Watcher()
    run = run_scan(info, bench(moves_after=IN_LINE_3, by_um=by_um), path, watcher)
    assert not watcher.pauses
    step_um = np.clip(by_um, -0.2, 0.2)
    at = focus_by_line(watcher)
    assert at[1] == HOME_UM
    assert at[4] == pytest.approx(HOME_UM + step_um, abs=0.006)
    assert at[6] == pytest.approx(HOME_UM + by_um, abs=0.006)
    assert at[2] == at[3] == pytest.approx(HOME_UM + by_um, abs=0.006), "taken again"
    landmark = run.landmark()
    assert landmark["is_believed"].all()
    assert landmark["drift_um"][2:, 2] == pytest.approx(by_um, abs=0.006)
    assert (np.abs(landmark["drift_um"] - [0, 0, by_um])[2:] < 4 * landmark["sd_um"][2:]).all()
    assert landmark["correction_um"][2:, 2] == pytest.approx([step_um, *[by_um] * 3], abs=0.006)
    # Across the beam nothing moved, and nothing follows.
    assert not any(any(record.correction_um) for record in run.journal())
    assert landmark["correction_um"][:, :2] == pytest.approx(0)
    again = {frame.point.row: frame.focus_um for frame in run.good_frames(run.points())}
    assert again == at


def test_a_sample_that_leaves_the_range_pauses_the_scan(info, bench, path):
    watcher = Watcher()
    drifting = bench(range_um=(49.7, 50.25), moves_after=IN_LINE_3, by_um=0.4)
    with pytest.raises(AcquisitionError, match="stopped, the run up to there is safe"):
        run_scan(info, drifting, path, watcher)
    (reason,) = watcher.pauses
    for part in (
        "before line 6 the sample leaves the range of the focus drive",
        "expected between 49.7 and 50.25 um, got 50.4",
        "[focus]",
    ):
        assert part in reason
    assert "\n" not in reason
    assert drifting.focus.position() < 50.25
    assert Run(path).landmark()["drift_um"][-1, 2] == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("range_um", [(49.85, 60.0), (40.0, 50.19)])
def test_a_scan_that_begins_at_an_end_of_the_range_is_refused(info, bench, path, range_um):
    refused = bench(range_um=range_um)
    move_to, told_um = refused.focus.move_to, set()
    refused.focus.move_to = lambda z_um: (told_um.add(z_um), move_to(z_um))
    with pytest.raises(LimitError, match=r"expected the scan to begin 0\.2 um or more inside"):
        run_scan(info, refused, path, Watcher())
    assert told_um == {HOME_UM}, "parked where it is"


def test_going_on_it_goes_back_to_the_plane_of_the_beginning(info, bench, path):
    """It is farther from there than it is ever looked for, were it not known."""
    far_um = 0.9
    run_scan(info, bench(moves_after=IN_LINE_3, by_um=0.1), path, Watcher())
    group = zarr.open_group(path, mode="r+")
    for name in ("drift_um", "correction_um"):
        group[f"landmark/{name}"][5] = (0.0, 0.0, far_um)
    (path / "journal.jsonl").write_bytes(b"")
    again = bench(moves_after=0, by_um=far_um)
    again.focus.move_to(48.0)  # where somebody left it
    watcher = Watcher()
    with RunWriter(Run(path)) as writer:
        scan(info, again, writer, watcher)
    assert not watcher.pauses
    assert [visit.visit for visit in watcher.visits] == [6, 7, 8, 9, 10]
    assert watcher.visits[0].commanded_um[2] == pytest.approx(HOME_UM + far_um)
    for frame in watcher.frames:
        assert frame.focus_um == pytest.approx(HOME_UM + far_um, abs=0.02)
    assert watcher.visits[0].drift_um[2] == pytest.approx(far_um, abs=0.006)


def test_after_a_failure_the_drive_is_verified_before_the_next_frame(info, bench, path):
    instrument = bench()
    position, snap = instrument.focus.position, instrument.camera.snap
    off_um, failures = [], []

    def fail_once(timeout_s):
        target_um = info.plan.point(4, 3).target_um
        if not failures and instrument.stage.position() == pytest.approx(target_um):
            failures.append(1)
            off_um.append(0.05)  # at the next question, and only then
            raise DeviceError("no trigger")
        return snap(timeout_s)

    def ask():
        return position() + (off_um.pop() if off_um else 0.0)

    instrument.camera.snap, instrument.focus.position = fail_once, ask
    run = run_scan(info, instrument, path, Watcher())
    assert {r.index: r.attempts for r in run.journal() if r.attempts > 1} == {4 * 9 + 3: 3}
    assert run.points().valid.all()
    assert "focus: expected to be within 20 nm of 50.0 um, got 50.0 nm away" in (
        path / "log.jsonl"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [DeviceError("no servo"), DeviceTimeout("late")])
def test_a_drive_that_does_not_move_gives_no_frames(info, bench, path, error):
    instrument = bench(moves_after=IN_LINE_3, by_um=0.1)
    move_to = instrument.focus.move_to

    def stuck(z_um):
        if len(watcher.visits) > 2:
            raise error
        move_to(z_um)

    instrument.focus.move_to = stuck
    watcher = Watcher()
    with pytest.raises(AcquisitionError, match="points to be invalid"):
        run_scan(info, instrument, path, watcher)
    assert any("the focus drive does not follow" in message for message in watcher.warnings)
    valid = Run(path).points().valid.reshape(7, 9)
    assert valid[:2].all()
    assert not valid[2:].any()


def test_the_drive_is_stopped_whatever_happens(info, bench, path):
    instrument = bench()
    run_scan(info, instrument, path, Watcher())
    assert instrument.focus.stops == 1
    assert "stage stopped, focus stopped" in (path / "log.jsonl").read_text()


def test_a_failing_visit_leaves_the_sample_in_its_plane(info, bench, path):
    """Looks from elsewhere fail: the frames that follow are in focus all the same."""
    instrument = bench(moves_after=IN_LINE_3, by_um=0.9)  # farther than it is looked for
    watcher = Watcher(go_on=True)
    run_scan(info, instrument, path, watcher)
    assert len(watcher.pauses) == 1
    assert set(focus_by_line(watcher).values()) == {HOME_UM}


def test_a_drive_that_refuses_to_go_home_gives_no_frames_elsewhere(info, bench, path):
    """The landmark is learnt anew, lastly 200 nm out of focus, and the drive is busy then."""
    schedule = info.plan.landmark.changed(max_chi_squared=1.2)  # learnt anew at every visit
    info = info.model_copy(update={"plan": info.plan.changed(landmark=schedule)})
    instrument = bench()
    move_to, refused, learnt = instrument.focus.move_to, [], []

    def busy(z_um):
        learnt.append(z_um)
        if learnt.count(HOME_UM + 0.2) == 2 and z_um == HOME_UM and len(refused) < 3:
            refused.append(z_um)
            raise DeviceError("busy")
        move_to(z_um)

    instrument.focus.move_to = busy
    watcher = Watcher()
    run_scan(info, instrument, path, watcher)
    assert any("learnt anew" in line for line in (path / "log.jsonl").read_text().splitlines())
    assert len(refused) == 3
    assert any("the focus drive does not follow" in message for message in watcher.warnings)
    assert {frame.focus_um for frame in watcher.frames} == {HOME_UM}
    assert Run(path).points().valid.all()


@pytest.mark.parametrize("by_um", [0.15, -0.15])
def test_a_sample_that_was_refocused_while_nobody_looked(info, bench, path, by_um):
    class Stops(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 36:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench(), path, Stops())
    watcher = Watcher()
    with RunWriter(Run(path)) as writer:
        scan(info, bench(moves_after=0, by_um=by_um), writer, watcher)
    assert not watcher.pauses
    assert [frame.point.row for frame in watcher.frames] == [4] * 9 + [5] * 9 + [6] * 9
    for frame in watcher.frames:
        assert frame.focus_um == pytest.approx(HOME_UM + by_um, abs=0.006)
        assert frame.drift_um == pytest.approx((0, 0), abs=0.006)


def test_a_scan_whose_drive_is_at_its_end_is_asked_about_once(info, bench, path):
    watcher = Watcher(go_on=True)
    drifting = bench(range_um=(49.7, 50.25), moves_after=IN_LINE_3 - 20, by_um=0.4)
    run = run_scan(info, drifting, path, watcher)
    assert len([reason for reason in watcher.pauses if "leaves the range" in reason]) == 1
    assert run.points().valid.all()
