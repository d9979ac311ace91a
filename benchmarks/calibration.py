"""Whether calibration finds planted parameters, within its error bars.

    python benchmarks/calibration.py [TRIALS]

Every trial plants beam width, distance, aperture and pixel at random (5, 3, 2 and 1 % around
the nominal ones), scans a new sample of 20 x 20 random squares with the simulated instrument,
with drift, vibration, focus drift, pixel response and laser noise, and calibrates from
nominal optics.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import opticalnet
from configs.optics import GaussianBeam, Optics

PLANTED = {
    "optics.beam.fwhm_nm": 0.05,
    "optics.defocus_wavelengths": 0.03,
    "optics.collection_na": 0.02,
    "optics.pixel_nm": 0.01,
}
WITHIN = 2
"""Standard deviations: 95 % of trials are, of each quantity."""


def main() -> None:
    """Plant, scan, calibrate, count."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    held = Counter[str]()
    print("| trial | " + " | ".join(f"{name}, sd off" for name in PLANTED) + " | chi² |")
    print("|---" * (len(PLANTED) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for trial in range(trials):
            deviations, chi_squared = one_trial(Path(folder) / str(trial), trial)
            held.update(name for name, off in deviations.items() if abs(off) <= WITHIN)
            offs = " | ".join(f"{off:+.2f}" for off in deviations.values())
            print(f"| {trial} | {offs} | {chi_squared:.3f} |", flush=True)
    for name in PLANTED:
        print(f"{name}: within {WITHIN} standard deviations in {held[name]} of {trials}")


def one_trial(folder: Path, trial: int) -> tuple[dict[str, float], float]:
    """Return by how many standard deviations each quantity was off, and chi-squared."""
    folder.mkdir()
    random = np.random.default_rng(trial)
    nominal = Optics()
    share = {name: 1 + spread * random.normal() for name, spread in PLANTED.items()}
    na = min(nominal.collection_na * share["optics.collection_na"], 0.99)
    planted = nominal.changed(
        beam=GaussianBeam(fwhm_nm=540.0 * share["optics.beam.fwhm_nm"]),
        defocus_wavelengths=nominal.defocus_wavelengths * share["optics.defocus_wavelengths"],
        collection_na=na,
        pixel_nm=nominal.pixel_nm * share["optics.pixel_nm"],
    )
    truth = {
        "optics.beam.fwhm_nm": planted.beam.model_dump()["fwhm_nm"],
        "optics.defocus_wavelengths": planted.defocus_wavelengths,
        "optics.collection_na": planted.collection_na,
        "optics.pixel_nm": planted.pixel_nm,
    }
    sample, instrument = folder / "squares.npy", folder / "planted.toml"
    np.save(sample, (random.random((20, 20)) < 0.35).astype(np.uint8))
    instrument.write_text(
        'name = "planted"\n[optics]\n'
        + "".join(
            f"{name.removeprefix('optics.')} = {truth[name]!r}\n"
            for name in truth
            if "beam" not in name
        )
        + f'[optics.beam]\nkind = "gaussian"\nfwhm_nm = {truth["optics.beam.fwhm_nm"]!r}\n'
    )
    run = folder / "run.zarr"
    opticalnet.acquire(str(sample), instrument=str(instrument), seed=trial, out=run)
    found = opticalnet.calibrate(run, sample, optics=nominal, out=folder / "found.toml")
    offs = {
        one.name: (one.after - truth[one.name]) / one.error
        for one in found.calibration.quantities
        if one.name in truth
    }
    return offs, found.calibration.chi_squared_after


if __name__ == "__main__":
    main()
