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
    """Scan, reconstruct in every way, print a table."""
    print("| sample | | accuracy | balanced | F1 | Jaccard | constant |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for sample, seed in SCANS:
            out = Path(folder) / f"{sample}-{seed}.zarr"
            opticalnet.acquire(sample, seed=seed, out=out)
            name = f"{sample}, seed {seed}"
            print_scores(f"{name} | whole scan", opticalnet.reconstruct(out).stitched)
            for grid in (3, 5, 7):
                frames = opticalnet.reconstruct(out, method="frames", grid=grid)
                print_scores(f"{name} | {grid} x {grid}, frame", frames.frame)
                print_scores(f"{name} | {grid} x {grid}, stitched", frames.stitched)
                pooled = opticalnet.reconstruct(out, method="pooled", grid=grid)
                print_scores(f"{name} | {grid} x {grid}, pooled", pooled.stitched)


def print_scores(name: str, scores: opticalnet.Scores | None) -> None:
    """Print a row."""
    assert scores is not None
    values = " | ".join(f"{value:.3f}" for value in scores.as_dict().values())
    print(f"| {name} | {values} |", flush=True)


if __name__ == "__main__":
    main()
