"""Open fractions from files: masks and pictures, checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError

Float64 = NDArray[np.float64]


def read_mask(path: Path) -> Float64:
    """Read a PNG (white is open) or NPY mask, (rows, columns), fractions from 0 to 1.

    Raises
    ------
    ConfigError
        If there is no such file, or nothing in it that can be a mask.
    """
    if path.suffix.lower() == ".png":
        return _read_white(path, "PNG or NPY mask")
    if path.suffix.lower() != ".npy":
        raise ConfigError(f"sample: expected a .png or .npy mask, got {str(path)!r}")
    with _readable(path, "PNG or NPY mask"):
        mask = np.load(path, allow_pickle=False)
    return fractions(f"sample {path}", mask)


def read_picture(path: Path) -> Float64:
    """Read a picture, (rows, columns), white 1; what is transparent is closed.

    Raises
    ------
    ConfigError
        If there is no such file, or no picture in it, or a nearly black one.
    """
    return _read_white(path, "picture")


def fractions(source: str, array: NDArray[Any]) -> Float64:
    """Return an array as open fractions; ``ConfigError`` if it is anything else."""
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{source}: expected numbers, got {array.dtype}; save open fractions")
    if array.ndim != 2 or 0 in array.shape:
        raise ConfigError(
            f"{source}: expected an array (rows, columns), got shape {array.shape}"
        )
    if not (array.min() >= 0 and array.max() <= 1):
        raise ConfigError(
            f"{source}: expected open fractions between 0 and 1,"
            f" got {array.min():g} to {array.max():g}"
        )
    return array.astype(np.float64, copy=False)


def _read_white(path: Path, what: str) -> Float64:
    with _readable(path, what):
        picture = _grey(path)
    picture = fractions(f"sample {path}", picture)
    if 0 < picture.max() < 0.1:
        raise ConfigError(
            f"sample {path}: expected white where it is open, the brightest pixel is"
            f" {picture.max():.1%} of white; scale the picture"
        )
    return picture


def _grey(path: Path) -> Float64:
    """Read the grey values of a picture, (rows, columns), as fractions of white."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16 bits
            return np.asarray(image) / 65_535
        if image.has_transparency_data:
            black = Image.new("RGBA", image.size, "black")
            image = Image.alpha_composite(black, image.convert("RGBA"))
        return np.asarray(image.convert("L")) / 255


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Translate whatever goes wrong while a file is read."""
    from PIL import Image

    damaged = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        yield
    except FileNotFoundError:
        raise ConfigError(
            f"sample: no such file {path}; give the path of a {what.split()[-1]}"
        ) from None
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError, *damaged) as error:
        raise ConfigError(
            f"sample: expected a readable {what} in {path}, got: {error}"
        ) from error
