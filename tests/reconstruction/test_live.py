"""Live and offline are the same reconstruction."""

import threading

import numpy as np
import pytest
import torch

from acquisition.frame import Frame, FrameLine, Status
from configs.errors import ReconstructionError
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork

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
    for row in range(plan.rows) if rows is None else rows:
        line = [frame for frame in frames if frame.point.row == row]
        if line:
            predictor.consume(FrameLine.of(line, plan.geometry))
    predictor.finish()
    return predictor


class Telling:
    """Tells when a line has been taken."""

    def __init__(self, predictor, row):
        self._predictor = predictor
        self._row = row
        self.told = threading.Event()

    @property
    def mosaic(self):
        return self._predictor.mosaic

    def consume(self, line):
        self._predictor.consume(line)
        if line.row == self._row:
            self.told.set()

    def finish(self):
        self._predictor.finish()


def assert_same(mosaic, expected):
    assert np.array_equal(mosaic.probability, expected.probability, equal_nan=True)
    assert np.array_equal(mosaic.uncertainty, expected.uncertainty, equal_nan=True)
    assert np.array_equal(mosaic.count, expected.count)


def test_live_gives_the_bits_of_offline(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames, small_plan)
    assert np.isfinite(expected.mosaic.probability).all()
    assert_same(live.predictor.mosaic, expected.mosaic)


def test_an_unfinished_line_is_worked_off_at_the_end(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames[:13]:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames[:13], small_plan)
    assert np.isnan(expected.mosaic.probability).any()
    assert_same(live.predictor.mosaic, expected.mosaic)


def test_lines_may_come_in_any_order(predictor, frames, small_plan):
    expected = offline(predictor(), frames, small_plan)
    shuffled = offline(predictor(), frames, small_plan, rows=[3, 0, 6, 1, 5, 2, 4])
    assert_same(shuffled.mosaic, expected.mosaic)


def test_a_snake_is_the_scan_of_a_raster(predictor, frames, small_plan):
    expected = offline(predictor(), frames, small_plan)
    snake = sorted(frames, key=lambda f: (f.point.row, f.point.column * (-1) ** f.point.row))
    assert_same(offline(predictor(), snake, small_plan).mosaic, expected.mosaic)


def test_lines_that_never_come_are_missing_points(scan_predictor, frames, small_plan):
    there = [row for row in range(small_plan.rows) if row != 3]
    gap = offline(scan_predictor(), frames, small_plan, rows=there)
    invalid = [
        Frame(f.point, f.image, f.readback_um, 0.0, 1, Status.INVALID)
        if f.point.row == 3
        else f
        for f in frames
    ]
    assert_same(gap.mosaic, offline(scan_predictor(), invalid, small_plan).mosaic)


def test_lines_are_final_once_those_that_see_them_came(scan_predictor, frames, small_plan):
    growing = scan_predictor()
    complete = offline(scan_predictor(), frames, small_plan).mosaic.probability
    for row in range(small_plan.rows):
        line = [frame for frame in frames if frame.point.row == row]
        growing.consume(FrameLine.of(line, small_plan.geometry))
        probability = growing.mosaic.probability
        final = np.isfinite(probability).all(axis=1)
        # Two blocks that look one line far; the margin is a line of the scan.
        assert final.sum() == np.clip(row - 2, 0, small_plan.rows - 2)
        assert np.array_equal(probability[final], complete[final])


def test_a_first_impression_shows_until_lines_are_final(
    scan_predictor, frame_predictor, frames, small_plan
):
    predictor = Telling(scan_predictor(), small_plan.rows - 1)
    live = LiveReconstruction(predictor, small_plan, frame_predictor())
    impression = offline(frame_predictor(), frames, small_plan).mosaic.probability
    final = offline(scan_predictor(), frames, small_plan).mosaic.probability
    for frame in frames:
        live.add(frame)
    assert predictor.told.wait(60)
    shown = live.probability()
    assert np.array_equal(shown[:3], final[:3])
    assert np.array_equal(shown[-1], impression[-1])
    live.finish()
    assert np.array_equal(live.probability(), final)


def test_invalid_frames_say_nothing(frame_predictor, frames, small_plan):
    result = offline(frame_predictor(), frames, small_plan)
    silent = np.isnan(result.frame_probability).all(axis=(1, 2))
    assert np.flatnonzero(silent).tolist() == [5, 40]


def test_a_failure_ends_the_map_and_is_told(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames[:9]:
        wrong = Frame(frame.point, frame.image[:5], frame.readback_um, 0.0, 1, Status.VALID)
        live.add(wrong)
    for frame in frames[9:]:
        live.add(frame)
    with pytest.raises(ReconstructionError, match=r"live map failed.*the run is safe"):
        live.finish()
