"""What reconstruction learns of a line: valid frames in order, and where the beam was."""

import numpy as np
import pytest

from acquisition.frame import Frame, FrameLine, Status


@pytest.mark.parametrize(("x", "y"), [(1, 1), (-1, 1), (1, -1)])
def test_a_line_says_where_the_beam_was_on_its_squares(small_plan, x, y):
    """An axis that is turned over counts the other way on the sample."""
    plan = small_plan.model_copy(update={"x_direction": x, "y_direction": y})
    frames = []
    for column in (3, 1, 2):  # as a snake may come
        point = plan.point(2, column)
        readback_um = point.target_um[0] + 0.01 * column, point.target_um[1] - 0.02
        image = np.full((4, 4), column, np.uint16)
        status = Status.INVALID if column == 2 else Status.VALID
        frames.append(Frame(point, image, readback_um, 0.0, 1, status))
    line = FrameLine.of(frames, plan.geometry)
    assert line.row == 2
    assert line.columns.tolist() == [1, 3]
    assert line.images[:, 0, 0].tolist() == [1, 3]
    np.testing.assert_allclose(line.off_um, [[0.01 * x, -0.02 * y], [0.03 * x, -0.02 * y]])


def test_a_line_without_valid_frames_is_empty(small_plan):
    nothing = np.zeros((4, 4), np.uint16)
    nan = (float("nan"), float("nan"))
    frame = Frame(small_plan.point(0, 0), nothing, nan, 0.0, 3, Status.INVALID, "timeout")
    line = FrameLine.of([frame], small_plan.geometry)
    assert (line.columns.shape, line.images.shape, line.off_um.shape) == (
        (0,),
        (0, 4, 4),
        (0, 2),
    )
