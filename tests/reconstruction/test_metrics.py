"""Scores, with the constant prediction beside them."""

import numpy as np
import pytest

from reconstruction.metrics import score


def test_scores_of_a_known_confusion():
    # 4 right open, 1 missed, 2 falsely open, 3 right closed
    truth = np.array([1] * 5 + [0] * 5)
    probability = np.array([0.9] * 4 + [0.1] + [0.5, 0.8] + [0.4] * 3)
    scores = score(probability, truth)
    assert scores.accuracy == pytest.approx(0.7)
    assert scores.balanced_accuracy == pytest.approx((4 / 5 + 3 / 5) / 2)
    assert scores.f1 == pytest.approx((8 / 11 + 6 / 9) / 2)
    assert scores.jaccard == pytest.approx((4 / 7 + 3 / 6) / 2)
    assert scores.constant_accuracy == 0.5


def test_constant_prediction_scores_its_share():
    truth = np.array([0] * 13 + [1] * 7)
    scores = score(np.zeros(20), truth)
    assert scores.accuracy == scores.constant_accuracy == pytest.approx(0.65)
    assert scores.balanced_accuracy == pytest.approx(0.5)
    assert score(np.ones(20), truth).constant_accuracy == pytest.approx(0.65)


def test_what_was_not_predicted_or_is_unknown_is_not_scored():
    assert score(np.array([np.nan, 0.9]), np.array([1, 1])).accuracy == 1
    assert score(np.array([0.1, 0.9]), np.array([-1, 1])).accuracy == 1
