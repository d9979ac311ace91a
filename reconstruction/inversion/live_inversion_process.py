"""The other process of ``live_inversion``: inverts a run while it grows, and tells."""

import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import torch

from acquisition.store import Run
from configs.errors import OpticalNetError
from reconstruction.inversion.bands import BandPredictor
from reconstruction.inversion.live_inversion import Inverted

_LOOK_S: Final = 0.25
"""Between looks at a journal that does not grow."""
_NICENESS: Final = 10
_FIRST_TO_GO: Final = "1000"
"""Where memory runs out: this process, not the scan."""


class _Scan:
    """The process of the scan, as this one sees it."""

    def __init__(self) -> None:
        # What libraries print is not for the other process.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        threading.Thread(target=self._end_with_it, daemon=True).start()

    def tell(self, said: Inverted | str | None) -> None:
        """Pass on a map or a warning, at the end ``None``."""
        pickle.dump(said, self._out)
        self._out.flush()

    def _end_with_it(self) -> None:
        while os.read(0, 1):
            pass
        os._exit(0)


def main() -> None:
    """Invert the run that the command line names on the device that it names."""
    _step_back()
    scan = _Scan()
    try:
        _invert(Path(sys.argv[1]), torch.device(sys.argv[2]), scan)
    except OpticalNetError as error:
        scan.tell(f"no live inversion: {error}")
    scan.tell(None)


def _invert(path: Path, device: torch.device, scan: _Scan) -> None:
    run, shown = Run(path), 0
    predictor = BandPredictor(run.info, device, warn=scan.tell)
    for line in run.growing_lines(lambda: time.sleep(_LOOK_S)):
        predictor.consume(line)
        if predictor.bands_done > shown:
            shown, squares = predictor.bands_done, predictor.squares
            probability = squares.probability
            undecided = squares.undecided & np.isfinite(probability)
            scan.tell(Inverted(probability, undecided, squares.chi_squared))


def _step_back() -> None:
    """Leave cores and memory to the scan."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


if __name__ == "__main__":
    main()
