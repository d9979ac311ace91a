"""The scan engine: never a wrong frame as good, never a shifted one."""

from dataclasses import replace

import numpy as np
import pytest
from scan_bench import Trouble, Watcher, assert_valid_frames_are_where_they_belong, run_scan

from acquisition.engine import scan
from acquisition.frame import Status
from acquisition.instrument import Instrument
from acquisition.plan import ScanPlan
from acquisition.store import Run
from configs.errors import AcquisitionError, DeviceError, DeviceTimeout, LimitError
from configs.instrument import Travel
from simulation.instant import InstantFocus, InstantStage, PositionCamera


def test_every_point_is_taken_where_it_belongs(info, instant, tmp_path):
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


def test_a_driver_that_truncates_to_its_steps_gives_no_frame_a_step_short(
    info, instant, tmp_path
):
    """As Micro-Manager's stepper stages do: ``int(x / step)``."""
    plan = info.plan.model_copy(update={"centre_um": (75.6, 75.6)})  # on a step
    info = info.model_copy(update={"plan": plan})
    step_um, go = 0.045, instant.stage.move_to
    instant.stage.move_to = lambda *to_um: go(*(int(at / step_um) * step_um for at in to_um))
    with pytest.raises(AcquisitionError, match=r"expected to be within 20 nm.*45\.0 nm away"):
        run_scan(info, instant, tmp_path)
    run = Run(tmp_path / "run.zarr")
    valid = run.points().valid
    assert 0 < valid.sum() < 63
    targets_um = np.array([point.target_um for point in info.plan.points()])
    readback_um = run.points().columns["readback_um"]
    assert np.abs(readback_um - targets_um)[valid].max() < 0.02
    assert_valid_frames_are_where_they_belong(run)


def test_a_run_is_one_array_with_a_file_for_each_line(info, instant, tmp_path):
    _, run = run_scan(info, instant, tmp_path)
    chunks = [path for path in (run.path / "frames").rglob("*") if path.is_file()]
    assert len(chunks) == 7 + 1, "and what describes the array"
    assert sum(path.is_file() for path in run.path.rglob("*")) < 60


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


@pytest.mark.parametrize(("device", "method"), [("camera", "configure"), ("focus", "position")])
def test_devices_that_fail_to_get_ready_are_tried_again(info, instant, device, method):
    instrument = replace(instant, focus=InstantFocus((0.0, 100.0)))
    target = getattr(instrument, device)
    calls = {0, 1} if device == "camera" else {1, 2}  # the first is the look at its limits
    setattr(target, method, Trouble(getattr(target, method), calls, DeviceTimeout("late")))
    assert scan(info, instrument, None, Watcher()).valid == 63
    assert instant.stage.stops >= 2


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
    assert instant.stage.stops
    assert Run(tmp_path / "run.zarr").points().valid.sum() == 1


def test_status_values_are_the_format():
    assert [int(s) for s in (Status.PENDING, Status.VALID, Status.INVALID)] == [0, 1, 2]
