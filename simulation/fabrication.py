"""What a focused ion beam makes of a drawing: every feature a little elsewhere and rounder."""

from typing import Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from configs.sample import Fabrication
from simulation.shapes import Features

_QUARTER: Final = 32  # chords of a quarter turn: 3e-4 of the radius


def mill(features: Features, errors: Fabrication, seed: int) -> BaseGeometry:
    """Mill features one by one, in micrometres, and return what is open in the end.

    The same seed moves the same features, whichever other errors are switched on.
    """
    random = np.random.default_rng([seed, 1])  # not the one that drew the features
    kept = random.random(len(features)) >= errors.missing
    shift_nm = errors.position_jitter_nm * random.standard_normal((len(features), 2))
    growth_nm = errors.overetch_nm + errors.size_jitter_nm * random.standard_normal(
        len(features)
    )
    grown = shapely.buffer(features, growth_nm / 1000, join_style="mitre")
    points, feature = shapely.get_coordinates(grown, return_index=True)
    milled = shapely.set_coordinates(grown, points + shift_nm[feature] / 1000)
    return rounded(shapely.union_all(milled[kept]), errors.corner_radius_nm / 1000)


def rounded(shape: BaseGeometry, radius_um: float) -> BaseGeometry:
    """Round convex corners, then concave ones: morphological opening, then closing.

    A square corner loses (1 - pi / 4) of the square of the radius.
    """
    opened = shape.buffer(-radius_um, quad_segs=_QUARTER).buffer(radius_um, quad_segs=_QUARTER)
    return opened.buffer(radius_um, quad_segs=_QUARTER).buffer(-radius_um, quad_segs=_QUARTER)
