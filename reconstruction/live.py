"""Reconstruction beside a running scan, in a thread of its own."""

import queue
import threading
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import Frame, FrameLine
from acquisition.plan import ScanPlan
from reconstruction.memory import Warn, warn_in_python
from reconstruction.predictor import Predictor
from simulation.threads import one_thread, settle


class LiveReconstruction:
    """Feeds a predictor with the lines of a scan as they are completed.

    Parameters
    ----------
    predictor
        Whose map it is. Frames may come in any order; it is handed whole lines, so its map is
        that of the finished run, bit for bit where one thread computes both. Points that are
        taken again later round otherwise, and what is withdrawn because the sample had
        jumped still counts; further looks at good ones are left to the finished run.
    plan
        The scan.
    impression
        Who is shown every frame at once, for squares of which the other says nothing yet.
    warn
        Told, once, if the map fails.

    Notes
    -----
    The scan never waits and nothing is dropped: frames queue up, ``finish`` waits for
    the last. A failure ends the map, not the scan; frames are dropped from then on.
    """

    def __init__(
        self,
        predictor: Predictor,
        plan: ScanPlan,
        impression: Predictor | None = None,
        *,
        warn: Warn = warn_in_python,
    ) -> None:
        self.predictor = predictor
        self._impression = impression
        self._warn = warn
        self._columns = plan.columns
        self._geometry = plan.geometry
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._lines: defaultdict[int, list[Frame]] = defaultdict(list)
        self._shown = self._known()
        self._thread = threading.Thread(target=self._work, name="reconstruction", daemon=True)
        self._thread.start()

    def add(self, frame: Frame) -> None:
        """Take a frame, valid or not."""
        if frame.repeat is None:
            self._frames.put(frame)

    def probability(self) -> NDArray[np.float64]:
        """Return the map so far, (rows, columns), read-only; NaN where nothing is known."""
        return self._shown

    def finish(self) -> None:
        """Work off what is queued, unfinished lines included, and end the thread."""
        self._frames.put(None)
        self._thread.join()
        settle()

    def _work(self) -> None:
        try:
            with one_thread():  # a line is too little work to share
                self._draw()
        except Exception as error:  # whatever it is, the scan goes on
            said = " ".join(str(error).split())
            self._warn(
                f"the live map failed: {said}; the run is safe, read it with opticalnet"
                " reconstruct"
            )
            self._lines.clear()
        while self._frames.get() is not None:
            pass  # dropped

    def _draw(self) -> None:
        while frames := self._waiting():
            if self._look_at(frames):
                self._shown = self._known()
        for row in sorted(self._lines):
            self.predictor.consume(self._line(self._lines[row]))
        self.predictor.finish()
        self._shown = self._known()

    def _waiting(self) -> list[Frame]:
        """Wait for a frame and take it with those behind it, up to a line; none at the end."""
        frames: list[Frame] = []
        while len(frames) < self._columns and (not frames or not self._frames.empty()):
            frame = self._frames.get()
            if frame is None:
                self._frames.put(None)  # for the next time
                break
            frames.append(frame)
        return frames

    def _look_at(self, frames: Iterable[Frame]) -> bool:
        """Hand frames to whoever can use them now, and return whether anybody could."""
        used = self._impression is not None
        rows: defaultdict[int, list[Frame]] = defaultdict(list)
        for frame in frames:
            rows[frame.point.row].append(frame)
        for row, some in rows.items():
            if self._impression is not None:
                self._impression.consume(self._line(some))
            self._lines[row] += some
            if len(self._lines[row]) == self._columns:
                self.predictor.consume(self._line(self._lines.pop(row)))
                used = True
        return used

    def _line(self, frames: list[Frame]) -> FrameLine:
        return FrameLine.of(frames, self._geometry)

    def _known(self) -> NDArray[np.float64]:
        """Take a picture of the map; whoever has an earlier one may keep it."""
        known = self.predictor.squares.probability.copy()
        if self._impression is not None:
            first = self._impression.squares.probability
            known = np.where(np.isfinite(known), known, first)
        known.setflags(write=False)
        return known
