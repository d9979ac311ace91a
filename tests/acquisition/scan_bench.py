"""A scan on instant devices, watched, and what becomes of its frames."""

import numpy as np
import pytest

from acquisition.engine import scan
from acquisition.store import Run
from acquisition.writer import RunWriter
from simulation.instant import position_um


class Watcher:
    """Keeps what a scan says, and answers pauses."""

    def __init__(self, go_on=False):
        self.frames, self.visits, self.warnings, self.pauses = [], [], [], []
        self._go_on = go_on

    def begin(self, info, there):
        self.info, self.there = info, [frame.point.index for frame in there]

    def checked(self, checks):
        self.checks = checks

    def frame(self, frame):
        self.frames.append(frame)

    def landmark(self, visit):
        self.visits.append(visit)

    def warning(self, message):
        self.warnings.append(message)

    def paused(self, reason):
        self.pauses.append(reason)
        return self._go_on


class Trouble:
    """Raises at stated calls of a device's method, and lets the others through."""

    def __init__(self, method, calls, error):
        self._method, self._calls, self._error = method, set(calls), error
        self.count = 0

    def __call__(self, *arguments):
        self.count += 1
        if self.count - 1 in self._calls:
            raise self._error
        return self._method(*arguments)


def run_scan(info, instrument, tmp_path, watcher=None):
    with RunWriter.create(tmp_path / "run.zarr", info) as writer:
        summary = scan(info, instrument, writer, watcher or Watcher())
    return summary, Run(tmp_path / "run.zarr")


def assert_valid_frames_are_where_they_belong(run):
    """Every image that counts as good says itself that it was taken at its point."""
    plan, points = run.info.plan, run.points()
    for index in np.flatnonzero(points.valid):
        row, column = divmod(int(index), plan.columns)
        taken_um = position_um(run.frames(row)[column])
        assert taken_um == pytest.approx(plan.point(row, column).target_um, abs=0.003)
