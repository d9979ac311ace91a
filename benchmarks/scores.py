"""Scores of the shipped weights on whole simulated scans with default noise.

    python benchmarks/scores.py

Every scan goes through the whole instrument: simulated stage and camera, scan engine,
run on disk, reconstruction. Neither star nor glyph nor these seeds were trained on.
"""

import tempfile
from pathlib import Path

import opticalnet

SCANS = [("ss", 0), ("light", 0), ("block", 0), ("block", 1), ("block", 2)]


def main() -> None:
    """Scan, reconstruct at every grid, print a table."""
    print("| sample | grid | | accuracy | balanced | F1 | Jaccard | constant |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for sample, seed in SCANS:
            out = Path(folder) / f"{sample}-{seed}.zarr"
            opticalnet.acquire(sample, seed=seed, out=out)
            name = f"{sample}, seed {seed}"
            for grid in (3, 5, 7):
                result = opticalnet.reconstruct(out, grid=grid)
                for kind, scores in (("frame", result.frame), ("stitched", result.stitched)):
                    assert scores is not None
                    values = " | ".join(f"{v:.3f}" for v in scores.as_dict().values())
                    print(f"| {name} | {grid} | {kind} | {values} |", flush=True)


if __name__ == "__main__":
    main()
