"""Where a scan was interrupted: what was known is known again."""

import numpy as np
import pytest
from scan_bench import Watcher, assert_valid_frames_are_where_they_belong

from acquisition.engine import scan
from acquisition.frame import Status
from acquisition.plan import FinishSchedule
from acquisition.store import Run
from acquisition.writer import RunWriter


def test_a_black_frame_before_a_seam_is_taken_again(make_info, small_plan, instant, tmp_path):
    """It looked right, as nothing beside it was known; then the scan was interrupted."""
    info, path = make_info(small_plan), tmp_path / "run.zarr"
    snap, taken = instant.camera.snap, []

    def first_is_black(timeout_s):
        image = snap(timeout_s)
        taken.append(None)
        if len(taken) == 1:
            image[:] = 100
        return image

    class Stops(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 20:
                raise KeyboardInterrupt

    instant.camera.snap = first_is_black
    with pytest.raises(KeyboardInterrupt), RunWriter.create(path, info) as writer:
        scan(info, instant, writer, Stops())
    points = Run(path).points()
    assert points.status[0] == Status.VALID
    assert not np.ptp(Run(path).frames(0)[0])
    with RunWriter(Run(path)) as writer:
        scan(info, instant, writer, Watcher())
    assert np.ptp(Run(path).frames(0)[0])
    assert Run(path).points().valid.all()


def test_a_dark_beginning_is_taken_again(make_info, small_plan, instant, tmp_path):
    """Frames that are black beside black ones are seen once those are bright."""
    info, path = make_info(small_plan), tmp_path / "run.zarr"
    snap, taken = instant.camera.snap, []

    def dark_at_first(timeout_s):
        image = snap(timeout_s)
        taken.append(None)
        if len(taken) <= small_plan.columns + 3:
            image[:] = 100 + len(taken) % 2
            image[0, 0] = len(taken)
        return image

    instant.camera.snap = dark_at_first
    with RunWriter.create(path, info) as writer:
        scan(info, instant, writer, Watcher())
    assert Run(path).points().valid.all()
    assert_valid_frames_are_where_they_belong(Run(path))


@pytest.mark.parametrize("left", [60, 20])
def test_an_image_of_an_earlier_session_is_no_frame_of_this_one(
    make_info, small_plan, instant, tmp_path, left
):
    """A camera may hold one still, of a point or of a further look at one."""
    plan = small_plan.model_copy(update={"finish": FinishSchedule(share=0.5)})
    info, path, held = make_info(plan), tmp_path / "run.zarr", []
    snap = instant.camera.snap

    class Stops(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == left + 10:
                raise KeyboardInterrupt

    def holds(timeout_s):
        held.append(snap(timeout_s))
        return held[-1]

    def doubts():
        return np.random.default_rng(1).random((plan.rows, plan.columns))

    instant.camera.snap = holds
    with pytest.raises(KeyboardInterrupt), RunWriter.create(path, info) as writer:
        scan(info, instant, writer, Stops(), doubts)
    instant.camera.snap = lambda timeout_s: held.pop() if held else snap(timeout_s)
    del held[:-1]
    watcher = Watcher()
    with RunWriter(Run(path)) as writer:
        scan(info, instant, writer, watcher, doubts)
    assert not held
    assert [frame.attempts for frame in watcher.frames[:2]] == [2, 1]
    assert_valid_frames_are_where_they_belong(Run(path))
