"""What the scan hands over: one frame, with where and when it was taken."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from acquisition.plan import ScanPoint


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
        Measured stage position (x, y); NaN where there is none.
    started_s
        Beginning of the exposure, seconds since the scan began.
    attempts
        Tries it took.
    status
        ``VALID`` or ``INVALID``.
    reason
        Why it is invalid, or empty.
    """

    point: ScanPoint
    image: NDArray[np.uint16]
    readback_um: tuple[float, float]
    started_s: float
    attempts: int
    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LandmarkVisit:
    """One look at the landmark.

    Attributes
    ----------
    visit
        0 for the first, which all others are compared with.
    line
        Scan line before which it took place.
    target_um
        Where the landmark is, stage position (x, y).
    images
        (frames, y, x) uint16.
    residual
        Normalised residual against the first visit, see ``acquisition.landmark``.
    started_s
        Seconds since the scan began.
    """

    visit: int
    line: int
    target_um: tuple[float, float]
    images: NDArray[np.uint16]
    residual: float
    started_s: float
