"""Drawings: what was asked for, the right way up."""

import math

import numpy as np
import pytest
import shapely

from configs.errors import ConfigError
from simulation import shapes
from simulation.rasterise import covered_area

SIDE_UM = 64 * 0.18


def drawn(features, cells=384):
    return covered_area(shapely.union_all(features), cells, SIDE_UM / cells)


def is_open(features, x, y):
    return shapely.contains_xy(shapely.union_all(features), x, y)


def test_star_is_half_open_everywhere_within_its_radius():
    wedges = shapes.star(36, 5.58, 0.0, (0.0, 0.0))
    assert len(wedges) == 36
    assert shapely.union_all(wedges).area == pytest.approx(math.pi * 5.58**2 / 2, rel=1e-4)
    x, y = shapely.get_coordinates(wedges).T
    assert np.hypot(x, y).max() == pytest.approx(5.58, rel=1e-12)


@pytest.mark.parametrize(("rotation_deg", "centre_um"), [(0.0, (0.0, 0.0)), (2.0, (1.0, -0.5))])
def test_star_turns_from_x_to_y_around_its_centre(rotation_deg, centre_um):
    wedges = shapes.star(5, 2.0, rotation_deg, centre_um)
    degrees = np.arange(0.5, 360)
    turn, radius = np.radians(degrees + rotation_deg), np.array([[0.1], [1.9]])
    x, y = centre_um[0] + radius * np.cos(turn), centre_um[1] + radius * np.sin(turn)
    np.testing.assert_array_equal(is_open(wedges, x, y), [degrees % 72 < 36] * 2)


def test_star_is_what_its_formula_says():
    points = 64 * 40
    axis = (np.arange(points) + 0.5) * SIDE_UM / points - SIDE_UM / 2
    x, y = axis[None, :], axis[:, None]
    inside = (np.arctan2(y, x) * 36 / (2 * np.pi) % 1 < 0.5) & (np.hypot(x, y) <= 31 * 0.18)
    sampled = inside.reshape(64, 40, 64, 40).mean(axis=(1, 3))
    star = drawn(shapes.star(36, 31 * 0.18, 0.0, (0.0, 0.0)), 64)
    assert np.abs(star - sampled).max() < 0.02
    assert np.abs(star - sampled).mean() < 5e-4


@pytest.mark.parametrize(
    ("period_um", "duty", "degrees"), [(0.72, 0.5, 0), (0.6, 0.25, 30), (1, 0.8, -70)]
)
def test_bars_repeat_along_their_direction(period_um, duty, degrees):
    bars = shapes.bars(period_um, duty, degrees, SIDE_UM)
    assert drawn(bars).mean() == pytest.approx(duty, abs=0.02)
    across = np.random.default_rng(0).uniform(-4, 4, 500)
    along = np.random.default_rng(1).uniform(-4, 4, 500)
    turn = math.radians(degrees)
    x = across * math.cos(turn) - along * math.sin(turn)
    y = across * math.sin(turn) + along * math.cos(turn)
    expected = np.abs((across / period_um + 0.5) % 1 - 0.5) < duty / 2
    np.testing.assert_array_equal(is_open(bars, x, y), expected)


@pytest.mark.parametrize("degrees", [0, 45, 90])
def test_bars_fill_the_field_to_its_corners(degrees):
    corner = shapely.box(*(sign * SIDE_UM / 2 for sign in (1, 1, 0.9, 0.9)))
    bars = shapely.union_all(shapes.bars(0.3, 0.5, degrees, SIDE_UM))
    assert bars.intersection(corner).area / corner.area == pytest.approx(0.5, abs=0.2)


def test_finders_stand_in_three_corners():
    code = shapes.qr_modules(29, 3)
    middle = [True, False, True, True, True, False, True]  # 1:1:3:1:1
    for line in (code[3, :7], code[3, -7:], code[-4, :7], code[:7, 3], code[-7:, 3]):
        np.testing.assert_array_equal(line, middle)
    for empty in (code[7, :8], code[:8, 7], code[7, -8:], code[:8, -8], code[-8, :8]):
        assert not empty.any()
    assert not np.array_equal(code[-7:, -7:], code[:7, :7])
    rest = code[8:-8, 8:-8]
    assert rest.mean() == pytest.approx(0.5, abs=0.1)
    assert np.array_equal(code, shapes.qr_modules(29, 3))
    assert not np.array_equal(rest, shapes.qr_modules(29, 4)[8:-8, 8:-8])


def test_boxes_lie_where_their_elements_are():
    elements = np.zeros((64, 64), bool)
    elements[3, 50] = elements[3, 51] = elements[60, 2] = True
    np.testing.assert_array_equal(drawn(shapes.boxes(elements, 0.18), 64), elements)


def test_strokes_are_as_wide_as_the_brush():
    strokes = shapes.brush_strokes(SIDE_UM)
    assert len(strokes) == len(shapes._STROKES)
    for stroke, (points, widths) in zip(strokes, shapes._STROKES, strict=True):
        for t in (0.0, 0.3, 0.5, 0.7, 1.0):
            blend = np.array([(1 - t) ** 2, 2 * t * (1 - t), t**2])
            middle = shapely.Point(blend @ points * SIDE_UM)
            to_edge = stroke.exterior.distance(middle)
            assert stroke.contains(middle)
            assert to_edge == pytest.approx(blend @ widths / 2 * SIDE_UM, rel=0.02)


def test_letters_stand_upright_and_fill_the_width():
    outline = shapes.letters("FL", 8.0)
    left, top, right, bottom = shapely.union_all(outline).bounds
    assert (left, right) == pytest.approx((-4, 4))
    assert top == pytest.approx(-bottom)
    f, ell = sorted(outline, key=lambda part: part.centroid.x)
    assert f.centroid.y < 0 < ell.centroid.y  # bars of F up, foot of L down; y is down
    assert f.centroid.x < (f.bounds[0] + f.bounds[2]) / 2  # stems on the left


@pytest.mark.parametrize(
    ("text", "parts", "holes"),
    [
        ("O", 1, 1),
        ("i", 2, 0),
        ("B8", 2, 4),
        ("©", 2, 1),
        ("ç", 1, 0),
        ("ơ", 1, 1),
        ("ק", 2, 0),
    ],
)
def test_letters_have_their_parts_and_holes(text, parts, holes):
    outline = shapes.letters(text, 5.0)
    assert len(outline) == parts
    assert sum(shapely.get_num_interior_rings(outline)) == holes
    assert shapely.is_valid(outline).all()


def test_dollars_are_no_mathematics():
    assert len(shapes.letters("$x$", 5.0)) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\n", r"DejaVu Sans, got '\\n'"),
        ("\U0001f600\u4e00", "DejaVu"),
        ("  ", "leave a mark"),
    ],
)
def test_text_that_cannot_be_drawn_is_refused(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        shapes.letters(text, 5.0)
