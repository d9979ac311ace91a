"""After a scan the drives are where they were found, unless something is wrong."""

import json
import os
import signal
import threading
from dataclasses import replace

import pytest
from scan_bench import Trouble, Watcher, run_scan

from acquisition.engine import scan
from acquisition.stopping import Terminated
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError, DeviceError
from configs.instrument import Limits
from simulation.instant import InstantFocus
from simulation.shutter import SimulatedShutter

FOUND_UM = (120.0, 80.0)


@pytest.fixture
def bench(instant):
    instant.stage.move_to(*FOUND_UM)
    focus = InstantFocus((0.0, 100.0))
    focus.move_to(40.0)
    return replace(instant, shutter=SimulatedShutter(), focus=focus)


class Stops(Watcher):
    """Does something at the 13th frame, and moves the focus drive meanwhile."""

    def __init__(self, bench, action=lambda: None):
        super().__init__()
        self._bench, self._action = bench, action

    def frame(self, frame):
        super().frame(frame)
        if len(self.frames) == 13:
            self._bench.focus.move_to(41.0)
            self._action()


def press(number, times=1):
    def action():
        for _ in range(times):
            os.kill(os.getpid(), number)

    return action


def events(tmp_path):
    log = (tmp_path / "run.zarr" / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["message"] for line in log]


def test_after_a_whole_scan_it_is_dark_first_and_then_parked(info, bench, tmp_path):
    states = []
    move_to = bench.stage.move_to

    def noted(x_um, y_um):
        states.append(((x_um, y_um), bench.shutter.is_open()))
        move_to(x_um, y_um)

    bench.stage.move_to = noted
    run_scan(info, bench, tmp_path)
    assert bench.stage.position() == FOUND_UM
    assert bench.focus.position() == 40.0
    assert states[-1] == (FOUND_UM, False)
    assert all(is_open for _, is_open in states[:-1])
    assert events(tmp_path)[-2:] == [
        "stage stopped, focus stopped, shutter closed",
        "parked at (120.000, 80.000, 40.000) um",
    ]


@pytest.mark.parametrize(
    ("number", "times", "ending"),
    [
        (signal.SIGINT, 1, KeyboardInterrupt),
        (signal.SIGINT, 2, KeyboardInterrupt),
        (signal.SIGTERM, 1, Terminated),
    ],
)
def test_whoever_stops_a_scan_finds_it_parked(info, bench, tmp_path, number, times, ending):
    with pytest.raises(ending):
        run_scan(info, bench, tmp_path, Stops(bench, press(number, times)))
    assert bench.stage.position() == FOUND_UM
    assert bench.focus.position() == 40.0


def test_a_scan_that_is_broken_off_is_parked_too(info, bench, tmp_path):
    class Broken(Watcher):
        def frame(self, frame):
            raise RuntimeError("display gone")

    with pytest.raises(RuntimeError, match="display gone"):
        run_scan(info, bench, tmp_path, Broken())
    assert bench.stage.position() == FOUND_UM


def test_in_an_emergency_all_stays_where_it_was_stopped(info, bench, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench, tmp_path, Stops(bench, press(signal.SIGINT, 3)))
    assert bench.stage.position() == info.plan.point(1, 3).target_um
    assert bench.focus.position() == 41.0


def test_a_scan_that_a_device_has_ended_is_parked_too(info, bench, tmp_path):
    bench.camera.snap = Trouble(bench.camera.snap, range(20, 1000), DeviceError("no trigger"))
    with pytest.raises(AcquisitionError, match="no trigger"):
        run_scan(info, bench, tmp_path)
    assert bench.stage.position() == FOUND_UM


def test_a_run_that_lacks_nothing_moves_nothing(info, bench, tmp_path):
    _, run = run_scan(info, bench, tmp_path)
    moves = bench.stage.moves
    with RunWriter(run) as writer:
        scan(info, bench, writer, Watcher())
    assert bench.stage.moves == moves


def test_parking_keeps_the_limits(make_info, small_plan, bench):
    """As where a stage is found a little beyond them."""
    where = bench.stage.position
    first = iter([(120.0, -0.3)] * 2)  # when found, and before the first step
    bench.stage.position = lambda: next(first, None) or where()
    told, move_to = [], bench.stage.move_to
    bench.stage.move_to = lambda x_um, y_um: (
        told.append(bench.clock.now()),
        move_to(x_um, y_um),
    )
    info = make_info(small_plan, limits=Limits(speed_um_per_s=50.0))
    watcher = Watcher()
    assert scan(info, bench, None, watcher).valid == 63
    assert where() == (120.0, 0.0)
    assert watcher.warnings == []
    parking = told[-40:]
    assert parking[-1] - parking[0] == pytest.approx(39 * 0.05), "100 um at 50 um/s"


def test_parking_that_fails_is_one_warning(info, bench, tmp_path):
    watcher = Stops(bench, lambda: setattr(bench.focus, "move_to", refuse))

    def refuse(z_um):
        raise DeviceError("focus: expected it to move, got no answer")

    summary, _ = run_scan(info, bench, tmp_path, watcher)
    assert summary.valid == 63
    assert watcher.warnings == ["not parked: focus: expected it to move, got no answer"]
    assert bench.stage.position() == FOUND_UM


def hang_when_parking(bench):
    """Let the stage hang on its way home; return when it does."""
    begun, move_to = threading.Event(), bench.stage.move_to

    def move(x_um, y_um):
        if (x_um, y_um) == FOUND_UM:
            begun.set()
            threading.Event().wait(60)
        move_to(x_um, y_um)

    bench.stage.move_to = move
    return begun


def test_ctrl_c_ends_parking_at_once(info, bench, tmp_path):
    begun = hang_when_parking(bench)
    thread = threading.Thread(target=lambda: (begun.wait(60), press(signal.SIGINT)()))
    thread.start()
    watcher = Watcher()
    with pytest.raises(KeyboardInterrupt):
        run_scan(info, bench, tmp_path, watcher)
    thread.join()
    assert "not parked: KeyboardInterrupt" in watcher.warnings
    assert len(watcher.frames) == 63
    assert bench.stage.stops == 2, "stopped on the way, too"
    assert bench.stage.position() != FOUND_UM


def test_a_stage_that_hangs_on_its_way_home_is_an_emergency_of_a_whole_scan(
    info, bench, tmp_path
):
    hang_when_parking(bench)
    watcher = Watcher()
    summary, _ = run_scan(info, bench, tmp_path, watcher)
    assert summary.valid == 63
    assert any("not parked: stage: move: expected an answer" in w for w in watcher.warnings)
