"""What a simulated sample shows: one value per kind of sample, read from TOML.

A sample is a square field of 180 nm squares, simulated on finer cells. Lengths
count from the centre of the field, x right and y down; angles turn from x towards y.
"""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from configs.errors import ConfigError
from configs.geometry import SQUARE_NM, SQUARE_UM
from configs.toml import parse_toml, read_toml
from configs.value import Fraction, NonNegative, Value

_FINE_CELL_NM: Final = 30.0
_MOST_CELLS: Final = 4096


def _divides_a_square(cell_nm: float) -> float:
    per_square = SQUARE_NM / cell_nm
    if abs(per_square - round(per_square)) > 1e-9 * per_square:
        nearest = (SQUARE_NM / n(per_square) for n in (math.floor, math.ceil))
        coarse, fine = (f"{cell:.12g}" for cell in nearest)
        raise ValueError(
            f"expected a whole number of cells in a square of {SQUARE_NM:g} nm,"
            f" the nearest are {fine} and {coarse}"
        )
    return cell_nm


Cell = Annotated[
    float,
    Field(ge=SQUARE_NM / _MOST_CELLS, le=SQUARE_NM),
    AfterValidator(_divides_a_square),
]
Length = Annotated[float, Field(ge=-1000, le=1000)]
Point = Annotated[tuple[Length, Length], Field(strict=False)]
SizeNm = Annotated[NonNegative, Field(le=1000)]


class Fabrication(Value):
    """What a focused ion beam makes of a drawing; zero switches an error off."""

    corner_radius_nm: SizeNm = 0.0
    """No corner, open or closed, is sharper; what is narrower than twice that is lost."""
    overetch_nm: Length = 0.0
    """By how much every edge moves outwards; negative leaves openings too small."""
    size_jitter_nm: SizeNm = 0.0
    """Standard deviation, from one milled feature to the next, of the same."""
    position_jitter_nm: SizeNm = 0.0
    """Standard deviation of a feature's place, per axis."""
    missing: Fraction = 0.0
    """Probability of a feature not to be milled at all."""


class _Field(Value):
    """A square field of squares, each of n x n cells."""

    squares: Annotated[int, Field(ge=1, le=_MOST_CELLS)] = 64
    """Along a side of the field."""
    cell_nm: Cell | None = None
    """Side of the cells, a whole fraction of 180. None: 30, or 180 for plain squares."""

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Self:
        cells = self.squares * self.cells_per_square
        if cells > _MOST_CELLS:
            raise ValueError(
                f"expected at most {_MOST_CELLS} cells along a side, got {cells};"
                " take fewer squares or larger cells"
            )
        return self

    @property
    def cells_per_square(self) -> int:
        """Cells along a side of a square."""
        return round(SQUARE_NM / (self.cell_nm or _FINE_CELL_NM))

    @property
    def side_um(self) -> float:
        """Side of the field."""
        return self.squares * SQUARE_UM


class _Drawn(_Field):
    """A field of milled features."""

    fabrication: Fabrication | None = None
    """None: exactly as drawn."""


class Star(_Drawn):
    """A Siemens star: open wedges as wide as the film between them."""

    kind: Literal["star"] = "star"
    squares: Annotated[int, Field(ge=3, le=_MOST_CELLS)] = 64
    spokes: Annotated[int, Field(ge=1, le=1000)] = 36
    radius_um: Annotated[float, Field(gt=0, le=1000)] | None = None
    """None: one square less than half the field."""
    rotation_deg: float = 0.0
    """Of the first edge of the first spoke, from x towards y."""
    centre_um: Point = (0.0, 0.0)

    @property
    def outer_radius_um(self) -> float:
        """Where the spokes end."""
        return self.radius_um or (self.squares / 2 - 1) * SQUARE_UM


class Light(_Drawn):
    """A glyph of curved, tapering brush strokes, as large as the field."""

    kind: Literal["light"] = "light"


class Block(_Drawn):
    """Open squares at random places."""

    kind: Literal["block"] = "block"
    density: Fraction = 0.35
    """Probability of a square to be open."""

    @property
    def cells_per_square(self) -> int:
        """Cells along a side of a square: one, where no edge lies within a square."""
        if self.cell_nm is None and self.fabrication is None:
            return 1
        return super().cells_per_square


