"""What lies under the beam: a film with openings, as the milled fraction of every cell.

Shapes are drawn as polygons and turned into exact areas; a square counts as open where
at least one half of it is milled.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.geometry import SQUARE_NM, SQUARE_UM
from configs.sample import (
    AnySample,
    Block,
    Drawing,
    Grating,
    Light,
    Mask,
    Picture,
    Qr,
    SampleConfig,
    Star,
    Text,
    pinned,
    read_sample,
)
from simulation import shapes
from simulation.fabrication import mill
from simulation.masks import fractions, read_mask, read_picture
from simulation.rasterise import covered_area, resample

Float64 = NDArray[np.float64]

_NAMED: Final[dict[str, Drawing]] = {
    "ss": Star(),
    "light": Light(),
    "grating": Grating(),
    "qr": Qr(),
}


@dataclass(frozen=True)
class Sample:
    """A film of squares, each of n x n cells.

    Attributes
    ----------
    name
        What the user called it.
    cells
        (rows * n, columns * n), milled fraction of each cell; row down = +y.
    cells_per_square
        n.
    config
        What it was made from, the checksum of a file included; ``None`` if by hand.
    """

    name: str
    cells: Float64
    cells_per_square: int = 1
    config: AnySample | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", fractions(f"sample {self.name}", self.cells))
        if any(side % self.cells_per_square for side in self.cells.shape):
            raise ConfigError(
                f"sample {self.name}: expected whole squares of {self.cells_per_square} x"
                f" {self.cells_per_square} cells, got {self.cells.shape}; pad with film"
            )

    @property
    def cell_nm(self) -> float:
        """Side of a cell."""
        return SQUARE_NM / self.cells_per_square

    @cached_property
    def coverage(self) -> Float64:
        """(rows, columns), milled fraction of each square."""
        n = self.cells_per_square
        rows, columns = (side // n for side in self.cells.shape)
        coverage: Float64 = self.cells.reshape(rows, n, columns, n).mean(axis=(1, 3))
        return coverage

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """(rows, columns), true where at least half of a square is milled."""
        is_open: NDArray[np.bool_] = self.coverage >= 0.5
        return is_open


def load_sample(name: str, *, density: float = 0.35, seed: int = 0) -> Sample:
    """Make the sample that a name or a file stands for.

    Parameters
    ----------
    name
        ``ss`` (Siemens star), ``light``, ``block``, ``grating`` or ``qr``, as they are by
        default; or the path of a PNG (white is open) or NPY (rows, columns; open
        fraction between 0 and 1) file with one value per square; or that of a TOML
        file with a sample of any kind.
    density, seed
        Fraction of open squares of ``block``; seed of whatever is random.

    Raises
    ------
    ConfigError
        If the name is no sample and no readable file of one.
    """
    if name in _NAMED:
        return replace(make_sample(_NAMED[name], seed), name=name)
    if name == "block":
        if not 0 <= density <= 1:
            raise ConfigError(f"density: expected a fraction between 0 and 1, got {density}")
        block = make_sample(Block(density=density), seed)
        return replace(block, name=f"block, density {density:g}")
    path = Path(name)
    if path.suffix.lower() == ".toml":
        return replace(make_sample(read_sample(path), seed), name=path.stem)
    if path.suffix.lower() not in {".png", ".npy"}:
        raise ConfigError(
            "sample: expected ss, light, block, grating, qr, or the path of a .png or .npy"
            f" mask or a .toml sample, got {name!r}"
        )
    return make_sample(Mask(path=name), seed)


def make_sample(config: SampleConfig, seed: int) -> Sample:
    """Make a sample; ``seed`` is that of squares, modules and errors of fabrication.

    Raises
    ------
    ConfigError
        If a file cannot be read or is another one than the configuration says, or a text
        cannot be drawn.
    """
    name = Path(config.path).stem if isinstance(config, Picture | Mask) else config.kind
    cells = _cells(config, seed)
    return Sample(name, cells, config.cells_per_square, pinned(config))


def _cells(config: AnySample, seed: int) -> Float64:
    n = config.cells_per_square
    match config:
        case Mask(path=path):
            return read_mask(Path(path))
        case Picture(path=path):
            return resample(read_picture(Path(path)), config.squares * n)
        case Block(fabrication=None):
            is_open = shapes.random_squares(config.squares, config.density, seed)
            return is_open.repeat(n, axis=0).repeat(n, axis=1).astype(np.float64)
    features = _features(config, seed)
    if config.fabrication is None:
        shape = shapely.union_all(features)
    else:
        shape = mill(features, config.fabrication, seed)
    return covered_area(shape, config.squares * n, SQUARE_UM / n)


def _features(config: Drawing, seed: int) -> shapes.Features:
    side_um = config.side_um
    match config:
        case Star(spokes=spokes, rotation_deg=rotation_deg, centre_um=centre_um):
            return shapes.star(spokes, config.outer_radius_um, rotation_deg, centre_um)
        case Light():
            return shapes.brush_strokes(side_um)
        case Block(squares=squares, density=density):
            return shapes.boxes(shapes.random_squares(squares, density, seed), SQUARE_UM)
        case Grating(period_nm=period_nm, duty=duty, angle_deg=angle_deg):
            return shapes.bars(period_nm / 1000, duty, angle_deg, side_um)
        case Qr(modules=modules, module_nm=module_nm):
            return shapes.boxes(shapes.qr_modules(modules, seed), module_nm / 1000)
        case Text(text=text):
            return shapes.letters(text, side_um - 2 * SQUARE_UM)
