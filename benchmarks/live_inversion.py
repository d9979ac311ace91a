"""How fast lines are inverted while a scan runs, and how far that is from the whole run.

    python benchmarks/live_inversion.py

Scans of 66 x 66 points with default noise are inverted as in the preview, band by band, from
nothing; frames a second with nothing else running. Beside it the inversion of the whole run
from nothing, and how far the two differ: the share of squares decided differently, how many of
those both are sure of, and the root mean square difference of the milled fractions.

Then what the scan notices of it: seconds that the same scan takes on this machine with nobody
watching and with the inversion beside it, in which nothing waits for simulated time.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import opticalnet
from acquisition.frame import Frame
from acquisition.observer import SilentObserver
from acquisition.store import Run, RunInfo
from reconstruction.inversion.bands import BandPredictor
from reconstruction.inversion.inversion import invert
from reconstruction.inversion.live_inversion import LiveInversion

CPU = torch.device("cpu")
SAMPLES = {"star": "ss", "glyph": "light", "random squares": "block"}
SEED = 3


class Watched(SilentObserver):
    """Has a run inverted while it is scanned."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, info: RunInfo, there: Iterator[Frame]) -> None:
        """Begin to invert."""
        self.inversion = LiveInversion(self._path, CPU)


def compare(name: str, run: Run) -> None:
    """Print a row: a run inverted in bands, and as a whole."""
    began = time.perf_counter()
    bands = BandPredictor(run.info, CPU)
    for line in run.lines(run.points()):
        bands.consume(line)
    rate = len(run.info.plan) / (time.perf_counter() - began)
    live, whole = bands.squares, invert(run, run.points(), None, CPU)
    truth = run.truth
    assert truth is not None
    right = [np.mean(found.is_open == (truth >= 0.5)) for found in (live, whole)]
    otherwise = live.is_open != whole.is_open
    sure = ~(live.undecided | whole.undecided)
    apart = np.sqrt(np.mean((live.coverage - whole.coverage) ** 2))
    print(
        f"| {name} | {rate:.0f} | {right[0]:.4f} | {right[1]:.4f} | {otherwise.mean():.2%}"
        f" | {otherwise[sure].sum()} of {sure.sum()} | {apart:.3f}"
        f" | {live.chi_squared:.3f}, {whole.chi_squared:.3f} |",
        flush=True,
    )


def main() -> None:
    """Print both tables."""
    print(
        "| | frames/s | right, live | whole | otherwise | of the sure | rms | chi-squared |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, sample in SAMPLES.items():
            path = Path(folder) / f"{sample}.zarr"
            opticalnet.acquire(sample, out=path, seed=SEED)
            compare(name, Run(path))
        print("\n| scan | s |\n|---|---|")
        for number, is_watched in enumerate((False, True) * 2):
            path = Path(folder) / f"scan-{number}.zarr"
            observer = Watched(path) if is_watched else SilentObserver()
            name = "beside the inversion" if is_watched else "alone"
            began = time.perf_counter()
            opticalnet.acquire("ss", out=path, seed=SEED, observer=observer)
            print(f"| {name} | {time.perf_counter() - began:.1f} |", flush=True)
            if isinstance(observer, Watched):
                observer.inversion.stop()


if __name__ == "__main__":
    main()
