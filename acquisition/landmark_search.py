"""Looking for the landmark: where it should be, around there, and then far away.

A far search takes one frame at each place, so that it costs little light; a place where that
frame looks like the landmark is looked at again in full, which decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame_checks import LightLost
from acquisition.guard import DoseReached
from acquisition.landmark import Landmark, Place, Surveyor, less, total
from acquisition.landmark_model import Shift
from acquisition.log import ScanLog
from acquisition.plan import LandmarkSchedule
from acquisition.scanner import Scanner
from configs.errors import LimitError

_NEAR_UM: Final = 0.1
_NEAR_RINGS: Final = 2
_FOCUS_UM: Final = (0.25, -0.25, 0.5, -0.5)
_FAR_UM: Final = 0.12
"""Twice what a landmark is learnt over: no place is beyond that from all looks."""
_FAR_RINGS: Final = 8
REACH_UM: Final = _FAR_UM * _FAR_RINGS
"""How far the landmark is looked for along x and y."""


@dataclass(frozen=True, slots=True)
class Look:
    """A look at where the landmark may be.

    Attributes
    ----------
    place_um
        Where the drives were told to go.
    images
        (frames, y, x) uint16.
    shift
        What they say.
    started_s
        Seconds since the scan began.
    """

    place_um: Place
    images: NDArray[np.uint16]
    shift: Shift
    started_s: float


class LandmarkSearch:
    """Finds a landmark.

    Parameters
    ----------
    schedule
        What to believe.
    scanner, surveyor, log
        Look for light and at places, and take messages.
    """

    def __init__(
        self, schedule: LandmarkSchedule, scanner: Scanner, surveyor: Surveyor, log: ScanLog
    ) -> None:
        self._schedule, self._scanner = schedule, scanner
        self._surveyor, self._log = surveyor, log

    def find(self, landmark: Landmark, drift_um: Place) -> Look:
        """Look where the landmark should be, and farther and farther away if it is not there.

        Parameters
        ----------
        drift_um
            By how much the sample is thought to have moved.

        Returns
        -------
        The look that found it; else the one near there that came closest.

        Raises
        ------
        LightLost
            If there is no light.
        LimitError
            If every place is beyond the travel of the stage.
        """
        expected_um = total(landmark.place_um, drift_um)
        looks: list[Look] = []
        for offset_um in _near(len(expected_um)):
            try:
                looks.append(self._look(landmark, total(expected_um, offset_um), drift_um))
            except LimitError:
                continue
            if self.believes(looks[-1].shift):
                return looks[-1]
        if not looks:
            raise LimitError("landmark: has left the travel of the stage")
        nearest = min(looks, key=lambda look: look.shift.chi_squared)
        return self._far(landmark, expected_um, drift_um) or nearest

    def believes(self, shift: Shift) -> bool:
        """Say whether a look is one at the landmark."""
        return shift.is_inside and self._fits(shift)

    def _fits(self, shift: Shift) -> bool:
        return shift.chi_squared <= self._schedule.max_chi_squared

    def _look(self, landmark: Landmark, place_um: Place, drift_um: Place) -> Look:
        started_s = self._scanner.seconds()
        images = self._surveyor.look(place_um, drift_um)
        self._require_light(images, drift_um)
        return Look(place_um, images, landmark.model.estimate(images), started_s)

    def _far(self, landmark: Landmark, expected_um: Place, drift_um: Place) -> Look | None:
        """Look for the landmark far away, where light and travel allow."""
        self._log.info(f"the landmark is looked for up to {1000 * REACH_UM:.0f} nm away")
        for offset_um in _far(len(expected_um)):
            place_um = total(expected_um, offset_um)
            try:
                glimpse = self._surveyor.look(place_um, drift_um, frames=1)
                shift = landmark.model.estimate(glimpse)
                if not self._fits(shift):
                    continue
                look = self._look(landmark, less(place_um, shift.shift_um), drift_um)
            except (LimitError, DoseReached):
                continue
            if self.believes(look.shift):
                return look
        return None

    def _require_light(self, images: NDArray[np.uint16], drift_um: Place) -> None:
        """Raise ``LightLost`` if a look is black, and so is what was bright before."""
        checks = self._scanner.checks
        if not checks.is_lit(images) and not self._scanner.sees_light(
            (drift_um[0], drift_um[1])
        ):
            raise LightLost(
                "landmark: expected some light, got none, nor where there was some before;"
                " check laser and shutter"
            )


def _near(axes: int) -> Iterator[Place]:
    """Yield offsets: none, once more none, out of focus, then places around, nearest first."""
    rest = (0.0,) * (axes - 2)
    yield 0.0, 0.0, *rest
    yield from ((0.0, 0.0, z_um) for z_um in _FOCUS_UM if rest)
    yield from _around(_NEAR_UM, _NEAR_RINGS, axes)


def _far(axes: int) -> Iterator[Place]:
    """Yield offsets beyond those near, nearest first."""
    near_um = _NEAR_UM * _NEAR_RINGS
    places = _around(_FAR_UM, _FAR_RINGS, axes)
    yield from (place for place in places if max(map(abs, place)) > near_um)


def _around(step_um: float, rings: int, axes: int) -> Iterator[Place]:
    """Yield the places of a square of so many rings, nearest first."""
    steps = range(-rings, rings + 1)
    places = sorted(product(steps, repeat=2), key=lambda at: (at[0] ** 2 + at[1] ** 2, at))
    yield from ((step_um * x, step_um * y, *(0.0,) * (axes - 2)) for x, y in places)
