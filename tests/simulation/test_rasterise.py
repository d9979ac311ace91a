"""Areas of cells, against geometry done another way."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import rotate, translate

from simulation.rasterise import covered_area, resample

CELLS, CELL_UM = 12, 0.03
HALF_UM = CELLS * CELL_UM / 2


def grid():
    """The cells themselves, (rows, columns)."""
    edges = np.arange(CELLS + 1) * CELL_UM - HALF_UM
    left, top = np.meshgrid(edges[:-1], edges[:-1])
    return shapely.box(left, top, left + CELL_UM, top + CELL_UM)


def by_intersection(shape):
    return shapely.area(shapely.intersection(grid(), shape)) / CELL_UM**2


@st.composite
def blots(draw):
    """Polygons around a point in or near the grid, with a hole and a second part."""
    number = st.floats(0.05, 1)
    radii = np.array(draw(st.lists(number, min_size=3, max_size=12)))
    x, y = (draw(st.floats(-1.2, 1.2)) * HALF_UM for _ in range(2))
    turn = draw(st.floats(0, 6.28)) + 2 * np.pi * np.arange(len(radii)) / len(radii)
    rim = 1.5 * HALF_UM * radii[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    blot = shapely.Polygon(rim, [rim[::-1] * draw(number) * 0.9])
    return shapely.union(translate(blot, x, y), shapely.box(-0.2, 0.1, -0.1, 0.13))


@given(blots())
def test_every_cell_has_its_part_of_a_shape(blot):
    np.testing.assert_allclose(
        covered_area(blot, CELLS, CELL_UM), by_intersection(blot), atol=1e-9
    )


@given(blots(), st.integers(-3, 3), st.integers(-3, 3))
def test_whole_cells_further_it_is_the_same_shape(blot, right, down):
    still = covered_area(blot, CELLS + 6, CELL_UM)
    moved = covered_area(translate(blot, right * CELL_UM, down * CELL_UM), CELLS + 6, CELL_UM)
    inner = still[3:-3, 3:-3]
    there = moved[3 + down : 3 + down + CELLS, 3 + right : 3 + right + CELLS]
    np.testing.assert_allclose(there, inner, atol=1e-9)


@given(blots(), st.integers(1, 4))
def test_finer_cells_average_to_coarser_ones(blot, n):
    fine = covered_area(blot, CELLS * n, CELL_UM / n)
    coarse = fine.reshape(CELLS, n, CELLS, n).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, covered_area(blot, CELLS, CELL_UM), atol=1e-9)


@pytest.mark.parametrize("cells", [37, 384])
def test_area_of_a_disc(cells):
    disc = shapely.Point(0.011, -0.02).buffer(0.4, quad_segs=256)
    area = covered_area(disc, cells, 1 / cells).sum() / cells**2
    assert area == pytest.approx(disc.area, rel=1e-9)
    assert area == pytest.approx(math.pi * 0.4**2, rel=1e-5)


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 133])
def test_area_of_a_turned_rectangle(degrees):
    rectangle = rotate(shapely.box(-0.1, -0.05, 0.1, 0.03), degrees)
    cells = covered_area(rectangle, CELLS, CELL_UM)
    assert cells.sum() * CELL_UM**2 == pytest.approx(0.2 * 0.08, rel=1e-9)
    np.testing.assert_allclose(cells, by_intersection(rectangle), atol=1e-9)


def test_half_planes_lie_as_the_axes_say():
    left = covered_area(shapely.box(-9, -9, 0.25, 9), 4, 1.0)
    np.testing.assert_array_equal(left, [[1, 1, 0.25, 0]] * 4)
    upper = covered_area(shapely.box(-9, -9, 9, -1.25), 4, 1.0)
    np.testing.assert_array_equal(upper.T, [[0.75, 0, 0, 0]] * 4)


def test_shapes_of_whole_cells_fill_them_exactly():
    open_cells = np.random.default_rng(1).random((CELLS, CELLS)) < 0.4
    shape = shapely.union_all(grid()[open_cells])
    np.testing.assert_array_equal(covered_area(shape, CELLS, CELL_UM), open_cells)
    np.testing.assert_array_equal(covered_area(shapely.Polygon(), 3, 1.0), np.zeros((3, 3)))
    everything = covered_area(shapely.box(-999, -999, 999, 999), 300, 0.02)
    np.testing.assert_array_equal(everything, np.ones((300, 300)))


def test_pictures_are_averaged_over_cells():
    picture = np.random.default_rng(2).random((12, 12))
    np.testing.assert_allclose(resample(picture, 12), picture)
    blocks = picture.reshape(4, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(picture, 4), blocks)
    np.testing.assert_allclose(resample(picture, 5).mean(), picture.mean())
    np.testing.assert_allclose(
        resample(np.array([[1.0, 0, 0]] * 3), 2), [[2 / 3, 0], [2 / 3, 0]]
    )


def test_pictures_keep_their_aspect_and_have_film_around_them():
    np.testing.assert_allclose(
        resample(np.array([[0.2, 0.4, 0.6, 0.8]] * 3), 4),
        np.array([[0.5], [1], [1], [0.5]]) * [0.2, 0.4, 0.6, 0.8],
    )
    np.testing.assert_allclose(resample(np.array([[0.5], [1.0]]), 4)[:, :2].sum(axis=0), [0, 3])
