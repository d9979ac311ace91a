"""What lies under the beam: a film with openings, as covered area per square.

Shapes are drawn continuously and then turned into the fraction of every square
that is milled; a square counts as open where that is at least one half.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError

Float64 = NDArray[np.float64]

DEFAULT_SQUARES: Final = 64
PITCH_NM: Final = 180.0
_POINTS_PER_SQUARE: Final = 24


@dataclass(frozen=True, slots=True)
class Sample:
    """A film of squares.

    Attributes
    ----------
    name
        What the user called it.
    coverage
        (rows, columns), milled fraction of each square; row down = +y.
    """

    name: str
    coverage: Float64


def load_sample(name: str, *, density: float = 0.35, seed: int = 0) -> Sample:
    """Draw the sample called ``ss``, ``light`` or ``block``, or read a mask file.

    Parameters
    ----------
    name
        One of the three, or the path of a PNG (white is open) or NPY (rows,
        columns; open fraction between 0 and 1) file.
    density, seed
        Fraction of open squares of ``block``, and its seed.

    Raises
    ------
    ConfigError
        If the name is no sample and no readable mask.
    """
    if name == "ss":
        return Sample(name, siemens_star())
    if name == "light":
        return Sample(name, brush_glyph())
    if name == "block":
        return Sample(f"block, density {density:g}", random_squares(density=density, seed=seed))
    path = Path(name)
    if path.suffix.lower() not in {".png", ".npy"}:
        raise ConfigError(
            "sample: expected ss, light, block or the path of a .png or .npy mask,"
            f" got {name!r}"
        )
    return Sample(path.stem, _read_mask(path))


def random_squares(
    *, squares: int = DEFAULT_SQUARES, density: float = 0.35, seed: int = 0
) -> Float64:
    """Open squares at random places, (squares, squares)."""
    if not 0 <= density <= 1:
        raise ConfigError(f"density: expected a fraction between 0 and 1, got {density}")
    return (np.random.default_rng(seed).random((squares, squares)) < density).astype(np.float64)


def siemens_star(
    *,
    squares: int = DEFAULT_SQUARES,
    spokes: int = 36,
    radius: float = 31.0,
) -> Float64:
    """Draw a star of ``spokes`` open wedges, (squares, squares); lengths in squares."""

    def is_open(x: Float64, y: Float64) -> NDArray[np.bool_]:
        phase = np.arctan2(y, x) * spokes / (2 * np.pi)
        wedge: NDArray[np.bool_] = (phase % 1 < 0.5) & (np.hypot(x, y) <= radius)
        return wedge

    return covered_area(is_open, squares)


def covered_area(
    is_open: Callable[[Float64, Float64], NDArray[np.bool_]], squares: int
) -> Float64:
    """Fraction of each square inside a shape, (squares, squares).

    Parameters
    ----------
    is_open
        Says for points (x, y), in squares from the centre, whether they are
        inside. Sampled at 24 x 24 points a square: error about 0.01.
    squares
        Side of the result.
    """
    points = squares * _POINTS_PER_SQUARE
    axis = (np.arange(points) + 0.5) / _POINTS_PER_SQUARE - squares / 2
    inside = is_open(axis[None, :], axis[:, None])
    blocks = inside.reshape(squares, _POINTS_PER_SQUARE, squares, _POINTS_PER_SQUARE)
    area: Float64 = blocks.mean(axis=(1, 3))
    return area


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


def brush_glyph(*, squares: int = DEFAULT_SQUARES) -> Float64:
    """Draw a glyph of curved, tapering brush strokes, (squares, squares)."""

    def is_open(x: Float64, y: Float64) -> NDArray[np.bool_]:
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
        for points, widths in _STROKES:
            for t in np.linspace(0, 1, 161):
                blend = np.array([(1 - t) ** 2, 2 * t * (1 - t), t**2])
                px, py = blend @ np.array(points) * squares
                radius = blend @ np.array(widths) / 2 * squares
                rows = slice(*np.searchsorted(y[:, 0], (py - radius, py + radius)))
                columns = slice(*np.searchsorted(x[0], (px - radius, px + radius)))
                disc = np.hypot(x[:, columns] - px, y[rows] - py) <= radius
                inside[rows, columns] |= disc
        return inside

    return covered_area(is_open, squares)


def _read_mask(path: Path) -> Float64:
    from PIL import Image, UnidentifiedImageError

    damaged = (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    )
    try:
        if path.suffix.lower() == ".png":
            with Image.open(path) as image:
                sixteen_bit = image.mode.startswith("I")
                pixels = np.asarray(image if sixteen_bit else image.convert("L"))
            mask = pixels / (65_535 if sixteen_bit else 255)
        else:
            mask = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ConfigError(f"sample: no such file {path}; give the path of a mask") from None
    except (OSError, ValueError, EOFError, MemoryError, *damaged) as error:
        raise ConfigError(
            f"sample: expected a readable PNG or NPY mask in {path}, got: {error}"
        ) from error
    if mask.dtype.kind not in "biuf":
        raise ConfigError(
            f"sample {path}: expected numbers, got {mask.dtype}; save open fractions"
        )
    mask = mask.astype(np.float64)
    if mask.ndim != 2 or 0 in mask.shape:
        raise ConfigError(
            f"sample {path}: expected an array (rows, columns), got shape {mask.shape}"
        )
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ConfigError(
            f"sample {path}: expected open fractions between 0 and 1,"
            f" got {mask.min():g} to {mask.max():g}"
        )
    if path.suffix.lower() == ".png" and 0 < mask.max() < 0.1:
        raise ConfigError(
            f"sample {path}: expected white where it is open, the brightest pixel is"
            f" {mask.max():.1%} of white; scale the picture"
        )
    return mask
