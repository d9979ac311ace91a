"""A line of a scan becomes frames: the unit of work of a data set.

A line is always simulated whole, in one matrix product on one thread, with noise of its
own: so frames do not depend on who simulates which lines, or how many at a time.
"""

import threading
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from configs.dataset import DatasetPlan
from simulation.datasets.scan import Scan, ScanLine
from simulation.defocus import FocusSeries
from simulation.detector import Detector
from simulation.forward import ForwardModel
from simulation.streams import Stream, torch_stream
from simulation.threads import one_thread

Images = NDArray[np.uint16]

SOFTWARE: Final = ("opticalnet", "numpy", "torch")
"""Packages that the frames of a given line depend on: the same versions, the same bits."""


class LineSimulator:
    """The light and the camera of a data set; threads may share it.

    Parameters
    ----------
    plan
        The set; its samples do not matter here, lines bring theirs.
    """

    def __init__(self, plan: DatasetPlan) -> None:
        self.plan = plan
        self._benches: dict[float, tuple[FocusSeries, Detector]] = {}
        self._lock = threading.Lock()

    def side(self, cell_nm: float) -> int:
        """Return the side of the window of cells that holds the beam."""
        with one_thread():
            return self._bench(cell_nm, 0.0)[0].cells

    def lines(self, scan: Scan) -> Iterator[ScanLine]:
        """Yield the lines of a scan in turn."""
        return scan.lines(self.side(scan.sample.cell_nm))

    def frames(self, line: ScanLine) -> Images:
        """Simulate the images of a line, (points, y, x)."""
        with one_thread(), torch.inference_mode():
            model, detector = self._bench(line.cell_nm, line.focus_nm)
            cells, side = torch.from_numpy(line.cells), model.cells
            windows = cells.unfold(0, side, 1).unfold(1, side, 1)[line.top, line.left]
            light = model.frames(windows, torch.from_numpy(line.offset_um))
            noise = torch_stream(
                self.plan.seed, Stream.SENSOR_NOISE, line.part, line.scan, line.row
            )
            return detector.record(light, line.power, self.plan.exposure_ms, noise)

    def _bench(self, cell_nm: float, focus_nm: float) -> tuple[ForwardModel, Detector]:
        """Light and camera for samples of one cell size."""
        with self._lock:
            if cell_nm not in self._benches:
                self._benches[cell_nm] = self._new_bench(cell_nm)
            series, detector = self._benches[cell_nm]
            return series.at(focus_nm), detector

    def _new_bench(self, cell_nm: float) -> tuple[FocusSeries, Detector]:
        plan, optics = self.plan, self.plan.instrument.optics
        series = FocusSeries(optics, cell_nm)
        open_peak = series.at(0.0).open_peak()
        detector = Detector(
            plan.camera, plan.environment, optics.image_px, open_peak, plan.seed
        )
        return series, detector
