"""The scan as a value: which points, in which order, with what light."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Final, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from configs.defaults import (
    DEFAULT_EXPOSURE_MS,
    DEFAULT_FINISH_SHARE,
    DEFAULT_MARGIN,
    DEFAULT_MAX_CHI_SQUARED,
)
from configs.errors import LimitError
from configs.geometry import SampleGeometry
from configs.grid import LARGEST_GRID
from configs.instrument import Direction, Travel
from configs.value import Fraction, NonNegative, Pair, Positive, PositiveInt, Seed, Value

_Cell = TypeVar("_Cell", bound=np.generic)


@dataclass(frozen=True, slots=True)
class ScanPoint:
    """One position of a scan.

    ``index`` is ``row * columns + column`` whatever the order of visiting: it is
    where the frame is stored and what every prediction is keyed by.
    """

    index: int
    row: int
    column: int
    target_um: tuple[float, float]


CANDIDATES_PER_SIDE: Final = 3
"""Of the places that a landmark is chosen from."""
LOOKS_PER_CANDIDATE: Final = 3
DITHERS_PER_SIDE: Final = 5
"""Of the positions that it is learnt from."""
LEARNING_LOOKS: Final = LOOKS_PER_CANDIDATE * CANDIDATES_PER_SIDE**2 + DITHERS_PER_SIDE**2
"""Looks at the sample that choosing and learning a landmark takes."""
FOCUS_LOOKS: Final = 20
"""Further ones out of focus, where there is a focus drive."""


class LandmarkSchedule(Value):
    """When to look where the sample is, and when not to believe it."""

    every_lines: PositiveInt = 8
    every_s: Positive = 30.0
    """Whichever comes first."""
    frames: PositiveInt = 8
    """Frames taken and summed per look."""
    max_chi_squared: Positive = DEFAULT_MAX_CHI_SQUARED
    """Above it, reduced, a look is no look at the landmark; 1 is what noise explains."""


class FinishSchedule(Value):
    """How much more light and time the squares in doubt get, after the raster."""

    share: Fraction = DEFAULT_FINISH_SHARE
    """Most further looks, of the points of the scan."""
    seconds: NonNegative = 600.0
    """Longest that they take."""


class ScanPlan(Value):
    """A raster of squares under a fixed beam.

    ``configs.geometry`` says how rows, columns and stage axes lie.
    """

    rows: PositiveInt = 66
    columns: PositiveInt = 66
    pitch_nm: Positive = 180.0
    margin: Annotated[int, Field(ge=0)] = DEFAULT_MARGIN
    """Points scanned beyond the sample on every side."""
    order: Literal["raster"] = "raster"
    """Every line towards higher columns, so that backlash is the same everywhere."""
    exposure_ms: Positive = DEFAULT_EXPOSURE_MS
    grid: Literal[3, 5, 7] = LARGEST_GRID
    """Squares along a side that the frame network says of each frame."""
    centre_um: Pair
    """Stage position (x, y) with the beam on the centre of the sample."""
    x_direction: Direction = 1
    y_direction: Direction = 1
    landmark: LandmarkSchedule | None = LandmarkSchedule()
    """``None``: the sample is not watched for drift."""
    finish: FinishSchedule = FinishSchedule()
    seed: Seed = 0
    """Of everything random in a simulated instrument."""

    @model_validator(mode="after")
    def _has_a_sample(self) -> Self:
        if min(self.rows, self.columns) <= 2 * self.margin:
            raise ValueError(
                f"rows and columns must exceed twice the margin of {self.margin},"
                f" got {self.rows} x {self.columns}"
            )
        return self

    def __len__(self) -> int:
        """Return the number of points."""
        return self.rows * self.columns

    @property
    def sample_shape(self) -> tuple[int, int]:
        """Rows and columns of squares that the scan covers."""
        return self.rows - 2 * self.margin, self.columns - 2 * self.margin

    @property
    def landmark_frames(self) -> int:
        """Frames of the landmark that following the sample takes, about, and with a focus."""
        schedule = self.landmark
        if schedule is None:
            return 0
        by_line = self.rows // schedule.every_lines
        by_time = int(len(self) * self.exposure_ms / 1000 / schedule.every_s)
        visits = min(by_line + by_time + 1, len(self))
        return (LEARNING_LOOKS + FOCUS_LOOKS + visits) * schedule.frames

    def crop(self, scan: NDArray[_Cell]) -> NDArray[_Cell]:
        """Cut the sample's squares out of all points of the scan, (rows, columns)."""
        rows, columns = self.sample_shape
        return scan[self.margin : self.margin + rows, self.margin : self.margin + columns]

    @property
    def geometry(self) -> SampleGeometry:
        """Where the squares of the sample lie in stage coordinates."""
        directions = (self.x_direction, self.y_direction)
        return SampleGeometry(*self.sample_shape, self.pitch_nm, self.centre_um, directions)

    def point(self, row: int, column: int) -> ScanPoint:
        """Return the point at a row and column of the scan."""
        target_um = self.geometry.stage_um(row - self.margin, column - self.margin)
        return ScanPoint(row * self.columns + column, row, column, target_um)

    def lines(self) -> Iterator[list[ScanPoint]]:
        """Yield the rows of the scan, each in the order of visiting."""
        for row in range(self.rows):
            yield [self.point(row, column) for column in range(self.columns)]

    def candidates_um(self) -> list[tuple[float, float]]:
        """Return the places, on the stage and between points, that may be the landmark."""
        shares = (np.arange(1, CANDIDATES_PER_SIDE + 1) / (CANDIDATES_PER_SIDE + 1)).tolist()
        half_um = self.pitch_nm / 2000
        points = [
            self.point(int(down * (self.rows - 1)), int(right * (self.columns - 1)))
            for down, right in product(shares, repeat=2)
        ]
        return [(p.target_um[0] + half_um, p.target_um[1] + half_um) for p in points]

    def points(self) -> Iterator[ScanPoint]:
        """Yield all points in the order of visiting."""
        for line in self.lines():
            yield from line

    def check_travel(self, limits: Travel) -> None:
        """Raise ``LimitError`` unless the whole scan lies within the limits."""
        corners = [
            self.point(row, column).target_um
            for row in (0, self.rows - 1)
            for column in (0, self.columns - 1)
        ]
        for axis, allowed, targets in zip(
            "xy", (limits.x_um, limits.y_um), zip(*corners, strict=True), strict=True
        ):
            if min(targets) < allowed[0] or max(targets) > allowed[1]:
                raise LimitError(
                    f"plan: {axis} from {min(targets):.2f} to {max(targets):.2f} um leaves the"
                    f" travel of {allowed[0]:g} to {allowed[1]:g} um; nothing moved:"
                    " centre [travel] on the sample or scan less"
                )
