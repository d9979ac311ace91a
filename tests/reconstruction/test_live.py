"""Live and offline are the same reconstruction."""

import threading
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acquisition.frame import Frame, FrameLine, Status
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from simulation.threads import one_thread

CPU = torch.device("cpu")


@pytest.fixture
def frame_predictor(small_plan, make_info):
    torch.manual_seed(0)
    network = FrameNetwork(FrameArchitecture(components=8, width=16, blocks=1))
    network.eval().requires_grad_(False)
    return lambda: FramePredictor(make_info(small_plan), network, 3, CPU)


@pytest.fixture
def scan_predictor(small_plan, make_info):
    torch.manual_seed(0)
    network = ScanNetwork(ScanArchitecture(components=8, width=16, blocks=2, reach=1))
    network.eval().requires_grad_(False)
    for block in network.blocks:
        torch.nn.init.normal_(block.contract.weight, std=0.3)
    return lambda: ScanPredictor(make_info(small_plan), network, CPU)


@pytest.fixture(params=["frame_predictor", "scan_predictor"])
def predictor(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def frames(small_plan):
    random = np.random.default_rng(0)
    result = []
    for point in small_plan.points():
        image = random.poisson(300, (64, 64)).astype(np.uint16)
        status = Status.INVALID if point.index in {5, 40} else Status.VALID
        readback_um = tuple(np.array(point.target_um) + random.normal(0, 0.01, 2))
        result.append(Frame(point, image, readback_um, 0.0, 1, status))
    return result


def offline(predictor, frames, plan, rows=None):
    """What ``opticalnet.reconstruct`` does with frames, on one thread as that does."""
    with one_thread():
        for row in range(plan.rows) if rows is None else rows:
            line = [frame for frame in frames if frame.point.row == row]
            if line:
                predictor.consume(FrameLine.of(line, plan.geometry))
        predictor.finish()
    return predictor


class Held:
    """A predictor that is held at known places until it is let go."""

    def __init__(self, predictor, *places):
        self._predictor = predictor
        self.there = {place: threading.Event() for place in places}
        self.go = {place: threading.Event() for place in places}

    @property
    def squares(self):
        return self._predictor.squares

    @property
    def device(self):
        return self._predictor.device

    def consume(self, line):
        self._hold(line.row)
        self._predictor.consume(line)

    def finish(self):
        self._hold("finish")
        self._predictor.finish()

    def _hold(self, place):
        if place in self.there:
            self.there[place].set()
            assert self.go[place].wait(60), "somebody waits for what is held"


def assert_same(squares, expected):
    assert np.array_equal(squares.probability, expected.probability, equal_nan=True)
    assert np.array_equal(squares.uncertainty, expected.uncertainty, equal_nan=True)
    assert np.array_equal(squares.count, expected.count)


def test_live_gives_the_bits_of_offline(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames, small_plan)
    assert np.isfinite(expected.squares.probability).all()
    assert_same(live.predictor.squares, expected.squares)


def test_torch_has_its_threads_again(frame_predictor, frames, small_plan):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    held = Held(frame_predictor(), 0)
    live = LiveReconstruction(held, small_plan)
    for frame in frames:
        live.add(frame)
    assert held.there[0].wait(60)
    with one_thread():  # as a simulated instrument does meanwhile
        pass
    held.go[0].set()
    live.finish()
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_frames_may_come_in_any_order(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for index in np.random.default_rng(1).permutation(len(frames)):
        live.add(frames[index])
    live.finish()
    assert_same(live.predictor.squares, offline(predictor(), frames, small_plan).squares)


def test_a_frame_that_never_comes_is_a_missing_point(predictor, frames, small_plan):
    there = [frame for frame in frames if frame.point.index != 31]
    live = LiveReconstruction(predictor(), small_plan)
    for frame in there:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), there, small_plan).squares
    assert expected.count.sum() < offline(predictor(), frames, small_plan).squares.count.sum()
    assert_same(live.predictor.squares, expected)


def test_an_unfinished_line_is_worked_off_at_the_end(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames[:13]:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames[:13], small_plan)
    assert np.isnan(expected.squares.probability).any()
    assert_same(live.predictor.squares, expected.squares)


def test_lines_may_come_in_any_order(predictor, frames, small_plan):
    expected = offline(predictor(), frames, small_plan)
    shuffled = offline(predictor(), frames, small_plan, rows=[3, 0, 6, 1, 5, 2, 4])
    assert_same(shuffled.squares, expected.squares)


def test_a_snake_is_the_scan_of_a_raster(predictor, frames, small_plan):
    expected = offline(predictor(), frames, small_plan)
    snake = sorted(frames, key=lambda f: (f.point.row, f.point.column * (-1) ** f.point.row))
    assert_same(offline(predictor(), snake, small_plan).squares, expected.squares)


def test_lines_that_never_come_are_missing_points(scan_predictor, frames, small_plan):
    there = [row for row in range(small_plan.rows) if row != 3]
    gap = offline(scan_predictor(), frames, small_plan, rows=there)
    invalid = [
        Frame(f.point, f.image, f.readback_um, 0.0, 1, Status.INVALID)
        if f.point.row == 3
        else f
        for f in frames
    ]
    assert_same(gap.squares, offline(scan_predictor(), invalid, small_plan).squares)


