"""What becomes of the drives once a scan is over."""

import json
import time
from dataclasses import replace

import pytest
from scan_bench import Watcher, run_scan

from configs.errors import AcquisitionError, DeviceError
from configs.instrument import Limits
from simulation.instant import InstantStage, PositionCamera
from simulation.shutter import SimulatedShutter

FOUND_UM = (12.0, 34.0)


class Seen(InstantStage):
    """Notes where it was told to go, and whether it was dark then."""

    def __init__(self, travel, shutter):
        super().__init__(travel)
        self._shutter, self.ways = shutter, []
        self._position_um = FOUND_UM

    def move_to(self, x_um, y_um):
        self.ways.append(((x_um, y_um), self._shutter.is_open()))
        super().move_to(x_um, y_um)


@pytest.fixture
def bench(instant):
    shutter = SimulatedShutter()
    stage = Seen(instant.stage.limits, shutter)
    return replace(instant, stage=stage, camera=PositionCamera(stage), shutter=shutter)


def said(run):
    lines = (run.path / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["message"] for line in lines]


def test_the_stage_goes_back_in_the_dark_to_where_it_was_found(info, bench, tmp_path):
    _, run = run_scan(info, bench, tmp_path)
    assert bench.stage.ways[-1] == (FOUND_UM, False)
    assert all(is_open for _, is_open in bench.stage.ways[:-1])
    said_in_the_end = said(run)[-3:]
    assert said_in_the_end[0] == "parked"
    assert said_in_the_end[-1] == "stage stopped, shutter closed"


def test_it_goes_back_no_faster_than_it_may(make_info, small_plan, bench, tmp_path):
    info = make_info(small_plan, limits=Limits(speed_um_per_s=100.0))
    run_scan(info, bench, tmp_path)
    dark = [place for place, is_open in bench.stage.ways if not is_open]
    assert len(dark) > 10
    assert dark[-1] == FOUND_UM


def test_a_scan_that_is_broken_off_is_parked_too(info, bench, tmp_path):
    class Broken(Watcher):
        def frame(self, frame):
            raise RuntimeError("display gone")

    with pytest.raises(RuntimeError, match="display gone"):
        run_scan(info, bench, tmp_path, Broken())
    assert bench.stage.position() == FOUND_UM


def test_in_an_emergency_everything_stays_where_it_was_stopped(info, bench, tmp_path):
    stop = tmp_path / "run.zarr" / "STOP"

    class Alarmed(Watcher):
        def frame(self, frame):
            super().frame(frame)
            if len(self.frames) == 20:
                stop.write_text("emergency")
                end_s = time.monotonic() + 5
                while not bench.stage.stops:
                    assert time.monotonic() < end_s, "nobody stopped the stage"

    with pytest.raises(AcquisitionError, match="STOP"):
        run_scan(info, bench, tmp_path, Alarmed())
    assert bench.stage.position() != FOUND_UM
    assert not bench.shutter.is_open()


def test_a_stage_that_does_not_go_back_is_told_and_loses_nothing(info, bench, tmp_path):
    class Stiff(Seen):
        def move_to(self, x_um, y_um):
            if (x_um, y_um) == FOUND_UM:
                raise DeviceError("stage: does not move")
            super().move_to(x_um, y_um)

    stage = Stiff(bench.stage.limits, bench.shutter)
    bench = replace(bench, stage=stage, camera=PositionCamera(stage))
    watcher = Watcher()
    summary, _ = run_scan(info, bench, tmp_path, watcher)
    assert summary.valid == len(info.plan)
    (warning,) = watcher.warnings
    assert "not parked where it was found, (12.0, 34.0) um: stage: does not move" in warning
