"""Stitching by equation 4: every frame's squares at their places, whatever the order."""

import numpy as np
import pytest

from acquisition.plan import ScanPlan
from reconstruction.mosaic import Mosaic, frame_targets


def plan_of(rows, columns):
    return ScanPlan(rows=rows, columns=columns, centre_um=(100.0, 100.0))


@pytest.fixture
def predictions():
    plan = plan_of(9, 12)
    random = np.random.default_rng(0)
    return plan, {n: random.random((len(plan), n, n)).astype(np.float32) for n in (3, 5, 7)}


def plainly(plan, probabilities):
    """Equation 4, as it is written: for every square, over every frame."""
    grid = probabilities.shape[-1]
    rows, columns = plan.sample_shape
    collected = [[[] for _ in range(columns)] for _ in range(rows)]
    for point in plan.points():
        for i in range(grid):
            for j in range(grid):
                row = point.row - plan.margin + i - grid // 2
                column = point.column - plan.margin + j - grid // 2
                if 0 <= row < rows and 0 <= column < columns:
                    collected[row][column].append(float(probabilities[point.index, i, j]))
    return collected


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_probability_is_the_mean_over_the_frames_that_cover_a_square(predictions, grid):
    plan, by_grid = predictions
    mosaic = Mosaic(plan, grid)
    mosaic.add(np.arange(len(plan)), by_grid[grid])
    collected = plainly(plan, by_grid[grid])
    for (row, column), count in np.ndenumerate(mosaic.count):
        values = collected[row][column]
        assert count == len(values)
        assert mosaic.probability[row, column] == pytest.approx(np.mean(values), abs=1e-7)
        assert mosaic.uncertainty[row, column] == pytest.approx(np.std(values), abs=1e-3)
    assert mosaic.count.max() == grid**2
    assert np.array_equal(mosaic.is_open, mosaic.probability >= 0.5)


@pytest.mark.parametrize("grid", [3, 7])
def test_pooled_frames_count_by_what_they_know(predictions, grid):
    plan, by_grid = predictions
    mosaic = Mosaic(plan, grid, pooled=True)
    mosaic.add(np.arange(len(plan)), by_grid[grid])
    collected = plainly(plan, by_grid[grid])
    for (row, column), probability in np.ndenumerate(mosaic.probability):
        values = np.array(collected[row][column])
        weights = 1.001 + values * np.log2(values) + (1 - values) * np.log2(1 - values)
        mean = np.average(values, weights=weights)
        assert probability == pytest.approx(mean, abs=1e-5)
        variance = np.average((values - mean) ** 2, weights=weights)
        assert mosaic.uncertainty[row, column] == pytest.approx(np.sqrt(variance), abs=1e-3)


def test_pooled_certainty_outweighs_doubt():
    plan = plan_of(6, 6)
    mosaic = Mosaic(plan, 3, pooled=True)
    doubt = np.full((len(plan) - 1, 3, 3), 0.45, np.float32)
    mosaic.add(np.arange(1, len(plan)), doubt)
    assert not mosaic.is_open.any()
    mosaic.add(np.array([0]), np.ones((1, 3, 3), np.float32))
    assert np.argwhere(mosaic.is_open).tolist() == [[0, 0]]


@pytest.mark.parametrize("pooled", [False, True])
def test_order_and_batches_do_not_change_a_bit(predictions, pooled):
    plan, by_grid = predictions
    together, apart = (Mosaic(plan, 7, pooled=pooled) for _ in range(2))
    together.add(np.arange(len(plan)), by_grid[7])
    for index in np.random.default_rng(1).permutation(len(plan)):
        apart.add(np.array([index]), by_grid[7][[index]])
    assert np.array_equal(together.probability, apart.probability)
    assert np.array_equal(together.uncertainty, apart.uncertainty)


def test_what_no_frame_covers_is_unknown(predictions):
    plan, by_grid = predictions
    mosaic = Mosaic(plan, 3)
    assert np.isnan(mosaic.probability).all()
    assert not mosaic.is_open.any()
    corner = plan.point(1, 1).index
    mosaic.add(np.array([corner]), by_grid[3][[corner]])
    known = np.isfinite(mosaic.probability)
    assert np.argwhere(known).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    # The frame over square (0, 0) has it in the middle of its 3 x 3.
    assert mosaic.probability[0, 0] == pytest.approx(by_grid[3][corner, 1, 1])
    assert mosaic.probability[1, 0] == pytest.approx(by_grid[3][corner, 2, 1])


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_perfect_predictions_give_the_truth(grid):
    plan = plan_of(10, 14)
    truth = np.random.default_rng(2).random(plan.sample_shape) < 0.4
    targets = frame_targets(truth, plan, grid)
    assert targets.shape == (len(plan), grid, grid)
    mosaic = Mosaic(plan, grid)
    mosaic.add(np.arange(len(plan)), np.maximum(targets, 0).astype(np.float32))
    assert np.array_equal(mosaic.is_open, truth)
    assert mosaic.uncertainty.max() == 0


def test_targets_off_the_sample_are_marked():
    plan = plan_of(6, 6)
    targets = frame_targets(np.ones(plan.sample_shape, bool), plan, 3)
    assert targets[plan.point(0, 0).index].tolist() == [[-1] * 3, [-1] * 3, [-1, -1, 1]]
    assert (targets[plan.point(2, 2).index] == 1).all()
