"""What further looks at squares in doubt are worth, by exposure.

    python benchmarks/adaptive_finish.py

Random squares on the simulated instrument. Beside the plain raster: a fifth more looks where
the frames' predictions disagree most, and as many spread evenly over the sample.
"""

import tempfile
from pathlib import Path

import numpy as np

import opticalnet
import opticalnet.acquiring
from acquisition.store import Run
from reconstruction.disagreement import disagreement

EXPOSURES_MS = (0.1, 0.3, 1.0, 10.0)
SHARE = 0.2
SEED = 5


def evenly(run: Run, warn: object) -> np.ndarray:
    """Doubt all points alike, in a random order."""
    plan = run.info.plan
    doubt = np.zeros((plan.rows, plan.columns))
    inner = plan.crop(doubt)
    inner[:] = np.random.default_rng(len(run.points().repeats)).random(inner.shape)
    return doubt


def scores(path: Path) -> tuple[float, float]:
    """Return the accuracy of the scan network and of the inversion."""
    network = opticalnet.reconstruct(path)
    inverted = opticalnet.invert(path, start=network)
    assert network.stitched is not None
    assert inverted.stitched is not None
    return network.stitched.accuracy, inverted.stitched.accuracy


def main() -> None:
    """Scan three ways at every exposure; print a table."""
    print("| exposure, ms | further looks | scan network | inversion | constant |")
    print("|---|---|---|---|---|")
    ways = {"none": (0.0, disagreement), "in doubt": (SHARE, disagreement)}
    ways["evenly"] = (SHARE, evenly)
    with tempfile.TemporaryDirectory() as folder:
        for exposure_ms in EXPOSURES_MS:
            for name, (share, doubts) in ways.items():
                path = Path(folder) / f"{exposure_ms}-{name}.zarr"
                opticalnet.acquiring.disagreement = doubts
                opticalnet.acquire(
                    "block", out=path, seed=SEED, exposure_ms=exposure_ms, finish=share
                )
                run = Run(path)
                network, inverted = scores(path)
                assert run.truth is not None
                is_open = (run.truth >= 0.5).mean()
                constant = max(is_open, 1 - is_open)
                print(
                    f"| {exposure_ms:g} | {name}, {len(run.points().repeats)} |"
                    f" {network:.4f} | {inverted:.4f} | {constant:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
