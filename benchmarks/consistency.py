"""How much of the light a map leaves unexplained when the instrument is not as it says.

    python benchmarks/consistency.py

Scans by instruments whose defocus differs from what their configuration says, read by the scan
network as if it did not; and where on a star the map of the right instrument is wrong.
"""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

import opticalnet
from acquisition.store import Run
from configs.geometry import SQUARE_NM
from configs.optics import Optics
from reconstruction.consistency import ConsistencyCheck
from reconstruction.metrics import score
from reconstruction.scan_map import ScanMap
from reconstruction.shipped import scan_predictor

DEFOCUS = (1.0, 1.04, 1.1, 1.2, 0.8)
RINGS_UM = (0.0, 2.06, 3.0, 4.0, 12.0)


def recorded(folder: Path, sample: str, factor: float) -> Run:
    """Scan a sample with an instrument of another defocus."""
    instrument = folder / f"{factor}.toml"
    distance = factor * Optics().defocus_wavelengths
    instrument.write_text(f"name = 'off'\n[optics]\ndefocus_wavelengths = {distance}\n")
    out = folder / f"{sample}-{factor}.zarr"
    opticalnet.acquire(sample, instrument=str(instrument), out=out)
    return Run(out)


def read(run: Run) -> tuple[ScanMap, float | None]:
    """Read a run as if its optics were nominal: the map, and what it does not explain."""
    instrument = run.info.instrument.model_copy(update={"optics": Optics()})
    said = run.info.model_copy(update={"instrument": instrument})
    predictor = scan_predictor(said, torch.device("cpu"))[0]
    points, rows = run.points(), run.info.plan.rows
    for row in range(rows):
        predictor.consume(run.valid_frames(row, points))
    predictor.finish()
    check = ConsistencyCheck(said, predictor.mosaic.coverage)
    for row in range(0, rows, 2):
        check.add(run.valid_frames(row, points))
    return predictor.mosaic, check.result().unexplained


def print_rings(squares: ScanMap, truth: np.ndarray) -> None:
    """Print how much is right at which distance from the centre of a star."""
    right = squares.is_open == (truth >= 0.5)
    row, column = (np.arange(side) - (side - 1) / 2 for side in truth.shape)
    radius_um = np.hypot(row[:, None], column) * SQUARE_NM / 1000
    print("\n| star, distance from the centre | squares | right |\n|---|---|---|")
    for low, high in pairwise(RINGS_UM):
        ring = (radius_um >= low) & (radius_um < high)
        print(f"| {low:g} to {high:g} um | {ring.sum()} | {right[ring].mean():.3f} |")
    half = np.abs(truth - 0.5) < 1e-6
    print(f"| milled to exactly one half | {half.sum()} | {right[half].mean():.3f} |")


def main() -> None:
    """Scan, read, print."""
    torch.set_num_threads(1)
    print("| | defocus | unexplained | accuracy | constant |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for sample in ("block", "ss"):
            for factor in DEFOCUS:
                run = recorded(Path(folder), sample, factor)
                squares, unexplained = read(run)
                truth = run.truth
                assert truth is not None
                assert unexplained is not None
                scores = score(squares.probability, (truth >= 0.5).astype(np.int8))
                print(
                    f"| {sample} | x {factor} | {unexplained:.2%} | {scores.accuracy:.3f} |"
                    f" {scores.constant_accuracy:.3f} |",
                    flush=True,
                )
                if sample == "ss" and factor == 1:
                    star = squares, truth
    print_rings(*star)


if __name__ == "__main__":
    main()
