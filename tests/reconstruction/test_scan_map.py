"""The map of squares under scan points."""

import numpy as np
import pytest

from acquisition.frame import FrameLine
from reconstruction.scan_map import ScanMap


def line(row, columns):
    images = np.zeros((len(columns), 1, 1), np.uint16)
    return FrameLine(row, np.array(columns), images, np.zeros((len(columns), 2)))


def test_squares_lie_under_their_scan_points(small_plan):
    squares = ScanMap(small_plan)  # 7 x 9 points, a margin of one
    squares.see(line(0, range(9)))
    answers = np.arange(18, dtype=np.float32).reshape(2, 9) / 20
    squares.set_line(1, answers)
    assert squares.probability.shape == (5, 7)
    np.testing.assert_allclose(squares.probability[0], answers[0, 1:-1])
    np.testing.assert_allclose(squares.coverage[0], answers[1, 1:-1])
    assert np.isnan(squares.probability[1:]).all()
    assert squares.is_open.sum() == 0


def test_frames_tell_of_seven_by_seven_squares(small_plan):
    squares = ScanMap(small_plan)
    for row in range(7):
        squares.set_line(row, np.full((2, 9), 0.8, np.float32))
    squares.see(line(0, [0]))
    # Point (0, 0) is on the margin: three squares from it is square 2 of the sample.
    expected = np.zeros((5, 7))
    expected[:3, :3] = 1
    assert np.array_equal(squares.count, expected)
    assert np.array_equal(np.isfinite(squares.probability), expected == 1)
    assert squares.uncertainty[0, 0] == pytest.approx(0.4)
    assert np.array_equal(squares.is_open, expected == 1)
