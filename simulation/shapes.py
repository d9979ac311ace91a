"""Drawings as milled features: polygons in micrometres, x right and y down.

Every function returns an array of the features that a beam mills one by one; they
may touch and overlap. The origin is the centre of the field.
"""

import math
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from configs.errors import ConfigError

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Features = NDArray[np.object_]

_CHORD_ERROR_UM: Final = 5e-5
_FINDER: Final = 7


def star(
    spokes: int, radius_um: float, rotation_deg: float, centre_um: tuple[float, float]
) -> Features:
    """Return the wedges of a Siemens star; the first begins at the angle of rotation."""
    width = math.pi / spokes
    arcs = math.ceil(width * math.sqrt(radius_um / (8 * _CHORD_ERROR_UM)))
    begins = math.radians(rotation_deg) + 2 * width * np.arange(spokes)
    angle = begins[:, None] + width * np.linspace(0, 1, arcs + 1)  # (spokes, points)
    rim = radius_um * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    wedges = np.concatenate([np.zeros((spokes, 1, 2)), rim], axis=1) + centre_um
    return np.asarray(shapely.polygons(wedges))


def bars(period_um: float, duty: float, angle_deg: float, side_um: float) -> Features:
    """Return bars across a direction, one in the centre, enough to fill a field."""
    reach = side_um / math.sqrt(2) + period_um
    count = math.floor(reach / period_um)
    middle = period_um * np.arange(-count, count + 1)
    half = period_um * duty / 2
    ends = np.full(middle.shape, reach)
    upright = shapely.box(middle - half, -ends, middle + half, ends)
    angle = math.radians(angle_deg)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned: Features = shapely.transform(upright, lambda points: points @ turn)
    return turned


def random_squares(squares: int, density: float, seed: int) -> Bool:
    """Draw which squares of a field are open, (squares, squares)."""
    return np.random.default_rng(seed).random((squares, squares)) < density


def qr_modules(modules: int, seed: int) -> Bool:
    """Draw which modules of a QR-like pattern are open, (modules, modules)."""
    code = random_squares(modules, 0.5, seed)
    ring = np.abs(np.arange(_FINDER) - _FINDER // 2)
    ring = np.maximum(ring, ring[:, None])  # distance from the middle of a finder
    finder = np.pad(ring != 2, (0, 1))  # with the empty line on its inner sides
    side = len(finder)
    code[:side, :side] = finder
    code[:side, -side:] = finder[:, ::-1]
    code[-side:, :side] = finder[::-1]
    return code


def boxes(is_open: Bool, pitch_um: float) -> Features:
    """Return a square for every open element of a centred grid, (rows, columns)."""
    rows, columns = is_open.shape
    y, x = np.nonzero(is_open)
    left, top = x - columns / 2, y - rows / 2
    corners = np.stack([left, top, left + 1, top + 1]) * pitch_um
    return np.asarray(shapely.box(*corners))


# Brush strokes of the glyph 'light': quadratic Bezier curves as three points
# (x, y), and the width of the brush at their beginning, middle and end. The unit
# is the side of the field, the origin its centre.
_STROKES: Final = (
    (((0.00, -0.44), (0.03, -0.27), (0.00, -0.09)), (0.030, 0.095, 0.060)),
    (((-0.30, -0.35), (-0.21, -0.29), (-0.17, -0.16)), (0.020, 0.075, 0.085)),
    (((0.31, -0.37), (0.25, -0.26), (0.14, -0.17)), (0.095, 0.070, 0.012)),
    (((-0.43, -0.03), (-0.02, -0.12), (0.44, -0.05)), (0.060, 0.050, 0.095)),
    (((-0.10, -0.06), (-0.09, 0.26), (-0.42, 0.43)), (0.085, 0.080, 0.010)),
    (((0.10, -0.07), (0.06, 0.24), (0.12, 0.35)), (0.070, 0.080, 0.085)),
    (((0.11, 0.34), (0.22, 0.43), (0.40, 0.36)), (0.085, 0.080, 0.070)),
    (((0.39, 0.38), (0.44, 0.30), (0.43, 0.17)), (0.085, 0.050, 0.008)),
)


def brush_strokes(side_um: float) -> Features:
    """Return the strokes of the glyph 'light', curved and tapering."""
    strokes = [_stroke(side_um * np.array(p), side_um * np.array(w)) for p, w in _STROKES]
    return np.array(strokes, dtype=np.object_)


def _stroke(points_um: Float64, widths_um: Float64) -> BaseGeometry:
    """Sweep a round brush along a curve."""
    t = np.linspace(0, 1, 49)
    blend = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    discs = shapely.buffer(shapely.points(blend @ points_um), blend @ widths_um / 2)
    neighbours = shapely.geometrycollections(np.stack([discs[:-1], discs[1:]], axis=1))
    return shapely.union_all(shapely.convex_hull(neighbours))


def letters(text: str, side_um: float) -> Features:
    """Return the outlines of a line of text, as large as fits into a centred square.

    Raises
    ------
    ConfigError
        If the font, DejaVu Sans, lacks a character, or nothing is drawn.
    """
    contours = _contours(text)
    # Winding by winding: a contour against the sense of what surrounds it is a hole.
    drawn: BaseGeometry = shapely.Polygon()
    for contour in sorted(contours, key=shapely.area, reverse=True):
        adds = shapely.is_ccw(contour.exterior)
        drawn = drawn.union(contour) if adds else drawn.symmetric_difference(contour)
    if drawn.is_empty:
        raise ConfigError(f"text: expected characters that leave a mark, got {text!r}")
    left, top, right, bottom = drawn.bounds
    scale = side_um / max(right - left, bottom - top)
    centre = np.array([left + right, top + bottom]) / 2
    return shapely.get_parts(shapely.transform(drawn, lambda xy: (xy - centre) * scale))


def _contours(text: str) -> list[shapely.Polygon]:
    """Contours of a line of text in any unit, y down; outer ones turn from y to x."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.path import Path
    from matplotlib.textpath import text_to_path
    from matplotlib.transforms import Affine2D

    font = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    unknown = sorted(set(text) - {chr(code) for code in get_font(font).get_charmap()})
    if unknown:
        raise ConfigError(f"text: expected characters of DejaVu Sans, got {unknown[0]!r}")
    points, codes = text_to_path.get_text_path(FontProperties(fname=font), text)
    outline = Path(np.asarray(points), np.asarray(codes))
    # Curves become chords good to a fraction of a unit: make the unit small.
    small = outline.transformed(Affine2D().scale(100, -100))
    return [shapely.Polygon(np.asarray(contour)) for contour in small.to_polygons()]
