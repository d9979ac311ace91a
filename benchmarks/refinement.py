"""What is lost where an instrument is not what it says, and what refinement finds of it.

    python benchmarks/refinement.py [SEED ...]

The continuous star, through the whole instrument: as it should be, and with a tenth of the
light, positions that are 20 nm rms off (along either axis, unknown to the stage), 10 nm of
drift a minute, a beam 10 % wider or narrower and a defocus 3 % too far or too near, all
together. Its run says the default optics. No seed was trained on.
"""

import json
import sys
import tempfile
from math import sqrt
from pathlib import Path

import tomli_w

import opticalnet
from configs.geometry import SQUARE_NM
from configs.optics import GaussianBeam, Optics

SEEDS = (1005,)
NOMINAL = Optics()
FWHM_NM = GaussianBeam().fwhm_nm
DRIFT_NM_PER_MIN = 10.0
ASKED = 5.0


def faulty(sign: int) -> dict[str, object]:
    """Return an instrument with all faults, its light off in one direction or the other."""
    optics = NOMINAL.changed(
        beam=GaussianBeam(fwhm_nm=FWHM_NM * (1 + 0.1 * sign)),
        defocus_wavelengths=NOMINAL.defocus_wavelengths * (1 + 0.03 * sign),
    )
    drift = DRIFT_NM_PER_MIN / sqrt(2)
    return {
        "name": "faulty",
        "optics": optics.model_dump(mode="json", exclude_none=True),
        "environment": {"vibration_nm": 20.0, "drift_nm_per_min": [drift, -drift]},
    }


def scan(folder: Path, seed: int, sign: int) -> Path:
    """Scan the star; the run says that optics were nominal."""
    out, instrument = folder / f"{seed}-{sign}.zarr", "simulated"
    if sign:
        instrument = str(folder / f"{sign}.toml")
        Path(instrument).write_text(tomli_w.dumps(faulty(sign)))
    opticalnet.acquire(
        "ss", instrument=instrument, seed=seed, exposure_ms=1.0 if sign else 10.0, out=out
    )
    file = out / "zarr.json"
    document = json.loads(file.read_text())
    kept = document["attributes"]["opticalnet"]["instrument"]
    kept["optics"] = NOMINAL.model_dump(mode="json")
    file.write_text(json.dumps(document))
    return out


def row(name: str, result: opticalnet.Reconstruction, before: float | None) -> float:
    """Print a result; return its accuracy, percent."""
    scores, inversion = result.stitched, result.inversion
    assert scores is not None
    accuracy = 100 * scores.accuracy
    said = [f"{name} | {accuracy:.1f}", "" if before is None else f"{before - accuracy:.1f}"]
    said += [f"{scores.constant_accuracy:.3f}"]
    if inversion is None:
        said += [""] * 4
    else:
        decided = ~inversion.undecided
        assert result.truth is not None
        right = (inversion.is_open == (result.truth >= 0.5))[decided].mean()
        said += [f"{inversion.chi_squared:.3f}", f"{1 - decided.mean():.0%}", f"{right:.3f}"]
        found = result.light.quantities if result.light else ()
        said += [", ".join(f"{one.after:.5g} +- {one.error:.1g} {one.unit}" for one in found)]
    print(f"| {' | '.join(said)} |", flush=True)
    return accuracy


def main() -> None:
    """Measure, and print a table."""
    print("| | accuracy, % | lost | constant | chi² | undecided | decided right | found |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, sys.argv[1:] or SEEDS):
            good = scan(Path(folder), seed, 0)
            network = opticalnet.reconstruct(good)
            of_network = row(f"seed {seed}, nominal: network", network, None)
            nominal = opticalnet.invert(good, start=network)
            of_inversion = row("inversion", nominal, None)
            for sign in (1, -1):
                run = scan(Path(folder), seed, sign)
                network = opticalnet.reconstruct(run)
                width = FWHM_NM * (1 + 0.1 * sign)
                row(f"all faults, {width:.0f} nm: network", network, of_network)
                for refine in ((), ("light",), ("light", "positions")):
                    found = opticalnet.invert(run, start=network, refine=refine, overwrite=True)
                    name = f"inversion, refined: {' and '.join(refine) or 'nothing'}"
                    row(name, found, of_inversion)
    print(
        f"\nAsked: at most {ASKED:g} points lost, with refinement. Squares of {SQUARE_NM:g} nm."
    )


if __name__ == "__main__":
    main()
