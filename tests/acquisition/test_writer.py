"""What waits to be written: no more than a line, whatever the disk does."""

from threading import Event

import numpy as np
import pytest

from acquisition.disk import Disk
from acquisition.frame import Frame, Status
from acquisition.plan import ScanPlan
from acquisition.store import Run
from acquisition.writer import RunWriter


class SlowDisk(Disk):
    """A disk whose first write takes until a scan has gone on, or has had the time to."""

    def __init__(self):
        self.scan_went_on = Event()
        self.acknowledged = 0
        self.taken = 0
        self.missing = []

    def replace(self, path, data):
        if not self.missing:
            self.scan_went_on.wait(0.3)
        self.missing.append(self.taken - self.acknowledged)
        super().replace(path, data)

    def append(self, path, end, data):
        self.missing.append(self.taken - self.acknowledged)
        super().append(path, end, data)
        self.acknowledged += data.count(b"\n")


@pytest.mark.parametrize("columns", [1, 9])
def test_no_more_than_a_line_is_taken_and_not_acknowledged(tmp_path, make_info, columns):
    plan = ScanPlan(
        rows=7, columns=columns, grid=3, centre_um=(100.0, 100.0), margin=0, landmark=None
    )
    disk = SlowDisk()
    with RunWriter.create(tmp_path / "run.zarr", make_info(plan), disk=disk) as writer:
        for point in plan.points():
            disk.taken += 1
            if disk.taken > columns:
                disk.scan_went_on.set()
            image = np.full((64, 64), point.index, np.uint16)
            writer.add(Frame(point, image, point.target_um, 0.0, 1, Status.VALID))
    assert max(disk.missing) == columns
    assert Run(tmp_path / "run.zarr").points().valid.all()
