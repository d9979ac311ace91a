"""Memory of the inversion, which should not grow with the scan.

    python benchmarks/inversion_memory.py [COLUMNS]

Random squares, 70 rows of them, in scans of 72 and of 1,000 columns, or as many, on an
instrument that does not drift in the hours that the longer one takes; each is
inverted from nothing by the command, in a process of its own, whose largest resident set is
told.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

import opticalnet

ROWS = 70


def main() -> None:
    """Scan, invert, print a table."""
    print("| points | tiles of up to 72 x 72 | memory, GB | s | accuracy | constant |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for points in (72, int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
            columns = points - 2
            squares = np.random.default_rng(columns).random((ROWS, columns)) < 0.35
            mask, out = Path(folder) / f"{columns}.npy", Path(folder) / f"{columns}.zarr"
            np.save(mask, squares)
            opticalnet.acquire(str(mask), out=out, instrument="simulated-still")
            start = time.perf_counter()
            command = [sys.executable, "-m", "opticalnet", "reconstruct", str(out)]
            process = subprocess.Popen(
                [*command, "--method", "inversion", "--json"], stdout=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
            assert status == 0
            seconds = time.perf_counter() - start
            result = opticalnet.Run(out)
            print(
                f"| {ROWS + 2} x {columns + 2:,} | {-(-(columns + 2) // 72)}"
                f" | {used.ru_maxrss / 1e6:.2f} | {seconds:.0f} | {score(result):.4f} |"
                f" {1 - squares.mean():.3f} |",
                flush=True,
            )


def score(run: opticalnet.Run) -> float:
    """Return the share of squares that the result kept in a run gets right."""
    kept = zarr.open_array(run.path / "reconstruction" / "inversion" / "binary" / "0")
    truth = run.truth
    assert truth is not None
    return float((np.asarray(kept[:]) == (truth >= 0.5)).mean())


if __name__ == "__main__":
    main()
