"""A process that inverts a run while it grows, for ``follower``."""

import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Final

import numpy as np
import torch

from acquisition.store import Run
from configs.errors import OpticalNetError
from reconstruction.inversion.bands import BandPredictor
from reconstruction.inversion.follower import END, Inverted
from reconstruction.inversion.inversion_map import InversionMap

_LOOK_S: Final = 0.25
"""Time between looks at a journal that does not grow."""
_POLITE: Final = 10
"""How far its priority is below that of the scan."""


class _Parent:
    """The process of the scan, as the one that inverts sees it."""

    def __init__(self) -> None:
        # What libraries print is not for the other process.
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._shown = 0
        self.scan_has_ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, said: str | Inverted) -> None:
        """Pass on a map or a warning."""
        pickle.dump(said, self._out)
        self._out.flush()

    def show(self, squares: InversionMap) -> None:
        """Pass on a map, if there is more on it than before."""
        probability = squares.probability
        known = np.isfinite(probability)
        if known.sum() > self._shown:
            self._shown = known.sum()
            undecided = squares.undecided & known
            self.tell(Inverted(probability, undecided, squares.chi_squared))

    def _listen(self) -> None:
        if sys.stdin.buffer.read(len(END)) != END:
            os._exit(0)  # it is gone, and with it whoever looks
        self.scan_has_ended.set()


def follow(path: Path, device: torch.device) -> None:
    """Invert a growing run and tell the process of the scan."""
    if hasattr(os, "nice"):
        os.nice(_POLITE)
    parent = _Parent()
    try:
        run = Run(path)
        predictor = BandPredictor(run.info, device, warn=parent.tell)
        for line in run.growing_lines(lambda: parent.scan_has_ended.wait(_LOOK_S)):
            predictor.consume(line)
            parent.show(predictor.squares)
        predictor.finish()
        parent.show(predictor.squares)
    except OpticalNetError as error:
        parent.tell(f"no live inversion: {error}")


if __name__ == "__main__":
    follow(Path(sys.argv[1]), torch.device(sys.argv[2]))
