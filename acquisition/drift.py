"""Following the drift of a sample during a scan, by looks at a landmark.

Each visit to a landmark says by how much the sample has moved since the beginning; the scan
follows, along the beam too where there is a focus drive.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.drift_filter import ACROSS, DriftFilter
from acquisition.focus_following import FocusFollower
from acquisition.frame import Dither, LandmarkVisit
from acquisition.frame_checks import LightLost
from acquisition.landmark import Landmark, Place, Surveyor, less
from acquisition.landmark_search import REACH_UM, LandmarkSearch
from acquisition.log import ScanLog
from acquisition.plan import LandmarkSchedule
from acquisition.scanner import Scanner
from configs.errors import DeviceError, LimitError

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
    withdraw
        Learns why nobody knows which frames since the look before are where they were
        thought to be: the sample has jumped, or its landmark is lost.
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
        withdraw: Callable[[str], None],
        pause: Callable[[str], None],
        past: tuple[Dither | None, dict[str, NDArray[np.float64]]],
    ) -> None:
        self._schedule, self._scanner = schedule, scanner
        self._log, self._keep, self._withdraw, self._pause = log, keep, withdraw, pause
        self._filter = DriftFilter(ACROSS)
        learnt, visits = past
        self._focus = self._follower(learnt)
        home_um = () if self._focus is None else (self._focus.home_um,)
        self._surveyor = Surveyor(schedule, scanner, log, home_um)
        self._search = LandmarkSearch(schedule, scanner, self._surveyor, log)
        self._visits = len(visits["line"]) if visits else 0
        self._overruled: set[str] = set()
        # Nobody has looked since an earlier session, nor does one that lost it know the way.
        self._is_lost = learnt is not None
        self._is_placed = learnt is None or learnt.drift_um is not None
        if learnt is not None:
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
        self._visited_line = min(self._visited_line, line)  # lines are taken again from here
        lines = line - self._visited_line
        seconds = self._scanner.seconds() - self._visited_s
        return lines >= self._schedule.every_lines or seconds >= self._schedule.every_s

    def drift_um(self) -> tuple[float, float] | None:
        """By how much (x, y) the sample has moved by now; ``None`` if nothing tells."""
        if self._landmark is None or self._is_lost or not self._is_placed:
            return None
        return self._moved_um()

    def correction_um(self) -> tuple[float, float]:
        """By how much the stage is to follow: not at all while there may be no drift.

        Nor farther than ``limits.correction_um``.
        """
        most_um = self._scanner.info.instrument.limits.correction_um
        x_um, y_um = np.clip(self._expected_um()[:2], -most_um, most_um).tolist()
        return x_um, y_um

    def visit(self, line: int) -> None:
        """Look at the landmark before a line, or after the last; pause if it is not found.

        Raises
        ------
        LightLost
            If there is no light; a visit is due again then.
        """
        assert self._landmark is not None, "is_due said so"
        self._visited_line, self._visited_s = line, self._scanner.seconds()
        try:
            look = self._search.find(self._landmark, self._expected_um())
        except LightLost:
            self._visited_line, self._visited_s = -self._schedule.every_lines, -np.inf
            raise
        except DeviceError as error:
            self._log.warning(f"no look at the landmark {self._when(line)}: {error}")
            self._refocus()
            return
        self._visited_s, shift = look.started_s, look.shift
        self._is_lost = not self._search.believes(shift)
        drift_um = less(less(look.place_um, self._landmark.place_um), shift.shift_um)
        doubt = "the landmark was lost by the next look"
        if not self._is_lost:
            doubt = self._note(look.started_s, drift_um, shift.sd_um)
        if doubt:
            self._withdraw(doubt)
        out_of_reach = self._follow()
        seen = LandmarkVisit(
            visit=self._visits,
            line=line,
            commanded_um=look.place_um,
            images=look.images,
            drift_um=drift_um,
            sd_um=shift.sd_um,
            chi_squared=shift.chi_squared,
            is_believed=not self._is_lost,
            correction_um=(*self.correction_um(), *self._along_um()),
            started_s=look.started_s,
        )
        self._visits += 1
        self._keep(seen)
        for drive, reason in out_of_reach.items():
            if drive not in self._overruled:
                self._pause(f"{self._when(line)} {reason}")
                self._overruled.add(drive)
        self._react(line, seen)
        self._refocus()

    def _follower(self, learnt: Dither | None) -> FocusFollower | None:
        """Return what follows the focus, from where it was at the very beginning."""
        if self._scanner.instrument.focus is None:
            return None
        return FocusFollower(self._scanner, None if learnt is None else learnt.place_um[2])

    def _note(self, time_s: float, drift_um: Place, sd_um: Place) -> str:
        """Believe a look; say how the sample has jumped, if farther than is tolerated."""
        timing = self._scanner.info.instrument.timing
        sd_nm = np.hypot(1000 * np.array(sd_um[:2]), _FLOOR_NM)
        jump_nm = self._filter.look(time_s, 1000 * np.array(drift_um[:2]), sd_nm)
        across_nm, along_nm = float(np.hypot(*jump_nm)), 0.0
        if self._focus is not None:
            along_nm = self._focus.look(time_s, drift_um[2], sd_um[2])
        if across_nm <= timing.position_tolerance_nm and along_nm <= timing.focus_tolerance_nm:
            return ""
        along = "" if self._focus is None else f" and {along_nm:.0f} nm along the beam"
        return f"the sample had jumped by {across_nm:.0f} nm{along} by the next look"

    def _moved_um(self) -> tuple[float, float]:
        """By how much (x, y) the sample has moved by now, as far as anybody can say."""
        x_nm, y_nm = self._filter.at(self._scanner.seconds())
        return x_nm / 1000, y_nm / 1000

    def _along_um(self) -> Place:
        """By how much the focus drive follows, (z,); () where there is none."""
        return () if self._focus is None else (self._focus.correction_um,)

    def _expected_um(self) -> Place:
        """Where the landmark is to be looked for, beyond its place."""
        across_um = self._moved_um() if self._filter.has_moved else (0.0, 0.0)
        return (*across_um, *self._along_um())

    def _follow(self) -> dict[str, str]:
        """Decide where the focus drive is to be; say which drives do not get there, and why."""
        reasons = {}
        x_um, y_um, *_ = self._expected_um()
        most_um = self._scanner.info.instrument.limits.correction_um
        if max(abs(x_um), abs(y_um)) > most_um:
            reasons["stage"] = (
                f"the sample has gone too far: expected at most {most_um:g} um in x and y, got"
                f" ({x_um:.3f}, {y_um:.3f}) um; it has come loose, or raise"
                " limits.correction_um: going on, the stage follows no farther"
            )
        if self._focus is not None:
            try:
                self._focus.decide()
            except LimitError as error:
                reasons["focus"] = str(error)
        return reasons

    def _when(self, line: int) -> str:
        is_last = line >= self._scanner.info.plan.rows
        return "after the last line" if is_last else f"before line {line}"

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
                self._log.info(f"landmark learnt anew {self._when(line)}: it has changed")
                self._learn_anew()
            return
        self._pause(
            f"the landmark is lost {self._when(line)}: expected a chi-squared up to"
            f" {self._schedule.max_chi_squared:g}, got {seen.chi_squared:.1f} and none better"
            f" within {1000 * REACH_UM:.0f} nm; check focus and laser, or raise"
            " --max-chi-squared; going on, frames are marked as displaced"
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
        """Know of the drift what earlier visits said, and that it is a while ago.

        Visits that were not written whole are left out.
        """
        for index in np.flatnonzero(visits["is_believed"] == 1):
            drift_um, sd_um = visits["drift_um"][index], visits["sd_um"][index]
            if np.isfinite([*drift_um, *sd_um]).all():
                self._note(float(visits["started_s"][index]), tuple(drift_um), tuple(sd_um))
        followed_um = visits["correction_um"][np.isfinite(visits["correction_um"]).all(axis=1)]
        self._filter.forget()
        if self._focus is not None:
            self._focus.recall(float(followed_um[-1, 2]) if len(followed_um) else 0.0)

    def _learn(self, place_um: Place) -> Landmark | None:
        """Look at a landmark from places around it, and keep what was seen."""
        seen = self._surveyor.learn(place_um, self._expected_um())
        is_placed = self._is_placed and not self._is_lost
        if not is_placed:
            seen = replace(seen, drift_um=None)
        self._keep(seen)
        landmark = self._surveyor.known(seen)
        if landmark is not None:
            self._is_placed = is_placed
        return landmark
