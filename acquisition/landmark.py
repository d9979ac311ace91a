"""Choosing a landmark and learning what it looks like, from looks at places around it.

A place is chosen whose light tells positions best, and learnt by looks at 25 positions around
it; where there is a focus drive, by 20 more out of focus. It lies between the points of the
scan, and is approached from the same side every time.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import Dither
from acquisition.landmark_model import LandmarkModel
from acquisition.landmark_promise import expected_sd_um
from acquisition.log import ScanLog
from acquisition.plan import DITHERS_PER_SIDE, LandmarkSchedule
from acquisition.scanner import Scanner
from configs.errors import DeviceError

Place = tuple[float, ...]
"""Of the stage, (x, y); with the position of the focus drive, where there is one."""

FOCUS_REACH_UM: Final = 0.2
"""How far out of focus a landmark is learnt, to either side."""

_BESIDE_UM: Final = 0.03
"""To either side: light that is even about a place tells nothing there."""
_DITHER_UM: Final = 0.06
_CORNER_UM: Final = 0.045
_STAR_UM: Final = ((0, 0), (_DITHER_UM, 0), (-_DITHER_UM, 0), (0, _DITHER_UM), (0, -_DITHER_UM))
_CROSS_UM: Final = ((0, 0), *product((_CORNER_UM, -_CORNER_UM), repeat=2))
_PLANES_UM: Final = (
    (-FOCUS_REACH_UM, _STAR_UM),
    (-FOCUS_REACH_UM / 2, _CROSS_UM),
    (FOCUS_REACH_UM / 2, _CROSS_UM),
    (FOCUS_REACH_UM, _STAR_UM),
)
"""Out of focus, and where to look there: no one pattern determines all polynomials."""
_FEWEST_LOOKS: Final = 16
_FEWEST_IN_FOCUS_TOO: Final = 36
_BLIND_NM: Final = (15.0, 15.0, 40.0)


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place, and what it looks like when the sample is moved.

    Attributes
    ----------
    place_um
        Where it is, for the sample as it was at the beginning.
    model
        Light against the offset of the drives from there, less the drift of the sample.
    """

    place_um: Place
    model: LandmarkModel


class Surveyor:
    """Chooses, looks at and learns landmarks.

    Parameters
    ----------
    schedule
        How many frames a look has.
    scanner, log
        Take frames, and messages.
    home_um
        Position of the focus drive at the beginning, (z,); () where there is none.
    """

    def __init__(
        self, schedule: LandmarkSchedule, scanner: Scanner, log: ScanLog, home_um: Place
    ) -> None:
        self._schedule, self._scanner, self._log = schedule, scanner, log
        self._home_um = home_um
        self._sensor = scanner.info.instrument.camera.sensor

    def look(
        self, place_um: Place, drift_um: Place, frames: int | None = None
    ) -> NDArray[np.uint16]:
        """Return a look's frames, (frames, y, x), at a sample displaced by so much."""
        count = frames or self._schedule.frames
        return self._scanner.attempt(lambda: self._look_once(place_um, drift_um, count))[0]

    def choose(self) -> Place:
        """Pick, of nine places between points, the one that tells positions best."""
        plan = self._scanner.info.plan
        best, best_sd_nm = plan.centre_um, np.inf
        for here_um in plan.candidates_um():
            try:
                sd_um = self._promise(here_um)
            except DeviceError as error:
                self._log.warning(f"a place that might be a landmark is left out: {error}")
                continue
            if 1000 * max(sd_um) < best_sd_nm:
                best, best_sd_nm = here_um, 1000 * max(sd_um)
        return (*best, *self._home_um)

    def learn(self, place_um: Place, drift_um: Place) -> Dither:
        """Look at a landmark from places around it, with the sample displaced by so much."""
        looks = []
        for offset_um in dither_um(len(place_um)):
            try:
                seen = self.look(total(place_um, drift_um, offset_um), drift_um)
            except DeviceError as error:
                self._log.warning(f"a look at the landmark is missing: {error}")
            else:
                looks.append((offset_um, seen))
        if lit := [look for look in looks if self._scanner.checks.is_lit(look[1])]:
            looks = lit  # a black one beside them is the laser, not the landmark
        offsets_um, images = [at for at, _ in looks], [seen for _, seen in looks]
        fewest = _FEWEST_IN_FOCUS_TOO if self._home_um else _FEWEST_LOOKS
        if len(images) < fewest:
            raise DeviceError(
                f"landmark: expected {fewest} looks or more to learn it from, got"
                f" {len(images)}; see the log for what fails"
            )
        return Dither(
            place_um,
            drift_um,
            np.array(offsets_um),
            np.stack(images),
            self._scanner.seconds(),
        )

    def known(self, seen: Dither) -> Landmark | None:
        """Return a landmark that was learnt; ``None`` if it tells nothing of positions."""
        model = LandmarkModel.fit(seen.images, seen.offsets_um, self._sensor)
        sd_nm = 1000 * np.array(model.precision_um(self._schedule.frames))
        blind_nm = np.array(_BLIND_NM[: len(sd_nm)])
        if not (sd_nm <= blind_nm).all():
            worst = int(np.argmax(sd_nm / blind_nm))
            self._log.warning(
                f"the drift is not seen here and not followed: expected a landmark that tells"
                f" positions to {blind_nm[worst]:g} nm, got none better than"
                f" {sd_nm[worst]:.0f} nm; expose longer"
            )
            return None
        return Landmark(seen.place_um, model)

    def _promise(self, here_um: Place) -> Place:
        """Return how well a place of the stage tells positions."""
        here, beside, below = (
            self.look(
                (*total(here_um, (_BESIDE_UM * x, _BESIDE_UM * y)), *self._home_um), (0.0, 0.0)
            )
            for x, y in ((-1, -1), (1, -1), (-1, 1))
        )
        frames = self._schedule.frames
        return expected_sd_um(here, beside, below, 2 * _BESIDE_UM, frames, self._sensor)

    def _look_once(self, place_um: Place, drift_um: Place, frames: int) -> NDArray[np.uint16]:
        plan = self._scanner.info.plan
        x_um, y_um, *focus_um = place_um
        for z_um in focus_um:
            self._scanner.move_focus(z_um)
        lead_um = -plan.x_direction * plan.pitch_nm / 1000
        followed_um = drift_um[0], drift_um[1]
        self._scanner.move_and_verify((x_um + lead_um, y_um), followed_um)
        self._scanner.move_and_verify((x_um, y_um), followed_um)
        images = self._scanner.snap_many(frames)
        self._scanner.checks.check_steady(images)
        return images


def dither_um(axes: int) -> list[Place]:
    """Return the places of a dither, from the landmark; with a focus drive, plane by plane."""
    steps_um = np.linspace(-_DITHER_UM, _DITHER_UM, DITHERS_PER_SIDE).tolist()
    in_focus = [(x, y) for x, y in product(steps_um, repeat=2)]
    if axes == 2:
        return [*in_focus]
    planes = sorted([(0.0, in_focus), *_PLANES_UM], key=lambda plane: plane[0])
    return [(x, y, z) for z, places in planes for x, y in places]


def total(*places_um: Place) -> Place:
    """Return the sum of places, axis by axis."""
    return tuple(sum(along) for along in zip(*places_um, strict=True))


def less(a_um: Place, b_um: Place) -> Place:
    """Return the difference of two places, axis by axis."""
    return tuple(a - b for a, b in zip(a_um, b_um, strict=True))
