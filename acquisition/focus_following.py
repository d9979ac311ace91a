"""Keeping the sample in the plane in which it was at the beginning."""

from typing import Final

import numpy as np

from acquisition.drift_filter import ALONG, DriftFilter
from acquisition.landmark import FOCUS_REACH_UM
from acquisition.scanner import Scanner
from configs.errors import LimitError

_FLOOR_NM: Final = 2.0
"""No look is better: what the model leaves out."""
_STEP_UM: Final = FOCUS_REACH_UM
"""As far as one visit lets the drive go: what a landmark was learnt over."""


class FocusFollower:
    """Moves the focus drive after the sample, once that has moved beyond doubt.

    Parameters
    ----------
    scanner
        Moves the drive.
    home_um
        Position of the drive at the beginning; ``None``: where it is now.

    Attributes
    ----------
    home_um
        Position of the drive at the beginning.
    correction_um
        How far from there it follows.

    Raises
    ------
    LimitError
        If the range of the drive does not hold what learning a landmark takes.
    """

    def __init__(self, scanner: Scanner, home_um: float | None) -> None:
        focus, now_um = scanner.instrument.focus, scanner.focus_um
        assert focus is not None, "only where there is one"
        assert now_um is not None, "which said where it is"
        self.correction_um = 0.0
        self.home_um = now_um if home_um is None else home_um
        self._scanner, self._limits_um = scanner, focus.limits_um
        self._filter = DriftFilter(ALONG)
        low_um, high_um = self._limits_um
        if not low_um + FOCUS_REACH_UM <= self.home_um <= high_um - FOCUS_REACH_UM:
            raise LimitError(
                f"focus: expected the scan to begin {FOCUS_REACH_UM:g} um or more inside the"
                f" range of {low_um:g} to {high_um:g} um, so that a landmark can be learnt, got"
                f" {self.home_um:.2f} um; focus by hand with the drive in the middle, or widen"
                " range_um in [focus]"
            )

    def look(self, time_s: float, drift_um: float, sd_um: float) -> float:
        """Take a look at the landmark: how far the drive is to go from its home.

        Returns by how many nanometres the sample has jumped; 0 if it has not.
        """
        sd_nm = np.hypot([1000 * sd_um], _FLOOR_NM)
        jump_nm = self._filter.look(time_s, np.array([1000 * drift_um]), sd_nm)
        return float(np.abs(jump_nm[0]))

    def recall(self, correction_um: float) -> None:
        """Learn how far an earlier session followed; the next look says what it is now."""
        self.correction_um = correction_um
        self._filter.forget()

    def decide(self) -> None:
        """Let ``correction_um`` follow the sample, by a step.

        Raises
        ------
        LimitError
            If the drive would leave its range; the correction stays.
        """
        if not self._filter.has_moved:
            return
        (drift_nm,) = self._filter.at(self._scanner.seconds())
        step_um = drift_nm / 1000 - self.correction_um
        correction_um = self.correction_um + float(np.clip(step_um, -_STEP_UM, _STEP_UM))
        low_um, high_um = self._limits_um
        if not low_um <= (target_um := self.home_um + correction_um) <= high_um:
            raise LimitError(
                f"the sample leaves the range of the focus drive: expected between {low_um:g}"
                f" and {high_um:g} um, got {target_um:.3f} um; focus by hand with the drive in"
                " the middle, and begin a new scan, or widen range_um in [focus]"
            )
        self.correction_um = correction_um

    def go(self) -> None:
        """Bring the sample into its plane."""
        target_um = self.home_um + self.correction_um
        self._scanner.attempt(lambda: self._scanner.move_focus(target_um))
