"""Networks read every frame at its place, and are scored on what they read."""

import numpy as np
import pytest
import torch
from torch import nn

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from reconstruction.benchmarking.candidates import Candidate
from reconstruction.benchmarking.evaluation import (
    candidates_of,
    evaluate,
    groups_of,
    mean_accuracy,
    ms_per_frame,
)
from reconstruction.benchmarking.known_scan import KnownScan
from reconstruction.benchmarking.reliability import BINS, Reliability
from reconstruction.mosaic import frame_targets
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork

CPU = torch.device("cpu")


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_every_frame_counts_at_its_place(make_scan, make_candidate, grid):
    scan, told = make_scan(), []
    progress = lambda done, frames: told.append((done, frames))  # noqa: E731
    result = evaluate(make_candidate(grid), scan, CPU, progress=progress)
    qualities = result.frame, result.stitched, result.pooled
    assert [quality.scores.accuracy for quality in qualities] == [1.0] * 3
    assert np.array_equal(result.probability >= 0.5, scan.truth > 0)
    assert (result.frames, result.is_part, result.seed) == (110, False, 7)
    assert told == [(11 * (row + 1), 110) for row in range(10)]
    contrary = evaluate(make_candidate(grid, honesty=-1.0), scan, CPU)
    assert contrary.stitched.scores.accuracy == contrary.frame.scores.accuracy == 0.0
    assert contrary.stitched.reliability.error > 0.99


def test_a_part_is_scored_where_all_its_frames_tell(make_scan, make_candidate):
    scan = make_scan(side=12)
    result = evaluate(make_candidate(3), scan, CPU, part=5)
    assert (result.frames, result.is_part) == (25, True)
    expected = np.zeros_like(result.known)
    # Points 7 to 11, the last that there are: squares 6 to 10, less one at each border but
    # for the sample's end.
    expected[7:10, 7:10] = True
    assert np.array_equal(result.known, expected)
    for quality in (result.stitched, result.pooled):
        assert (quality.reliability.count.sum(), quality.scores.accuracy) == (9, 1.0)
    shown = scan.targets.reshape(12, 13, 7, 7)[7:, 7:12, 2:5, 2:5]
    assert result.frame.reliability.count.sum() == (shown >= 0).sum()
    whole = evaluate(make_candidate(3, honesty=-1.0), scan, CPU)
    assert whole.within(result.known).reliability.count.sum() == 9
    assert evaluate(make_candidate(3), scan, CPU, part=99).is_part is False
    assert ms_per_frame(make_candidate(3), scan, CPU) > 0


def test_frames_that_are_missing_are_left_out(make_scan, make_candidate):
    scan = make_scan(missing=[0, 57, *range(33, 44)])
    result = evaluate(make_candidate(3), scan, CPU)
    assert (result.frames, result.is_part) == (97, False)
    assert result.frame.scores.accuracy == result.stitched.scores.accuracy == 1.0
    there = np.setdiff1d(np.arange(110), [0, 57, *range(33, 44)])
    counted = (scan.targets[there, 2:5, 2:5] >= 0).sum()
    assert result.frame.reliability.count.sum() == counted


def test_unknown_squares_are_left_out(make_scan, make_candidate):
    scan = make_scan()
    scan.truth[:] = 1 - scan.truth
    scan.truth[2:] = -1
    quality = evaluate(make_candidate(), scan, CPU).stitched
    assert quality.scores.accuracy == 0.0
    assert quality.reliability.count.sum() == 2 * scan.truth.shape[1]


def test_whose_results_these_are(make_scan, make_candidate):
    one, other = make_candidate(3), make_candidate(5, honesty=-1.0, name="liar")
    scans = make_scan("Block", 1), make_scan("Block", 2), make_scan("Star", 3)
    results = [evaluate(who, scan, CPU) for who in (one, other) for scan in scans]
    assert candidates_of(results) == [one, other]
    assert groups_of(results) == ["Block", "Star"]
    assert mean_accuracy(results, one, "Block") == 1.0
    assert mean_accuracy(results, other, "Star") == 0.0
    assert mean_accuracy(results, one, "Light") is None


@pytest.fixture
def scan_network():
    torch.manual_seed(0)
    size = ScanArchitecture(image_px=64, components=4, width=8, blocks=2, reach=1)
    network = ScanNetwork(size).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.requires_grad_(False)


class Wide(nn.Module):
    """Says 3 x 3 squares of a frame of 64 px."""

    def forward(self, amplitude):
        return 40 * (amplitude[:, :3, :3] - 0.5)


@pytest.mark.parametrize("grid", [None, 3])
def test_the_map_is_that_of_reconstruct(make_info, scan_network, grid):
    plan = ScanPlan(rows=6, columns=8, centre_um=(0.0, 0.0))
    info, random = make_info(plan), np.random.default_rng(0)
    images = random.integers(100, 4000, (48, 64, 64)).astype(np.uint16)
    off_um = 0.01 * random.standard_normal((48, 2))
    index = np.delete(np.arange(48), [5, 20, 21])  # some are missing
    lines = [
        FrameLine(row, here % 8, images[here], off_um[here])
        for row in range(6)
        if len(here := index[index // 8 == row])
    ]
    if grid is None:
        network, predictor = scan_network, ScanPredictor(info, scan_network, CPU)
    else:
        network = Wide()
        predictor = FramePredictor(info, network, grid, CPU)
    for line in lines:
        predictor.consume(line)
    predictor.finish()
    closed = np.zeros((4, 6), np.int8)
    targets = frame_targets(closed > 0, plan, 7)
    scan = KnownScan("any", 0, info, lines, closed, targets)
    who = Candidate("any", grid, network, 64, False, None, None, None, "nothing")
    result = evaluate(who, scan, CPU)
    assert np.ptp(predictor.squares.probability) > 0.01
    assert np.array_equal(result.probability, predictor.squares.probability)
    assert (result.frame is None, result.is_part) == (grid is None, False)


def test_a_scan_network_is_shown_the_whole(make_scan, make_candidate, make_info, scan_network):
    scan = make_scan()
    small = ScanNetwork(scan_network.architecture.changed(image_px=8)).eval()
    who = Candidate("scan network", None, small, 8, False, None, None, None, "nothing")
    result = evaluate(who, scan, CPU, part=3)
    assert (result.frames, result.is_part) == (110, False)
    assert (result.frame, result.pooled) == (None, None)


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
