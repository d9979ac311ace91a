"""What the scan hands over: one frame, with where and when it was taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from acquisition.plan import ScanPoint
from configs.geometry import SampleGeometry


class Status(IntEnum):
    """What is known of a point; ``points/status`` in the run."""

    PENDING = 0
    VALID = 1
    INVALID = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One point of the scan, taken or given up.

    Attributes
    ----------
    point
        Where it was meant to be.
    image
        (y, x) uint16; zeros where the point is invalid.
    readback_um
        Measured stage position (x, y); ``None`` where there is none.
    started_s
        Beginning of the exposure, seconds since the scan began.
    attempts
        Tries it took; none where a record only says that an earlier one holds no longer.
    status
        ``VALID`` or ``INVALID``.
    reason
        Why it is invalid, or empty.
    correction_um
        What the stage was told beyond ``point.target_um``, (x, y), to follow the sample.
    drift_um
        By how much (x, y) the sample has moved since the beginning, in stage coordinates, as
        far as the landmark says; ``None`` where it says nothing.
    settling_s
        From the command to rest.
    repeat
        Which of the further looks at points this is; ``None``: the point itself.
    focus_um
        Where the focus drive said it was when it had last moved; ``None`` where there is none.
    """

    point: ScanPoint
    image: NDArray[np.uint16]
    readback_um: tuple[float, float] | None
    started_s: float
    attempts: int
    status: Status
    reason: str = ""
    correction_um: tuple[float, float] = (0.0, 0.0)
    drift_um: tuple[float, float] | None = None
    settling_s: float = 0.0
    repeat: int | None = None
    focus_um: float | None = None


@dataclass(frozen=True, slots=True)
class FrameLine:
    """The valid frames of a scan line, all that reconstruction wants to know of it.

    Attributes
    ----------
    row
        Of the scan.
    columns
        (n,), of the valid frames; a point that was looked at again is there as often.
    images
        (n, y, x), uint16; floats where ``merged``.
    off_um
        (n, 2), by how much (x, y) the beam was off the middle of its square, as far as the
        stage says; NaN where it said nothing.
    """

    row: int
    columns: NDArray[np.int64]
    images: NDArray[np.uint16] | NDArray[np.float32]
    off_um: NDArray[np.float64]

    @classmethod
    def of(cls, frames: Sequence[Frame], geometry: SampleGeometry) -> Self:
        """Take what is valid of the frames of a line, one or more, in any order."""
        valid = [frame for frame in frames if frame.status is Status.VALID]
        valid.sort(key=lambda frame: frame.point.column)
        images = np.empty((0, *frames[0].image.shape), np.uint16)
        return cls(
            frames[0].point.row,
            np.array([frame.point.column for frame in valid], np.int64),
            np.stack([frame.image for frame in valid]) if valid else images,
            off_um(geometry, [f.point for f in valid], *_places(valid)),
        )

    def merged(self) -> Self:
        """Return one image for every point: the mean of all looks at it."""
        columns, which, looks = np.unique(self.columns, return_inverse=True, return_counts=True)
        if len(columns) == len(self.columns):
            return self
        images = np.zeros((len(columns), *self.images.shape[1:]), np.float32)
        off_um = np.zeros((len(columns), 2))
        np.add.at(images, which, self.images)
        np.add.at(off_um, which, self.off_um)
        images /= looks[:, None, None]
        return type(self)(self.row, columns, images, off_um / looks[:, None])

    def within(self, columns: range) -> Self:
        """Return the frames at some columns."""
        there = (self.columns >= columns.start) & (self.columns < columns.stop)
        return type(self)(self.row, self.columns[there], self.images[there], self.off_um[there])


def off_um(
    geometry: SampleGeometry,
    points: Sequence[ScanPoint],
    readback_um: NDArray[np.float64],
    drift_um: NDArray[np.float64],
) -> NDArray[np.float64]:
    """By how much (x, y) the beam was off its square, (n, 2), as stage and landmark say.

    Parameters
    ----------
    geometry
        How the stage's axes lie.
    points
        n of them.
    readback_um
        (n, 2), measured stage positions; NaN where there is none.
    drift_um
        (n, 2), by how much the sample had moved, in stage coordinates.
    """
    targets = np.array([point.target_um for point in points]).reshape(-1, 2)
    off: NDArray[np.float64] = np.array(geometry.directions) * (
        readback_um - drift_um - targets
    )
    return off


def _places(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measured positions and drift of frames, (n, 2) each."""
    nowhere = (math.nan, math.nan)
    readback = [nowhere if f.readback_um is None else f.readback_um for f in frames]
    drift = [frame.drift_um or frame.correction_um for frame in frames]
    return np.array(readback).reshape(-1, 2), np.array(drift).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Dither:
    """A landmark, looked at from places around it: how its light tells positions.

    Places are (x, y) of the stage, or (x, y, z) with the position of a focus drive.

    Attributes
    ----------
    place_um
        Where it is, for the sample as it was at the beginning.
    drift_um
        By how much the sample had moved since; ``None``: lost before, and learnt anew.
    offsets_um
        (looks, axes), places from there.
    images
        (looks, frames, y, x) uint16.
    started_s
        Seconds since the scan began.
    earlier_looks
        From which landmarks were learnt in this run before.
    """

    place_um: tuple[float, ...]
    drift_um: tuple[float, ...] | None
    offsets_um: NDArray[np.float64]
    images: NDArray[np.uint16]
    started_s: float
    earlier_looks: int = 0


@dataclass(frozen=True, slots=True)
class LandmarkVisit:
    """One look at the landmark.

    Places are (x, y) of the stage, or (x, y, z) with the position of a focus drive.

    Attributes
    ----------
    visit
        How many came before.
    line
        Scan line before which it took place, or in which.
    commanded_um
        Where the drives were told to go.
    images
        (frames, y, x) uint16.
    drift_um, sd_um
        By how much the sample has moved since the beginning, in coordinates of the drives, as
        this look alone says, and its standard deviation.
    chi_squared
        Reduced, of the look against what the landmark looked like.
    is_believed
        Whether the estimate was used.
    correction_um
        By how much the drives follow after it.
    started_s
        Seconds since the scan began.
    """

    visit: int
    line: int
    commanded_um: tuple[float, ...]
    images: NDArray[np.uint16]
    drift_um: tuple[float, ...]
    sd_um: tuple[float, ...]
    chi_squared: float
    is_believed: bool
    correction_um: tuple[float, ...]
    started_s: float
