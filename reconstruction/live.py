"""Reconstruction beside a running scan, in a thread of its own."""

import queue
import threading

import numpy as np

from acquisition.frame import Frame, Status
from acquisition.plan import ScanPlan
from configs.errors import ReconstructionError
from reconstruction.predictor import Predictor


class LiveReconstruction:
    """Feeds a predictor with the lines of a scan as they are completed.

    The scan never waits and nothing is dropped: lines queue up, ``finish`` waits for
    the last. A failure ends the map, not the scan, and is raised by ``finish``.
    """

    def __init__(self, predictor: Predictor, plan: ScanPlan) -> None:
        self.predictor = predictor
        self._columns = plan.columns
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
            return self.predictor.mosaic.probability

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
            while (line := self._lines.get()) is not None:
                valid = [frame for frame in line if frame.status is Status.VALID]
                if valid:
                    indices = np.array([frame.point.index for frame in valid])
                    images = np.stack([frame.image for frame in valid])
                    with self._lock:
                        self.predictor.consume(indices, images)
        except Exception as error:  # handed to finish(), which raises it
            self._failure = error
