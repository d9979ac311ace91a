"""How fast lines are inverted while a scan runs, and how far that is from the whole run.

    python benchmarks/live_inversion.py

Scans of 66 x 66 points with default noise are inverted as in the preview: band by band, from
nothing, in a process of its own. Frames a second: of a finished run, nothing else running.
Beside it the inversion of the whole run from nothing, and by how much the two differ: share of
squares decided otherwise, of those both are sure of, and the root mean square of the difference
between milled fractions.

Then what the scan notices of it: seconds that the same scan takes on this machine with nobody
watching and with the inversion beside it, in which nothing waits for simulated time.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import opticalnet
from acquisition.observer import SilentObserver
from acquisition.store import Run, RunInfo
from reconstruction.inversion.bands import BandPredictor
from reconstruction.inversion.follower import InversionFollower
from reconstruction.inversion.inversion import invert

CPU = torch.device("cpu")
SAMPLES = {"star": "ss", "glyph": "light", "random squares": "block"}
SEED = 3


class Watched(SilentObserver):
    """Has a run inverted while it is scanned."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, info: RunInfo) -> None:
        """Begin to invert."""
        self.inversion = InversionFollower(self._path, CPU)


def compare(name: str, run: Run) -> None:
    """Print a row: a run inverted in bands, and as a whole."""
    began = time.perf_counter()
    follower = InversionFollower(run.path, CPU)
    follower.finish()
    rate = len(run.info.plan) / (time.perf_counter() - began)
    bands = BandPredictor(run.info, CPU)
    points = run.points()
    for row in range(run.info.plan.rows):
        bands.consume(run.valid_frames(row, points))
    bands.finish()
    live, whole = bands.squares, invert(run, points, None, CPU)
    assert follower.inverted is not None
    np.testing.assert_allclose(follower.inverted.probability, live.probability, atol=0.01)
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
        for name in ("alone", "beside the inversion", "alone", "beside the inversion"):
            path = Path(folder) / f"{time.monotonic_ns()}.zarr"
            observer = Watched(path) if name != "alone" else SilentObserver()
            began = time.perf_counter()
            opticalnet.acquire("ss", out=path, seed=SEED, observer=observer)
            print(f"| {name} | {time.perf_counter() - began:.1f} |", flush=True)
            if isinstance(observer, Watched):
                observer.inversion.stop()


if __name__ == "__main__":
    main()
