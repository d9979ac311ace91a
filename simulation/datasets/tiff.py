"""One TIFF file of 8 bit: an image, or a mask of squares."""

import struct
from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from configs.errors import RunStoreError

Pixels = NDArray[np.uint8]

WHITE: Final = 255
# A mask may be a picture, with so many pixels to a square at least.
_PICTURE_PX: Final = 4
# What tifffile raises on damaged files.
_DAMAGE: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
)


def write_image(path: Path, image: Pixels) -> None:
    """Write a grey image, (y, x)."""
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None)


def read_image(path: Path) -> Pixels:
    """Read a square grey image, (y, x); ``RunStoreError`` if it is anything else."""
    try:
        with tifffile.TiffFile(path) as file:
            (page,) = file.pages
            kind, shape = page.dtype, page.shape
            fits = kind == np.uint8 and len(shape) == 2 and shape[0] == shape[1]
            image = np.asarray(page.asarray()) if fits else None
    except _DAMAGE as error:
        raise RunStoreError(
            f"{path}: expected a readable TIFF file of one page, got: {error};"
            " mend or remove it"
        ) from error
    if image is None:
        raise RunStoreError(
            f"{path}: expected a square grey image of 8 bit, got {kind} of shape {shape};"
            " mend or remove it"
        )
    return image


def read_mask(path: Path, grid: int) -> Pixels:
    """Read which squares are open, (grid, grid), 0 or 1.

    The file has a pixel a square, or it is a picture of the squares; open ones are 1, or
    white.
    """
    mask = read_image(path)
    values = set(np.unique(mask).tolist())
    if not (values <= {0, 1} or values <= {0, WHITE}):
        raise RunStoreError(
            f"{path}: expected only 0 and 1, or 0 and {WHITE}, got {sorted(values)[:4]};"
            " mend or remove it"
        )
    side = len(mask)
    if side != grid and side < _PICTURE_PX * grid:
        raise RunStoreError(
            f"{path}: expected {grid} x {grid} squares, or a picture of them with"
            f" {_PICTURE_PX * grid} pixels a side or more, got {side} x {side};"
            " choose the grid of the set"
        )
    middles = (2 * np.arange(grid) + 1) * side // (2 * grid)
    return (mask[np.ix_(middles, middles)] > 0).astype(np.uint8)
