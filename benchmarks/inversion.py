"""Scores of the inversion on whole simulated scans, network and constant prediction beside it.

    python benchmarks/inversion.py [SAMPLE ...]

"of 60 nm cells" are samples of the very cells that invert. "vectorial" is the star in the
vectorial focus of a lens, inverted as if the beam were scalar and Gaussian. Every scan goes
through the whole instrument, simulated on cells of 30 nm (plain squares stay squares); no
sample or seed was trained on. The limit is what an unbiased estimate of every square could get
right on average, by the Cramér-Rao bound at the truth: it knows no bounds and no neighbours, so
what does may be better.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr

import opticalnet
from acquisition.store import Run
from configs.optics import FocusedBeam, GaussianBeam, Optics
from reconstruction.inversion.normal_equations import Beam, NormalEquations
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.scene import Scene
from reconstruction.inversion.uncertainty import deviation
from simulation.forward import ForwardModel
from simulation.samples import load_sample

SAMPLES = {
    "ss": 1005,
    "ss of 60 nm cells": 1005,
    "ss of squares": 1006,
    "light": 1004,
    "light of 60 nm cells": 1004,
    "block": 1001,
    "vectorial": 1007,
}
KINDS = {"ss": "star", "light": "light"}
VECTORIAL = 'name = "lens"\n[optics.beam]\nkind = "focused"\n'
HEAD = (
    "| sample | | accuracy | Jaccard | constant | chi² | undecided | decided right | 90 % | s |"
)
CPU = torch.device("cpu")


def main() -> None:
    """Scan, reconstruct by network and inversion, print a table."""
    print(HEAD + "\n|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or SAMPLES:
            out = scan(name, Path(folder))
            network = opticalnet.reconstruct(out)
            start = time.perf_counter()
            found = opticalnet.invert(out, start=network)
            print_row(name, "network", network, network.seconds)
            print_row(name, "inversion", found, time.perf_counter() - start)
            print(f"| {name} | limit | {limit(Run(out)):.4f} | | | | | | | |", flush=True)


def scan(name: str, folder: Path) -> Path:
    """Scan a sample; return the run."""
    out, sample, instrument = folder / f"{name}.zarr", name, "simulated"
    if name == "ss of squares":
        sample = str(folder / "squares.npy")
        np.save(sample, load_sample("ss").is_open.astype(np.float64))
    if name.endswith("of 60 nm cells"):
        sample = str(folder / f"{name}.toml")
        Path(sample).write_text(f'kind = "{KINDS[name.split()[0]]}"\ncell_nm = 60.0\n')
    if name == "vectorial":
        sample, instrument = "ss", str(folder / "lens.toml")
        Path(instrument).write_text(VECTORIAL)
    density = 0.35 if name == "block" else None
    opticalnet.acquire(
        sample, instrument=instrument, seed=SAMPLES[name], density=density, out=out
    )
    if name == "vectorial":
        file = out / "zarr.json"
        document = json.loads(file.read_text())
        optics = document["attributes"]["opticalnet"]["instrument"]["optics"]
        optics["beam"] = GaussianBeam().model_dump(mode="json")
        file.write_text(json.dumps(document))
        print(f"model error of {name}: {model_error():.3%} of the light, root mean square")
    return out


def model_error() -> float:
    """Return by how much the scalar Gaussian beam's frames of random squares are off."""
    scalar, lens = Optics(), Optics(beam=FocusedBeam(kind="focused"))
    models = [ForwardModel(optics, cells=15) for optics in (scalar, lens)]
    random = torch.rand(200, 15, 15, generator=torch.Generator().manual_seed(0))
    seen, expected = (model.frames((random < 0.35).float()) for model in reversed(models))
    return float((seen - expected).norm() / seen.norm())


def print_row(
    name: str, method: str, result: opticalnet.Reconstruction, seconds: float
) -> None:
    """Print scores, and how sure the inversion is."""
    scores, inversion, truth = result.stitched, result.inversion, result.truth
    assert scores is not None
    assert truth is not None
    sure = "| | | "
    if inversion is not None:
        decided = ~inversion.undecided
        right = (inversion.is_open == (truth >= 0.5))[decided].mean()
        low, high = inversion.interval(0.9)
        held = ((low <= truth + 1e-6) & (truth <= high + 1e-6)).mean()
        sure = (
            f"{inversion.chi_squared:.3f} | {1 - decided.mean():.1%} | {right:.4f} | {held:.3f}"
        )
    print(
        f"| {name} | {method} | {scores.accuracy:.4f} | {scores.jaccard:.4f}"
        f" | {scores.constant_accuracy:.3f} | {sure} | {seconds:.1f} |"
    )


def limit(run: Run) -> float:
    """Return the share of squares that an unbiased estimate gets right on average."""
    info = run.info
    optics, plan = info.instrument.optics, info.plan
    model = ForwardModel(optics, plan.pitch_nm, faintest=5e-4)
    rows, columns = range(plan.rows), range(plan.columns)
    photons = Photons.of(run.lines(run.points()), info.instrument.camera.sensor, CPU)
    scene = Scene(model, 1, rows, columns, photons)
    truth = run.truth
    assert truth is not None
    cells = scene.cells_of(torch.from_numpy(np.pad(truth, plan.margin)))
    beam = Beam(info.open_peak_e / model.open_peak(), torch.ones(len(photons)), 0.0)
    equations = NormalEquations.at(photons, scene, cells, beam)
    ones = torch.ones(scene.shape)
    every = deviation(photons, scene, equations, ones, 0 * ones)
    seen = plan.crop(every[scene.reach : -scene.reach, scene.reach : -scene.reach].numpy())
    return float(ndtr(np.abs(truth - 0.5) / seen).mean())


if __name__ == "__main__":
    main()
