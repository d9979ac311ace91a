"""How much of the light a map leaves unexplained when the instrument is not as it says.

    python benchmarks/consistency.py

Scans by instruments that differ from what their runs say, read by the scan network as if
they did not; and where on the star, and on the star of whole squares, the map of the right
instrument is wrong.
"""

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
import zarr

import opticalnet
from configs.geometry import SQUARE_UM
from configs.optics import GaussianBeam, Optics
from simulation.samples import load_sample

NOMINAL = Optics()
INSTRUMENTS = {
    "as it says": NOMINAL,
    "defocus x 1.04": NOMINAL.changed(defocus_wavelengths=10.4),
    "defocus x 1.1": NOMINAL.changed(defocus_wavelengths=11.0),
    "defocus x 1.2": NOMINAL.changed(defocus_wavelengths=12.0),
    "defocus x 0.8": NOMINAL.changed(defocus_wavelengths=8.0),
    "beam of 600 nm": NOMINAL.changed(beam=GaussianBeam(fwhm_nm=600.0)),
    "window of 64 unbinned pixels": NOMINAL.changed(roi_px=64, binning=1),
}
RINGS_UM = (0.0, 2.06, 3.0, 4.0, 12.0)


def read(folder: Path, sample: str, number: int, optics: Optics) -> opticalnet.Reconstruction:
    """Scan with an instrument of other optics than its run says, and read that."""
    instrument = folder / f"{number}.toml"
    config = {"name": "off", "optics": optics.model_dump(exclude_none=True)}
    instrument.write_text(tomli_w.dumps(config))
    out = folder / f"{sample}-{number}.zarr"
    opticalnet.acquire(sample, instrument=str(instrument), out=out)
    attributes = zarr.open_group(out, mode="a").attrs
    said: Any = attributes["opticalnet"]
    said["instrument"]["optics"] = NOMINAL.model_dump(mode="json")
    attributes["opticalnet"] = said
    return opticalnet.reconstruct(out)


def print_rings(name: str, star: opticalnet.Reconstruction) -> None:
    """Print how much is right at which distance from the centre of a star."""
    squares, truth = star.squares, star.truth
    assert truth is not None
    right = squares.is_open == (truth >= 0.5)
    row, column = (np.arange(side) - (side - 1) / 2 for side in truth.shape)
    radius_um = np.hypot(row[:, None], column) * SQUARE_UM
    print(f"\n| {name}, distance from the centre | squares | right |\n|---|---|---|")
    for low, high in pairwise(RINGS_UM):
        ring = (radius_um >= low) & (radius_um < high)
        print(f"| {low:g} to {high:g} um | {ring.sum()} | {right[ring].mean():.3f} |")
    half = np.abs(truth - 0.5) < 1e-6
    if half.any():
        print(f"| milled to exactly one half | {half.sum()} | {right[half].mean():.3f} |")


def main() -> None:
    """Scan, read, print."""
    torch.set_num_threads(1)
    print("| | instrument | unexplained | accuracy | constant |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for sample in ("block", "ss"):
            for number, (name, optics) in enumerate(INSTRUMENTS.items()):
                result = read(Path(folder), sample, number, optics)
                scores, unexplained = result.stitched, result.consistency.unexplained
                assert scores is not None
                assert unexplained is not None
                print(
                    f"| {sample} | {name} | {unexplained:.2%} | {scores.accuracy:.3f} |"
                    f" {scores.constant_accuracy:.3f} |",
                    flush=True,
                )
                if sample == "ss" and optics == NOMINAL:
                    star = result
        print_rings("star", star)
        whole = Path(folder) / "squares.npy"
        np.save(whole, load_sample("ss").is_open.astype(np.float64))
        opticalnet.acquire(str(whole), out=Path(folder) / "squares.zarr")
        squares = opticalnet.reconstruct(Path(folder) / "squares.zarr")
        print_rings("star of squares, network", squares)
        inverted = opticalnet.invert(Path(folder) / "squares.zarr", start=squares)
        print_rings("star of squares, inversion", inverted)


if __name__ == "__main__":
    main()