class Grating(_Drawn):
    """Open bars, one in the centre."""

    kind: Literal["grating"] = "grating"
    period_nm: Annotated[float, Field(ge=10)] = 720.0
    duty: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Open fraction of the period."""
    angle_deg: float = 0.0
    """Direction across the bars; zero has them run along y."""


class Qr(_Drawn):
    """A pattern like a QR code: finders in three corners, random modules elsewhere."""

    kind: Literal["qr"] = "qr"
    modules: Annotated[int, Field(ge=17, le=177)] = 29
    """Along a side of the code."""
    module_nm: Annotated[float, Field(ge=10)] = 360.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needed = self.modules * self.module_nm / SQUARE_NM
        if needed > self.squares:
            raise ValueError(
                f"modules of {self.module_nm:g} nm: {self.modules} need {needed:.4g} squares"
                f" along a side, got {self.squares}; take fewer, smaller, or more squares"
            )
        return self


class Text(_Drawn):
    """One line of text, as large as fits with one square around it."""

    kind: Literal["text"] = "text"
    squares: Annotated[int, Field(ge=3, le=_MOST_CELLS)] = 64
    text: Annotated[str, Field(min_length=1, max_length=200)]


class _File(Value):
    path: str
    """In a TOML file: from its folder; where it is stored: the name alone."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Checksum that the file must have; None takes any, and notes its own."""


class Picture(_Field, _File):
    """Any picture, as large as fits; white is open, grey is partly open cells."""

    kind: Literal["image"] = "image"


class Mask(_File):
    """Open fractions from a PNG (white is open) or NPY file, one value per cell."""

    kind: Literal["mask"] = "mask"
    cell_nm: Cell = SQUARE_NM

    @property
    def cells_per_square(self) -> int:
        """Cells along a side of a square."""
        return round(SQUARE_NM / self.cell_nm)


Drawing = Star | Light | Block | Grating | Qr | Text
AnySample = Drawing | Picture | Mask
SampleConfig = Annotated[AnySample, Field(discriminator="kind")]
_KINDS: Final = {kind.model_fields["kind"].default: kind for kind in get_args(AnySample)}


def read_sample(path: Path) -> AnySample:
    """Read a sample from a TOML file; the path of its picture or mask counts from there.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there.
    """
    return beside(path, _checked(read_toml("sample", path), str(path)))


def parse_sample(text: str, source: str) -> AnySample:
    """Read a sample from TOML text; ``source`` names it in errors."""
    return _checked(parse_toml(text, source), source)


def _checked(values: dict[str, Any], source: str) -> AnySample:
    kind = str(values.get("kind"))
    if kind not in _KINDS:
        raise ConfigError(f"{source}: kind: expected one of {', '.join(_KINDS)}, got {kind}")
    sample: AnySample = _KINDS[kind].checked(source, values)
    return sample


def beside(toml: Path, sample: AnySample) -> AnySample:
    """Return a sample with the path of its picture or mask from a TOML file's folder on."""
    if isinstance(sample, Picture | Mask):
        return sample.changed(path=str(toml.parent / sample.path))
    return sample


def by_name(sample: AnySample) -> AnySample:
    """Return a sample as it is stored: its picture or mask without the folder of today."""
    if isinstance(sample, Picture | Mask):
        return sample.changed(path=Path(sample.path).name)
    return sample


def pinned(sample: AnySample) -> AnySample:
    """Return a sample with the checksum of its picture or mask.

    Raises
    ------
    ConfigError
        If that cannot be read, or the sample has another checksum.
    """
    if not isinstance(sample, Picture | Mask):
        return sample
    try:
        with open(sample.path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"sample: cannot read {sample.path}: {error}; check the path"
        ) from error
    if sample.sha256 not in {None, found}:
        raise ConfigError(
            f"sample {sample.path}: expected a file with SHA-256 {sample.sha256}, got {found};"
            " bring that file back, or remove sha256 to take this one"
        )
    return sample.changed(sha256=found)
