"""Following the drift of a sample during a scan, by looks at a landmark.

A place is chosen whose light tells positions best, and learnt by looks at 25 positions around
it. Each visit then says by how much the sample has moved; the scan follows. The landmark lies
between the points of the scan, and is approached from the same side every time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.drift_filter import DriftFilter
from acquisition.frame import Dither, LandmarkVisit
from acquisition.landmark_model import LandmarkModel, Shift
from acquisition.landmark_promise import expected_sd_um
from acquisition.log import ScanLog
from acquisition.plan import CANDIDATES_PER_SIDE, DITHERS_PER_SIDE, LandmarkSchedule
from acquisition.scanner import Scanner
from configs.errors import DeviceError, LimitError

Place = tuple[float, float]

_BESIDE_UM: Final = 0.03
"""To either side: light that is even about a place tells nothing there."""
_DITHER_UM: Final = 0.06
_FEWEST_LOOKS: Final = 16
_SEARCH_UM: Final = 0.1
_SEARCH_RINGS: Final = 2
_BLIND_NM: Final = 15.0
_RENEW_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place, and what it looks like when the sample is moved.

    Attributes
    ----------
    place_um
        Stage position (x, y), for the sample as it was at the beginning.
    model
        Light against the offset of the stage from there, less the drift of the sample.
    """

    place_um: Place
    model: LandmarkModel


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
        self._sensor = scanner.info.instrument.camera.sensor
        self._filter = DriftFilter()
        learnt, visits = past
        self._visits = len(visits["line"]) if visits else 0
        self._recall(visits)
        self._visited_line, self._visited_s = -schedule.every_lines, -np.inf
        self._landmark: Landmark | None = (
            self._learn(self._choose()) if learnt is None else self._known(learnt)
        )

    def is_due(self, line: int) -> bool:
        """Say whether it is time for a visit."""
        if self._landmark is None:
            return False
        lines = line - self._visited_line
        seconds = self._scanner.seconds() - self._visited_s
        return lines >= self._schedule.every_lines or seconds >= self._schedule.every_s

    def drift_um(self) -> Place | None:
        """By how much (x, y) the sample has moved by now; ``None`` if nothing tells."""
        if self._landmark is None:
            return None
        x_nm, y_nm = self._filter.at(self._scanner.seconds())
        return x_nm / 1000, y_nm / 1000

    def correction_um(self) -> Place:
        """By how much the stage is to follow: not at all while there may be no drift."""
        drift_um = self.drift_um() if self._filter.has_moved else None
        return drift_um or (0.0, 0.0)

    def visit(self, line: int) -> None:
        """Look at the landmark before a line; pause if it is not to be found."""
        assert self._landmark is not None, "is_due said so"
        self._visited_line, self._visited_s = line, self._scanner.seconds()
        try:
            commanded_um, images, shift = self._find(self._landmark)
        except DeviceError as error:
            self._log.warning(f"no look at the landmark before line {line}: {error}")
            return
        is_believed = self._believes(shift)
        drift_um = _less(_less(commanded_um, self._landmark.place_um), shift.shift_um)
        if is_believed:
            sd_nm = np.hypot(1000 * np.array(shift.sd_um), _FLOOR_NM)
            self._filter.look(self._visited_s, 1000 * np.array(drift_um), sd_nm)
        seen = LandmarkVisit(
            visit=self._visits,
            line=line,
            commanded_um=commanded_um,
            images=images,
            drift_um=drift_um,
            sd_um=shift.sd_um,
            chi_squared=shift.chi_squared,
            is_believed=is_believed,
            correction_um=self.correction_um(),
            started_s=self._visited_s,
        )
        self._visits += 1
        self._keep(seen)
        self._react(line, seen)

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
            drift_nm, sd_nm = (1000 * visits[name][index] for name in ("drift_um", "sd_um"))
            if np.isfinite([*drift_nm, *sd_nm]).all():
                time_s = float(visits["started_s"][index])
                self._filter.look(time_s, drift_nm, np.hypot(sd_nm, _FLOOR_NM))

    def _find(self, landmark: Landmark) -> tuple[Place, NDArray[np.uint16], Shift]:
        """Look where the landmark should be, and around it if it is not there.

        Returns
        -------
        Where the look was, (x, y), its frames (frames, y, x), and what they say.
        """
        expected_um = _sum(landmark.place_um, self.correction_um())
        looks = []
        for offset_um in _rings():
            place_um = _sum(expected_um, offset_um)
            try:
                images = self._look(place_um)
            except LimitError:
                continue
            shift = landmark.model.estimate(images)
            looks.append((place_um, images, shift))
            if self._believes(shift):
                return looks[-1]
        if not looks:
            raise LimitError("landmark: has left the travel of the stage")
        return min(looks, key=lambda look: look[2].chi_squared)

    def _believes(self, shift: Shift) -> bool:
        return shift.is_inside and shift.chi_squared <= self._schedule.max_chi_squared

    def _learn(self, place_um: Place) -> Landmark | None:
        """Look at a landmark from 25 places around; return what ``_known`` makes of it."""
        drift_um = self.correction_um()
        steps_um = np.linspace(-_DITHER_UM, _DITHER_UM, DITHERS_PER_SIDE)
        offsets_um, images = [], []
        for offset_um in product(steps_um.tolist(), repeat=2):
            try:
                images.append(self._look(_sum(_sum(place_um, drift_um), offset_um)))
            except DeviceError as error:
                self._log.warning(f"a look at the landmark is missing: {error}")
            else:
                offsets_um.append(offset_um)
        if len(images) < _FEWEST_LOOKS:
            raise DeviceError(
                f"landmark: expected {_FEWEST_LOOKS} looks or more to learn it from, got"
                f" {len(images)}; see the log for what fails"
            )
        seen = Dither(
            place_um,
            drift_um,
            np.array(offsets_um),
            np.stack(images),
            self._scanner.seconds(),
        )
        self._keep(seen)
        return self._known(seen)

    def _known(self, seen: Dither) -> Landmark | None:
        """Return a landmark that was learnt; ``None`` if it tells nothing of positions."""
        model = LandmarkModel.fit(seen.images, seen.offsets_um, self._sensor)
        sd_nm = 1000 * max(model.precision_um(self._schedule.frames))
        if not sd_nm <= _BLIND_NM:
            self._log.warning(
                f"the drift is not seen here and not followed: expected a landmark that tells"
                f" positions to {_BLIND_NM:g} nm, got none better than {sd_nm:.0f} nm; expose"
                " longer"
            )
            return None
        return Landmark(seen.place_um, model)

    def _choose(self) -> Place:
        """Pick, of nine places between points, the one that tells positions best."""
        plan = self._scanner.info.plan
        half_um = plan.pitch_nm / 2000
        best, best_sd_nm = plan.centre_um, np.inf
        shares = np.arange(1, CANDIDATES_PER_SIDE + 1) / (CANDIDATES_PER_SIDE + 1)
        for down, right in product(shares.tolist(), repeat=2):
            row, column = int(down * (plan.rows - 1)), int(right * (plan.columns - 1))
            here_um = _sum(plan.point(row, column).target_um, (half_um, half_um))
            try:
                here, beside, below = (
                    self._look(_sum(here_um, (_BESIDE_UM * x, _BESIDE_UM * y)))
                    for x, y in ((-1, -1), (1, -1), (-1, 1))
                )
            except DeviceError as error:
                self._log.warning(f"a place that might be a landmark is left out: {error}")
                continue
            sd_um = expected_sd_um(
                here, beside, below, 2 * _BESIDE_UM, self._schedule.frames, self._sensor
            )
            if 1000 * max(sd_um) < best_sd_nm:
                best, best_sd_nm = here_um, 1000 * max(sd_um)
        return best

    def _look(self, place_um: Place) -> NDArray[np.uint16]:
        """Return the frames of one look, (frames, y, x)."""
        return self._scanner.attempt(lambda: self._look_once(place_um))[0]

    def _look_once(self, place_um: Place) -> NDArray[np.uint16]:
        plan = self._scanner.info.plan
        lead_um = (-plan.x_direction * plan.pitch_nm / 1000, 0.0)
        self._scanner.move_and_verify(_sum(place_um, lead_um))
        self._scanner.move_and_verify(place_um)
        return self._scanner.snap_many(self._schedule.frames)


_FLOOR_NM: Final = 1.0
"""No look is better: what the model leaves out."""


def _rings() -> Iterator[Place]:
    """Yield offsets (x, y): none, once more none, then the places around, nearest first."""
    yield 0.0, 0.0
    steps = range(-_SEARCH_RINGS, _SEARCH_RINGS + 1)
    places = sorted(product(steps, repeat=2), key=lambda at: (at[0] ** 2 + at[1] ** 2, at))
    yield from ((_SEARCH_UM * x, _SEARCH_UM * y) for x, y in places)


def _sum(a_um: Place, b_um: Place) -> Place:
    return a_um[0] + b_um[0], a_um[1] + b_um[1]


def _less(a_um: Place, b_um: Place) -> Place:
    return a_um[0] - b_um[0], a_um[1] - b_um[1]
