"""Live and offline are the same reconstruction."""

import numpy as np
import pytest
import torch

from acquisition.frame import Frame, Status
from configs.errors import ReconstructionError
from reconstruction.live import LiveReconstruction
from reconstruction.network import Architecture, FrameNetwork
from reconstruction.predictor import FramePredictor


@pytest.fixture
def predictor(small_plan, make_info):
    torch.manual_seed(0)
    network = FrameNetwork(Architecture(3, components=8, width=16, blocks=1)).eval()
    network.requires_grad_(False)
    return lambda: FramePredictor(make_info(small_plan), network, torch.device("cpu"))


@pytest.fixture
def frames(small_plan):
    random = np.random.default_rng(0)
    result = []
    for point in small_plan.points():
        image = random.poisson(300, (64, 64)).astype(np.uint16)
        status = Status.INVALID if point.index in {5, 40} else Status.VALID
        result.append(Frame(point, image, point.target_um, 0.0, 1, status))
    return result


def offline(predictor, frames, plan):
    for row in range(plan.rows):
        line = [f for f in frames if f.point.row == row and f.status is Status.VALID]
        if line:
            predictor.consume(
                np.array([f.point.index for f in line]), np.stack([f.image for f in line])
            )
    return predictor


def test_live_gives_the_bits_of_offline(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames, small_plan)
    assert np.array_equal(live.predictor.mosaic.count, expected.mosaic.count)
    assert np.array_equal(live.probability(), expected.mosaic.probability)


def test_an_unfinished_line_is_worked_off_at_the_end(predictor, frames, small_plan):
    live = LiveReconstruction(predictor(), small_plan)
    for frame in frames[:13]:
        live.add(frame)
    live.finish()
    expected = offline(predictor(), frames[:13], small_plan)
    assert np.array_equal(live.probability(), expected.mosaic.probability, equal_nan=True)


def test_invalid_frames_say_nothing(predictor, frames, small_plan):
    result = offline(predictor(), frames, small_plan)
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
