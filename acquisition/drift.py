"""Watching for drift during a scan: which landmark, when to look, when to pause."""

from collections.abc import Callable
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import LandmarkVisit
from acquisition.landmark import normalised_residual
from acquisition.observer import Observer
from acquisition.plan import LandmarkSchedule, ScanPlan
from acquisition.scanner import Scanner
from configs.errors import DeviceError

_CANDIDATES: Final = (0.25, 0.5, 0.75)
CHOOSING_LOOKS: Final = 3 * len(_CANDIDATES) ** 2
"""Looks at the sample that choosing a landmark takes."""


class DriftWatch:
    """Revisits a landmark and pauses the scan when it has changed."""

    def __init__(
        self,
        schedule: LandmarkSchedule,
        scanner: Scanner,
        observer: Observer,
        keep: Callable[[LandmarkVisit], None],
        pause: Callable[[str], None],
    ) -> None:
        self._schedule = schedule
        self._scanner = scanner
        self._observer = observer
        self._keep, self._ask = keep, pause
        self._sensor = scanner.info.instrument.camera.sensor
        self._place_um = self._choose()
        self._first: NDArray[np.uint16] | None = None
        self._visits = 0

    def before(self, line: int) -> None:
        """Look at the landmark if it is time; ``AcquisitionError`` if a pause ends the scan."""
        if line % self._schedule.every_lines:
            return
        visit = self._visits
        self._visits += 1
        started_s = self._scanner.seconds()
        try:
            images = self._look(self._place_um)
        except DeviceError as error:
            self._observer.warning(f"no look at the landmark before line {line}: {error}")
            return
        if self._first is None:
            self._first = images
        residual = normalised_residual(self._first, images, self._sensor)
        seen = LandmarkVisit(visit, line, self._place_um, images, residual, started_s)
        self._keep(seen)
        if residual > self._schedule.max_residual:
            self._pause(line, residual)

    def _pause(self, line: int, residual: float) -> None:
        self._ask(
            f"drift before line {line}: expected the landmark within"
            f" {self._schedule.max_residual:.1%} of its first visit, got {residual:.1%};"
            " let the sample settle, check focus and laser, or raise --max-residual"
        )

    def _look(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        """Return the frames of one visit, (frames, y, x)."""
        return self._scanner.attempt(lambda: self._look_once(place_um))[0]

    def _look_once(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        self._scanner.move_and_verify(place_um)
        camera = self._scanner.instrument.camera
        timeout_s = self._scanner.info.instrument.timing.frame_timeout_s
        camera.start_sequence(self._schedule.frames)
        try:
            frames = (camera.read_frame(timeout_s) for _ in range(self._schedule.frames))
            return np.stack([self._scanner.checks.check_kind(frame) for frame in frames])
        finally:
            camera.stop()

    def _choose(self) -> tuple[float, float]:
        """Pick, of nine places, the one whose frame changes most over a third of a square."""
        plan = self._scanner.info.plan
        best, contrast = plan.centre_um, 0.0
        for down, right in product(_CANDIDATES, repeat=2):
            row, column = round(down * (plan.rows - 1)), round(right * (plan.columns - 1))
            here_um = plan.point(row, column).target_um
            here = self._look(here_um)
            changes = [
                normalised_residual(here, self._look(_towards(here_um, there)), self._sensor)
                for there in _neighbours(plan, row, column)
            ]
            if min(changes) > contrast:
                best, contrast = here_um, min(changes)
        if contrast < self._schedule.max_residual:
            self._observer.warning(
                f"the drift check is blind here: a shift of {plan.pitch_nm / 3:.0f} nm changes"
                f" no landmark by more than {contrast:.1%}, and the scan pauses at"
                f" {self._schedule.max_residual:.1%}; expose longer or lower --max-residual"
            )
        return best


def _neighbours(
    plan: ScanPlan, row: int, column: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the targets beside and below a point, or on its other side at the rim."""
    beside = column + 1 if column + 1 < plan.columns else column - 1
    below = row + 1 if row + 1 < plan.rows else row - 1
    return plan.point(row, beside).target_um, plan.point(below, column).target_um


def _towards(here: tuple[float, float], there: tuple[float, float]) -> tuple[float, float]:
    """Return the place a third of the way."""
    return here[0] + (there[0] - here[0]) / 3, here[1] + (there[1] - here[1]) / 3
