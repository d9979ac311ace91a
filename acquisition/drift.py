"""Following the drift of a sample during a scan, by looks at a landmark.

Each visit to a landmark says by how much the sample has moved since the beginning; the scan
follows, along the beam too where there is a focus drive.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.drift_filter import ACROSS, DriftFilter
from acquisition.focus_following import FocusFollower
from acquisition.frame import Dither, LandmarkVisit
from acquisition.frame_checks import LightLost
from acquisition.landmark import Landmark, Place, Surveyor, total
from acquisition.landmark_model import Shift
from acquisition.log import ScanLog
from acquisition.plan import LandmarkSchedule
from acquisition.scanner import Scanner
from configs.errors import DeviceError, LimitError

_SEARCH_UM: Final = 0.1
_SEARCH_RINGS: Final = 2
_FOCUS_SEARCH_UM: Final = (0.25, -0.25, 0.5, -0.5)
_RENEW_SHARE: Final = 0.6
_FLOOR_NM: Final = 1.0
"""No look is better: what the model leaves out."""


class DriftWatch:
    """Visits a landmark now and then, and says where the sample is.

    Parameters
    ----------
    schedule
        When to look, and what to believe.
    scanner, log
        Take frames, and messages.
    keep
        Takes what was seen.
    pause
        Asks whether to go on; raises if not.
    past
        What earlier sessions saw: looks from which the landmark was learnt, and the arrays of
        its visits, as ``Run.landmark`` has them.

    Raises
    ------
    LimitError
        If the focus drive is too near an end of its range.
    """

    def __init__(
        self,
        schedule: LandmarkSchedule,
        scanner: Scanner,
        log: ScanLog,
        keep: Callable[[Dither | LandmarkVisit], None],
        pause: Callable[[str], None],
        past: tuple[Dither | None, dict[str, NDArray[np.float64]]],
    ) -> None:
        self._schedule, self._scanner = schedule, scanner
        self._log, self._keep, self._pause = log, keep, pause
        self._filter = DriftFilter(ACROSS)
        learnt, visits = past
        self._focus = self._follower(learnt)
        home_um = () if self._focus is None else (self._focus.home_um,)
        self._surveyor = Surveyor(schedule, scanner, log, home_um)
        self._visits = len(visits["line"]) if visits else 0
        self._recall(visits)
        self._visited_line, self._visited_s = -schedule.every_lines, -np.inf
        self._landmark: Landmark | None = (
            self._learn(self._surveyor.choose())
            if learnt is None
            else self._surveyor.known(learnt)
        )
        self._refocus()

    def is_due(self, line: int) -> bool:
        """Say whether it is time for a visit."""
        if self._landmark is None:
            return False
        lines = line - self._visited_line
        seconds = self._scanner.seconds() - self._visited_s
        return lines >= self._schedule.every_lines or seconds >= self._schedule.every_s

    def drift_um(self) -> tuple[float, float] | None:
        """By how much (x, y) the sample has moved by now; ``None`` if nothing tells."""
        if self._landmark is None:
            return None
        x_nm, y_nm = self._filter.at(self._scanner.seconds())
        return x_nm / 1000, y_nm / 1000

    def correction_um(self) -> tuple[float, float]:
        """By how much the stage is to follow: not at all while there may be no drift."""
        drift_um = self.drift_um() if self._filter.has_moved else None
        return drift_um or (0.0, 0.0)

    def visit(self, line: int) -> None:
        """Look at the landmark before a line; pause if it is not to be found.

        Raises
        ------
        LightLost
            If there is no light; a visit is due again then.
        """
        assert self._landmark is not None, "is_due said so"
        self._visited_line, self._visited_s = line, self._scanner.seconds()
        try:
            commanded_um, images, shift = self._find(self._landmark)
        except LightLost:
            self._visited_line, self._visited_s = -self._schedule.every_lines, -np.inf
            raise
        except DeviceError as error:
            self._log.warning(f"no look at the landmark before line {line}: {error}")
            self._refocus()
            return
        is_believed = self._believes(shift)
        drift_um = _less(_less(commanded_um, self._landmark.place_um), shift.shift_um)
        if is_believed:
            self._note(self._visited_s, drift_um, shift.sd_um)
        out_of_range = self._follow()
        seen = LandmarkVisit(
            visit=self._visits,
            line=line,
            commanded_um=commanded_um,
            images=images,
            drift_um=drift_um,
            sd_um=shift.sd_um,
            chi_squared=shift.chi_squared,
            is_believed=is_believed,
            correction_um=self._followed_um(),
            started_s=self._visited_s,
        )
        self._visits += 1
        self._keep(seen)
        if out_of_range:
            self._pause(f"before line {line} {out_of_range}")
        self._react(line, seen)
        self._refocus()

    def _follower(self, learnt: Dither | None) -> FocusFollower | None:
        """Return what follows the focus, from where it was at the very beginning."""
        if self._scanner.instrument.focus is None:
            return None
        return FocusFollower(self._scanner, None if learnt is None else learnt.place_um[2])

    def _note(self, time_s: float, drift_um: Place, sd_um: Place) -> None:
        """Believe a look."""
        sd_nm = np.hypot(1000 * np.array(sd_um[:2]), _FLOOR_NM)
        self._filter.look(time_s, 1000 * np.array(drift_um[:2]), sd_nm)
        if self._focus is not None:
            self._focus.look(time_s, drift_um[2], sd_um[2])

    def _followed_um(self) -> Place:
        """By how much all drives are to follow by now."""
        along = () if self._focus is None else (self._focus.correction_um,)
        return (*self.correction_um(), *along)

    def _follow(self) -> str:
        """Decide where the focus drive is to be; say so where that is out of its range."""
        if self._focus is None:
            return ""
        try:
            self._focus.decide()
        except LimitError as error:
            return str(error)
        return ""

    def _refocus(self) -> None:
        """Have the sample in its plane again, after looks from elsewhere."""
        if self._focus is None:
            return
        try:
            self._focus.go()
        except DeviceError as error:
            self._log.warning(f"the focus drive does not follow: {error}")

    def _react(self, line: int, seen: LandmarkVisit) -> None:
        """Learn the landmark anew if it has changed; pause if it is lost."""
        if seen.is_believed:
            if seen.chi_squared > _RENEW_SHARE * self._schedule.max_chi_squared:
                self._log.info(f"landmark learnt anew before line {line}: it has changed")
                self._learn_anew()
            return
        self._pause(
            f"the landmark is lost before line {line}: expected a chi-squared up to"
            f" {self._schedule.max_chi_squared:g}, got {seen.chi_squared:.1f} and none better"
            f" within {1000 * _SEARCH_UM * _SEARCH_RINGS:.0f} nm; check focus and laser, or"
            " raise --max-chi-squared"
        )
        self._learn_anew()

    def _learn_anew(self) -> None:
        """Learn what the landmark looks like now; if that fails, what was learnt stays."""
        assert self._landmark is not None, "it was just looked at"
        try:
            self._landmark = self._learn(self._landmark.place_um) or self._landmark
        except DeviceError as error:
            self._log.warning(f"the landmark is not learnt anew: {error}")

    def _recall(self, visits: dict[str, NDArray[np.float64]]) -> None:
        """Know of the drift what earlier visits said, those that were written whole."""
        if not visits:
            return
        for index in np.flatnonzero(visits["is_believed"] == 1):
            drift_um, sd_um = visits["drift_um"][index], visits["sd_um"][index]
            if np.isfinite([*drift_um, *sd_um]).all():
                self._note(float(visits["started_s"][index]), tuple(drift_um), tuple(sd_um))
        followed_um = visits["correction_um"][np.isfinite(visits["correction_um"]).all(axis=1)]
        if self._focus is not None and len(followed_um):
            self._focus.recall(float(followed_um[-1, 2]))

    def _find(self, landmark: Landmark) -> tuple[Place, NDArray[np.uint16], Shift]:
        """Look where the landmark should be, and around it if it is not there.

        Returns
        -------
        Where the look was, its frames (frames, y, x), and what they say.
        """
        expected_um = total(landmark.place_um, self._followed_um())
        looks = []
        for offset_um in _rings(len(expected_um)):
            place_um = total(expected_um, offset_um)
            try:
                images = self._surveyor.look(place_um, self._followed_um())
            except LimitError:
                continue
            self._require_light(images)
            shift = landmark.model.estimate(images)
            looks.append((place_um, images, shift))
            if self._believes(shift):
                return looks[-1]
        if not looks:
            raise LimitError("landmark: has left the travel of the stage")
        return min(looks, key=lambda look: look[2].chi_squared)

    def _require_light(self, images: NDArray[np.uint16]) -> None:
        """Raise ``LightLost`` if a look is black, and so is what was bright before."""
        checks = self._scanner.checks
        if not checks.is_lit(images) and not self._scanner.sees_light(self.correction_um()):
            raise LightLost(
                "landmark: expected some light, got none, nor where there was some before;"
                " check laser and shutter"
            )

    def _believes(self, shift: Shift) -> bool:
        return shift.is_inside and shift.chi_squared <= self._schedule.max_chi_squared

    def _learn(self, place_um: Place) -> Landmark | None:
        """Look at a landmark from places around it, and keep what was seen."""
        seen = self._surveyor.learn(place_um, self._followed_um())
        self._keep(seen)
        return self._surveyor.known(seen)


def _rings(axes: int) -> Iterator[Place]:
    """Yield offsets: none, once more none, out of focus, then places around, nearest first."""
    rest = (0.0,) * (axes - 2)
    yield 0.0, 0.0, *rest
    yield from ((0.0, 0.0, z_um) for z_um in _FOCUS_SEARCH_UM if rest)
    steps = range(-_SEARCH_RINGS, _SEARCH_RINGS + 1)
    places = sorted(product(steps, repeat=2), key=lambda at: (at[0] ** 2 + at[1] ** 2, at))
    yield from ((_SEARCH_UM * x, _SEARCH_UM * y, *rest) for x, y in places)


def _less(a_um: Place, b_um: Place) -> Place:
    return tuple(a - b for a, b in zip(a_um, b_um, strict=True))