def test_lines_are_final_once_those_that_see_them_came(scan_predictor, frames, small_plan):
    growing = scan_predictor()
    complete = offline(scan_predictor(), frames, small_plan).squares.probability
    for row in range(small_plan.rows):
        line = [frame for frame in frames if frame.point.row == row]
        with one_thread():
            growing.consume(FrameLine.of(line, small_plan.geometry))
        probability = growing.squares.probability
        final = np.isfinite(probability).all(axis=1)
        # Two blocks that look one line far; the margin is a line of the scan.
        assert final.sum() == np.clip(row - 2, 0, small_plan.rows - 2)
        assert np.array_equal(probability[final], complete[final])


def test_a_first_impression_shows_until_lines_are_final(
    scan_predictor, frame_predictor, frames, small_plan
):
    held = Held(scan_predictor(), "finish")
    live = LiveReconstruction(held, small_plan, frame_predictor())
    impression = offline(frame_predictor(), frames, small_plan).squares.probability
    final = offline(scan_predictor(), frames, small_plan).squares.probability
    for frame in frames:
        live.add(frame)
    end = threading.Thread(target=live.finish)
    end.start()
    assert held.there["finish"].wait(60)
    shown = live.probability()
    held.go["finish"].set()
    end.join(60)
    assert np.array_equal(shown[:3], final[:3])
    # Its frames came in other batches, which round otherwise.
    np.testing.assert_allclose(shown[-1], impression[-1], atol=1e-5)
    assert np.array_equal(live.probability(), final)


def test_nobody_waits_while_the_network_thinks(
    scan_predictor, frame_predictor, frames, small_plan
):
    held = Held(scan_predictor(), 1)
    live = LiveReconstruction(held, small_plan, frame_predictor())
    columns = small_plan.columns
    for frame in frames[: 2 * columns]:
        live.add(frame)
    assert held.there[1].wait(60)
    before = live.probability()
    for frame in frames[2 * columns :]:
        live.add(frame)
    assert live.probability() is before
    assert np.isfinite(before[0]).all()
    held.go[1].set()
    live.finish()
    assert np.isfinite(live.probability()).all()
    assert np.isnan(before[-1]).all(), "a picture that was taken stays as it was"


def test_a_single_frame_is_shown_at_once(scan_predictor, frame_predictor, frames, small_plan):
    held = Held(frame_predictor(), 2, 4)
    live = LiveReconstruction(scan_predictor(), small_plan, held)
    for row in (2, 4):
        live.add(frames[row * small_plan.columns + 4])
        assert held.there[row].wait(60)
        if row == 4:  # what came before has been shown
            known = np.isfinite(live.probability())
            assert np.argwhere(known).tolist() == [[r, c] for r in range(3) for c in (2, 3, 4)]
        held.go[row].set()
    live.finish()


def test_points_taken_again_are_on_the_map(predictor, frames, small_plan):
    failed = {5, 40}
    again = [replace(frames[index], status=Status.VALID) for index in sorted(failed)]
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames + again:
        live.add(frame)
    live.finish()
    whole = [replace(frame, status=Status.VALID) for frame in frames]
    expected = offline(predictor(), whole, small_plan).squares
    lacking = offline(predictor(), frames, small_plan).squares
    now = live.predictor.squares
    np.testing.assert_allclose(now.probability, expected.probability, atol=1e-5)
    assert np.abs(now.probability - lacking.probability).max() > 1e-3
    assert np.array_equal(now.count, expected.count)


def test_invalid_frames_say_nothing(frame_predictor, frames, small_plan):
    result = offline(frame_predictor(), frames, small_plan)
    silent = np.isnan(result.frame_probability).all(axis=(1, 2))
    assert np.flatnonzero(silent).tolist() == [5, 40]


def test_a_failure_ends_the_map_and_is_told_once(predictor, frames, small_plan):
    said, told = [], threading.Event()

    def warn(text):
        said.append(text)
        told.set()

    live = LiveReconstruction(predictor(), small_plan, warn=warn)
    for frame in frames[:9]:
        wrong = Frame(frame.point, frame.image[:5], frame.readback_um, 0.0, 1, Status.VALID)
        live.add(wrong)
    assert told.wait(60)
    image = frames[9].image.copy()
    kept = weakref.ref(image)
    live.add(Frame(frames[9].point, image, frames[9].readback_um, 0.0, 1, Status.VALID))
    del image
    live.finish()
    assert kept() is None, "frames pile up that nobody will look at"
    assert np.isnan(live.probability()).all()
    (text,) = said
    assert text.startswith("the live map failed: ")
    assert text.endswith("; the run is safe, read it with opticalnet reconstruct")


class Settled:
    """A predictor that hands out the map that it works on."""

    device = CPU

    def __init__(self):
        self.squares = SimpleNamespace(probability=np.zeros((5, 7)))

    def consume(self, line):
        self.squares.probability[:] = line.row

    def finish(self):
        self.squares.probability[:] = 0.5


def test_a_picture_of_the_map_is_not_the_map(frames, small_plan):
    live = LiveReconstruction(Settled(), small_plan)
    before = live.probability()
    for frame in frames:
        live.add(frame)
    live.finish()
    assert (before == 0).all()
    assert (live.probability() == 0.5).all()
    assert not live.probability().flags.writeable
