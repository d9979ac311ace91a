"""Errors of fabrication: as large as asked for, and the same from the same seed."""

import math

import numpy as np
import pytest
import shapely

from configs.sample import Fabrication
from simulation.fabrication import mill, rounded
from simulation.shapes import boxes, brush_strokes

# Far enough from each other to stay apart.
SQUARES = boxes(np.kron(np.ones((20, 20), bool), [[True, False], [False, False]]), 0.18)


def milled(seed=0, features=SQUARES, **errors):
    """Parts that are open in the end, in the order of the squares."""
    parts = shapely.get_parts(mill(features, Fabrication(**errors), seed))
    x, y = shapely.get_coordinates(shapely.centroid(parts)).T
    return parts[np.lexsort([np.rint(x / 0.36 - 0.25), np.rint(y / 0.36 - 0.25)])]


def centroids(parts):
    return shapely.get_coordinates(shapely.centroid(parts))


def test_without_errors_nothing_changes():
    for features in (SQUARES, brush_strokes(11.52)):
        shape = mill(features, Fabrication(), 0)
        drawn = shapely.union_all(features)
        assert shape.symmetric_difference(drawn).area < 1e-12 * drawn.area


def test_corners_are_rounded_outside_and_inside():
    radius, lost = 0.05, (1 - math.pi / 4) * 0.05**2
    square = rounded(shapely.box(0, 0, 1, 1), radius)
    assert 1 - square.area == pytest.approx(4 * lost, rel=5e-3)
    ell = shapely.Polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    assert 3 - rounded(ell, radius).area == pytest.approx(4 * lost, rel=5e-3)  # 5 less 1
    assert rounded(ell, radius).contains(shapely.Point(1.01, 1.01))


def test_what_is_narrower_than_the_beam_is_lost():
    assert rounded(shapely.box(0, 0, 1, 0.09), 0.05).is_empty
    wall = shapely.union(shapely.box(0, 0, 1, 1), shapely.box(1.05, 0, 2, 1))
    assert rounded(wall, 0.05).contains(shapely.box(0.9, 0.4, 1.1, 0.6))


@pytest.mark.parametrize("overetch_nm", [15.0, -15.0])
def test_overetching_moves_every_edge(overetch_nm):
    areas = shapely.area(milled(overetch_nm=overetch_nm))
    np.testing.assert_allclose(areas, (0.18 + 2 * overetch_nm / 1000) ** 2, rtol=1e-9)


def test_sizes_and_places_jitter_as_asked():
    sides_nm = 1000 * np.sqrt(shapely.area(milled(size_jitter_nm=6.0)))
    assert sides_nm.std() == pytest.approx(12, rel=0.1)  # two edges
    assert sides_nm.mean() == pytest.approx(180, abs=2)
    shifts_nm = 1000 * (centroids(milled(position_jitter_nm=8.0)) - centroids(milled()))
    np.testing.assert_allclose(shifts_nm.std(axis=0), 8, rtol=0.1)
    np.testing.assert_allclose(shifts_nm.mean(axis=0), 0, atol=1.2)
    assert abs(np.corrcoef(shifts_nm.T)[0, 1]) < 0.15


def test_some_squares_are_missing():
    assert len(milled(missing=0.25)) == pytest.approx(300, abs=26)  # three sigma
    assert mill(SQUARES, Fabrication(missing=1.0), 0).is_empty
    assert mill(SQUARES[:0], Fabrication(size_jitter_nm=1.0, corner_radius_nm=9.0), 0).is_empty


def test_a_seed_is_one_outcome_and_errors_do_not_disturb_each_other():
    jitter = {"position_jitter_nm": 8.0}
    once, again, other = (centroids(milled(seed, **jitter)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 0.005
    both = centroids(milled(3, size_jitter_nm=5.0, corner_radius_nm=20.0, **jitter))
    np.testing.assert_allclose(both, once, atol=1e-9)
    few = centroids(milled(3, missing=0.5, **jitter))
    nearest = np.abs(few[:, None] - once).sum(axis=-1).min(axis=1)
    np.testing.assert_allclose(nearest, 0, atol=1e-9)
