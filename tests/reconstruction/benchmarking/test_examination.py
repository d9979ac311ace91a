"""Networks read every frame at its place, and are scored on what they read."""

import numpy as np
import pytest
import torch

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from reconstruction.amplitude import relative_amplitude
from reconstruction.benchmarking.contenders import Contender
from reconstruction.benchmarking.examination import Exam, examine, ms_per_frame
from reconstruction.benchmarking.reliability import BINS, Reliability
from reconstruction.mosaic import frame_targets
from reconstruction.predictor import ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork

CPU = torch.device("cpu")


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_every_frame_counts_at_its_place(make_exam, make_contender, grid):
    exam, told = make_exam(), []
    progress = lambda done, frames: told.append((done, frames))  # noqa: E731
    result = examine(make_contender(grid), exam, CPU, progress=progress)
    assert (result.frame.scores.accuracy, result.stitched.scores.accuracy) == (1.0, 1.0)
    assert np.array_equal(result.probability >= 0.5, exam.truth > 0)
    assert (result.frames, result.is_part, result.seed) == (110, False, 7)
    assert told == [(55, 110), (110, 110)]
    contrary = examine(make_contender(grid, honesty=-1.0), exam, CPU)
    assert contrary.stitched.scores.accuracy == contrary.frame.scores.accuracy == 0.0
    assert contrary.stitched.reliability.error > 0.99


def test_a_part_is_scored_where_all_its_frames_tell(make_exam, make_contender):
    exam = make_exam(side=12)
    result = examine(make_contender(3), exam, CPU, part=5)
    assert (result.frames, result.is_part) == (25, True)
    expected = np.zeros_like(result.known)
    # Points 7 to 11, the last that there are: squares 6 to 10, less one at each border but
    # for the sample's end.
    expected[7:10, 7:10] = True
    assert np.array_equal(result.known, expected)
    assert result.stitched.reliability.count.sum() == 9
    assert (
        result.frame.reliability.count.sum()
        == (exam.targets[exam.part(5), 2:5, 2:5] >= 0).sum()
    )
    whole = examine(make_contender(3, honesty=-1.0), exam, CPU)
    assert whole.within(result.known).reliability.count.sum() == 9
    assert examine(make_contender(3), exam, CPU, part=99).is_part is False
    assert ms_per_frame(make_contender(3), exam, CPU) > 0


def test_unknown_squares_are_left_out(make_exam, make_contender):
    exam = make_exam()
    exam.truth[:] = 1 - exam.truth
    exam.truth[2:] = -1
    verdict = examine(make_contender(), exam, CPU).stitched
    assert verdict.scores.accuracy == 0.0
    assert verdict.reliability.count.sum() == 2 * exam.truth.shape[1]


def test_a_scan_network_says_what_reconstruct_says(make_info):
    torch.manual_seed(0)
    size = ScanArchitecture(image_px=64, components=4, width=8, blocks=2, reach=1)
    network = ScanNetwork(size).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    plan = ScanPlan(rows=6, columns=8, centre_um=(0.0, 0.0))
    info = make_info(plan)
    random = np.random.default_rng(0)
    images = random.integers(100, 4000, (48, 64, 64)).astype(np.uint16)
    off_um = 0.01 * random.standard_normal((48, 2))
    index = np.delete(np.arange(48), [5, 20, 21])  # some are missing
    predictor = ScanPredictor(info, network, CPU)
    for row in range(6):
        here = index[index // 8 == row]
        predictor.consume(FrameLine(row, here % 8, images[here], off_um[here]))
    predictor.finish()
    sensor = info.instrument.camera.sensor
    exam = Exam(
        group="any",
        seed=0,
        plan=plan,
        index=index,
        images=images[index],
        off_um=off_um[index],
        open_peak_e=2000.0,
        amplitude=lambda adu: relative_amplitude(adu, sensor, 2000.0),
        truth=np.zeros((4, 6), np.int8),
        targets=frame_targets(np.zeros((4, 6), np.bool_), plan, 7)[index],
    )
    scan = Contender("scan network", None, network, 64, False, None, None, "nothing")
    result = examine(scan, exam, CPU, part=3)
    assert (result.frame, result.is_part) == (None, False)
    expected = predictor.mosaic.probability
    assert np.ptp(expected) > 0.01
    assert np.allclose(result.probability, expected, atol=1e-5)


def test_calibration_error_by_hand():
    probability = np.array([0.01, 0.03, 0.5, 0.5, 1.0, np.nan, 0.9])
    truth = np.array([0, 1, 1, 0, 1, 1, -1], np.int8)
    reliability = Reliability.of(probability, truth)
    assert reliability.count[[0, BINS // 2, -1]].tolist() == [2, 2, 1]
    assert reliability.error == pytest.approx((abs(0.04 - 1) + abs(1 - 1) + 0) / 5)
    assert (reliability + reliability).error == pytest.approx(reliability.error)


def test_probabilities_that_are_drawn_from_are_calibrated():
    random = np.random.default_rng(0)
    probability = random.random(100_000)
    truth = (random.random(100_000) < probability).astype(np.int8)
    assert Reliability.of(probability, truth).error < 0.01
    assert Reliability.of(probability**2, truth).error > 0.1
