"""The map of a scan whose squares are decided one by one, under their scan points."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from configs.grid import LARGEST_GRID

Float64 = NDArray[np.float64]
_REACH: Final = LARGEST_GRID // 2
"""Squares to every side from which a frame tells."""


class ScanMap:
    """Squares and how open they are, line after line of the scan.

    Parameters
    ----------
    plan
        The scan.
    """

    def __init__(self, plan: ScanPlan) -> None:
        self._plan = plan
        self._answers = np.full((2, plan.rows, plan.columns), np.nan)
        self._frames = np.zeros((plan.rows, plan.columns), np.int64)

    def see(self, line: FrameLine) -> None:
        """Count the frames of a line."""
        self._frames[line.row, line.columns] = 1

    def set_line(self, row: int, answers: NDArray[np.float32]) -> None:
        """Set probability and coverage, (2, columns), of the squares of a scan line."""
        self._answers[:, row] = answers

    @property
    def probability(self) -> Float64:
        """Probability that each square is open, at least half of it milled."""
        return self._known(0)

    @property
    def coverage(self) -> Float64:
        """Expected milled fraction of each square."""
        return self._known(1)

    @property
    def uncertainty(self) -> Float64:
        """Standard deviation of a coin that falls on open with that probability."""
        probability = self.probability
        deviation: Float64 = np.sqrt(probability * (1 - probability))
        return deviation

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Decision: probability at least one half; false where nothing is known."""
        decision: NDArray[np.bool_] = self.probability >= 0.5
        return decision

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of frames whose 7 x 7 squares cover each square."""
        return self._plan.crop(frames_around(self._frames))

    def _known(self, answer: int) -> Float64:
        said = self._plan.crop(self._answers[answer])
        known: Float64 = np.where(self.count > 0, said, np.nan)
        return known


def frames_around(frames: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count frames, (rows, columns), in the 7 x 7 points around each."""
    summed = np.pad(frames.astype(np.int64), _REACH)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(summed, LARGEST_GRID, axis)
        summed = windows.sum(axis=-1)
    return summed
