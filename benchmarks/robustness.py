"""How much the networks that ship lose where an instrument is worse than it should be.

    python benchmarks/robustness.py

The continuous star, by the default instrument; with a tenth of the light; with 20 nm rms of
position error, which the stage knows to 1 nm, or does not know; with a defocus that is 3 %
wrong, in either direction; and all of them together. Frames are simulated here line by line
with the light, the sensor and the disturbances of the virtual microscope, because its stage
does not err on request; focus drift, a few nanometres, is left out. Three seeds that
no training uses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from acquisition.provenance import Provenance
from acquisition.store import RunInfo
from configs.geometry import SQUARE_NM
from configs.grid import LARGEST_GRID
from configs.instrument import Environment, InstrumentConfig, SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.benchmarking.candidates import Candidate, open_candidates
from reconstruction.benchmarking.evaluation import evaluate
from reconstruction.benchmarking.known_scan import KnownScan
from reconstruction.mosaic import frame_targets
from simulation.detector import Detector
from simulation.environment import Disturbances
from simulation.forward import ForwardModel
from simulation.samples import Sample, load_sample
from simulation.streams import Stream, numpy_stream, torch_stream
from simulation.under_beam import CellsUnderBeam

SEEDS = 2001, 2002, 2003
EXPOSURE_MS, PERIOD_S = 10.0, 0.021
READ_BACK_NM = 1.0
ASKED = 4.0
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Fault:
    """What is wrong with an instrument.

    ``light`` and ``defocus`` are factors; ``off_nm`` is the rms of the position error per
    axis, which the stage reads back unless it ``is_blind``.
    """

    light: float = 1.0
    off_nm: float = 0.0
    is_blind: bool = False
    defocus: float = 1.0


ALL = Fault(light=0.1, off_nm=20.0, defocus=1.03)
FAULTS = {
    "nominal": Fault(),
    "a tenth of the light": Fault(light=0.1),
    "20 nm position error, read back to 1 nm": Fault(off_nm=20.0),
    "20 nm position error, unknown": Fault(off_nm=20.0, is_blind=True),
    "defocus 3 % too far": Fault(defocus=1.03),
    "defocus 3 % too near": Fault(defocus=0.97),
    "all together, read back": ALL,
    "all together, read back, too near": replace(ALL, defocus=0.97),
    "all together, position unknown": replace(ALL, is_blind=True),
}


def scan(sample: Sample, fault: Fault, seed: int) -> KnownScan:
    """Scan a sample with a faulty instrument."""
    rows, columns = (side + 2 for side in sample.coverage.shape)
    exposure_ms = EXPOSURE_MS * fault.light
    plan = ScanPlan(
        rows=rows, columns=columns, exposure_ms=exposure_ms, centre_um=(0.0, 0.0), seed=seed
    )
    random = numpy_stream(seed, Stream.TRAINING)
    off_nm = fault.off_nm * random.standard_normal((len(plan), 2))
    said_nm = off_nm + READ_BACK_NM * random.standard_normal((len(plan), 2))
    if fault.is_blind:
        said_nm = np.zeros_like(said_nm)
    lines = enumerate(frames(sample, fault, seed, off_nm, exposure_ms))
    off_um = said_nm.reshape(rows, columns, 2) / 1000
    is_open = sample.is_open
    return KnownScan(
        group="star",
        seed=seed,
        info=RunInfo(
            provenance=Provenance.now({}),
            instrument=InstrumentConfig(name="nominal"),
            plan=plan,
            sample="ss",
        ),
        lines=[FrameLine(row, np.arange(columns), adu, off_um[row]) for row, adu in lines],
        truth=is_open.astype(np.int8),
        targets=frame_targets(is_open, plan, LARGEST_GRID),
    )


def frames(
    sample: Sample, fault: Fault, seed: int, off_nm: NDArray[np.float64], exposure_ms: float
) -> Iterator[NDArray[np.uint16]]:
    """Yield the images of each line, (columns, y, x).

    The instrument's light is normalised in nominal focus: a wrong focus is not brighter.
    """
    environment, camera = Environment(), SimulatedCameraConfig()
    nominal = Optics()
    wrong = nominal.changed(defocus_wavelengths=nominal.defocus_wavelengths * fault.defocus)
    model = ForwardModel(wrong, sample.cell_nm)
    peak = ForwardModel(nominal, sample.cell_nm).open_peak()
    detector = Detector(camera, environment, nominal.image_px, peak, seed)
    under_beam = CellsUnderBeam(sample, model.cells)
    side = sample.coverage.shape[1] + 2
    times_s = PERIOD_S * np.arange(len(off_nm))
    path = Disturbances(environment, seed).at(times_s)
    row, column = np.divmod(np.arange(len(off_nm)), side)
    target_nm = SQUARE_NM * (np.stack([column, row], axis=1) - (side - 1) / 2)
    place_um = (target_nm + off_nm - path.displacement_nm) / 1000
    noise = torch_stream(seed, Stream.SENSOR_NOISE)
    cells = torch.from_numpy(under_beam.milled)
    windows = cells.unfold(0, model.cells, 1).unfold(1, model.cells, 1)
    for line in np.split(np.arange(len(off_nm)), len(off_nm) // side):
        top, left, offset_um = under_beam.windows(place_um[line])
        light = model.frames(windows[top, left], torch.from_numpy(offset_um))
        yield detector.record(light, path.power[line], exposure_ms, noise)


def main() -> None:
    """Measure all, print a table."""
    sample = load_sample("ss")
    candidates = open_candidates([])
    closed = 100 * max(sample.is_open.mean(), 1 - sample.is_open.mean())
    names = " | ".join(f"{candidate.label} | lost" for candidate in candidates)
    print(f"| star, accuracy of maps, % | {names} |")
    print(f"|---|{'---:|---:|' * len(candidates)}")
    first: list[float] = []
    for name, fault in FAULTS.items():
        values = measured(candidates, fault, sample)
        first = first or values
        cells = " | ".join(
            f"{value:.1f} | {before - value:.1f}"
            for value, before in zip(values, first, strict=True)
        )
        print(f"| {name} | {cells} |", flush=True)
    print(f"\nConstant prediction: {closed:.1f}. Asked: at most {ASKED:g} lost, all together.")


def measured(candidates: list[Candidate], fault: Fault, sample: Sample) -> list[float]:
    """Return the mean accuracy of every network's maps, percent."""
    scans = [scan(sample, fault, seed) for seed in SEEDS]
    return [
        100 * mean(evaluate(c, one, CPU).stitched.scores.accuracy for one in scans)
        for c in candidates
    ]


if __name__ == "__main__":
    main()
