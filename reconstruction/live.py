"""Reconstruction beside a running scan, in a thread of its own."""

import queue
import threading

import numpy as np

from acquisition.frame import Frame, FrameLine
from acquisition.plan import ScanPlan
from configs.errors import ReconstructionError
from reconstruction.predictor import Predictor
from simulation.threads import one_thread


class LiveReconstruction:
    """Feeds a predictor with the lines of a scan as they are completed.

    Where that one waits for lines to come, another gives a first impression.

    The scan never waits and nothing is dropped: lines queue up, ``finish`` waits for
    the last. A failure ends the map, not the scan, and is raised by ``finish``.
    """

    def __init__(
        self, predictor: Predictor, plan: ScanPlan, impression: Predictor | None = None
    ) -> None:
        self.predictor = predictor
        self._impression = impression
        self._columns = plan.columns
        self._geometry = plan.geometry
        self._line: list[Frame] = []
        self._lines: queue.SimpleQueue[list[Frame] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="reconstruction", daemon=True)
        self._thread.start()

    def add(self, frame: Frame) -> None:
        """Take a frame, valid or not, in the order of the scan."""
        self._line.append(frame)
        if len(self._line) == self._columns:
            self._lines.put(self._line)
            self._line = []

    def probability(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return the map so far, (rows, columns); NaN where nothing is known."""
        with self._lock:
            final = self.predictor.mosaic.probability
            if self._impression is None or np.isfinite(final).all():
                return final
            return np.where(np.isfinite(final), final, self._impression.mosaic.probability)

    def finish(self) -> None:
        """Work off what is queued, an unfinished line included, and end the thread.

        Raises
        ------
        ReconstructionError
            If the map failed; the scan and its run did not.
        """
        if self._line:
            self._lines.put(self._line)
            self._line = []
        self._lines.put(None)
        self._thread.join()
        if self._failure is not None:
            raise ReconstructionError(
                f"the live map failed: {self._failure}; the run is safe,"
                " read it with opticalnet reconstruct"
            ) from self._failure

    def _work(self) -> None:
        try:
            with one_thread():  # a line is too little work to share
                while (line := self._lines.get()) is not None:
                    self._consume(FrameLine.of(line, self._geometry))
                with self._lock:
                    self.predictor.finish()
        except Exception as error:  # handed to finish(), which raises it
            self._failure = error

    def _consume(self, line: FrameLine) -> None:
        with self._lock:
            if self._impression is not None:
                self._impression.consume(line)
            self.predictor.consume(line)
