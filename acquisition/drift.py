"""Watching for drift during a scan: which landmark, when to look, when to pause."""

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import LandmarkVisit
from acquisition.landmark import normalised_residual
from acquisition.observer import Observer
from acquisition.plan import LandmarkSchedule
from acquisition.scanner import Scanner
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError

_CANDIDATES: Final = (0.25, 0.5, 0.75)


class DriftWatch:
    """Revisits a landmark and pauses the scan when it has changed."""

    def __init__(
        self,
        schedule: LandmarkSchedule,
        scanner: Scanner,
        writer: RunWriter | None,
        observer: Observer,
    ) -> None:
        self._schedule = schedule
        self._scanner = scanner
        self._writer = writer
        self._observer = observer
        self._sensor = scanner.info.instrument.camera.sensor
        self._place_um = self._choose()
        self._first: NDArray[np.uint16] | None = None
        self._visits = 0

    def before(self, line: int) -> None:
        """Look at the landmark if it is time; ``AcquisitionError`` if a pause ends the scan."""
        if line % self._schedule.every_lines:
            return
        started_s = self._scanner.seconds()
        images = self._look(self._place_um)
        if self._first is None:
            self._first = images
        residual = normalised_residual(self._first, images, self._sensor)
        visit = LandmarkVisit(self._visits, line, images, residual, started_s)
        self._visits += 1
        if self._writer is not None:
            self._writer.add_landmark(visit)
        self._observer.landmark(visit)
        if residual > self._schedule.max_residual:
            reason = (
                f"drift before line {line}: the landmark differs from its first visit by"
                f" {residual:.1f} x noise, at most {self._schedule.max_residual:g} expected;"
                " let the sample settle or check focus and laser"
            )
            with self._scanner.interrupt.at_once():
                go_on = self._observer.paused(reason)
            if not go_on:
                raise AcquisitionError(f"{reason}; stopped, the run up to there is safe")

    def _look(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        """Return the frames of one visit, (frames, y, x)."""
        return self._scanner.attempt(lambda: self._look_once(place_um))[0]

    def _look_once(self, place_um: tuple[float, float]) -> NDArray[np.uint16]:
        self._scanner.move_and_verify(place_um)
        camera = self._scanner.instrument.camera
        timeout_s = self._scanner.info.instrument.timing.frame_timeout_s
        camera.start_sequence(self._schedule.frames)
        try:
            return np.stack(
                [camera.read_frame(timeout_s) for _ in range(self._schedule.frames)]
            )
        finally:
            camera.stop()

    def _choose(self) -> tuple[float, float]:
        """Pick, of nine places, the one whose frame changes most over a third of a square."""
        plan = self._scanner.info.plan
        best, contrast = plan.centre_um, 0.0
        for down, right in product(_CANDIDATES, repeat=2):
            row, column = round(down * (plan.rows - 1)), round(right * (plan.columns - 1))
            x_um, y_um = plan.point(row, column).target_um
            shift_um = plan.pitch_nm / 3000
            here = self._look((x_um, y_um))
            aside = self._look((x_um + plan.x_direction * shift_um, y_um))
            below = self._look((x_um, y_um + plan.y_direction * shift_um))
            change = min(
                normalised_residual(here, moved, self._sensor) for moved in (aside, below)
            )
            if change > contrast:
                best, contrast = (x_um, y_um), change
        if contrast < self._schedule.max_residual:
            self._observer.warning(
                f"the drift check is blind here: a shift of {plan.pitch_nm / 3:.0f} nm changes"
                f" no landmark by more than {contrast:.1f} x noise, and the scan pauses at"
                f" {self._schedule.max_residual:g}; expose longer or average more frames"
            )
        return best
