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
from functools import partial
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.plan import ScanPlan
from configs.geometry import SQUARE_NM
from configs.grid import GRIDS
from configs.instrument import Environment, SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.amplitude import relative_amplitude
from reconstruction.benchmarking.contenders import Contender, open_contenders
from reconstruction.benchmarking.examination import Exam, examine
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


def scan(sample: Sample, fault: Fault, seed: int) -> Exam:
    """Scan a sample with a faulty instrument."""
    rows, columns = (side + 2 for side in sample.coverage.shape)
    plan = ScanPlan(rows=rows, columns=columns, centre_um=(0.0, 0.0), seed=seed)
    random = numpy_stream(seed, Stream.TRAINING)
    off_nm = fault.off_nm * random.standard_normal((len(plan), 2))
    said_nm = off_nm + READ_BACK_NM * random.standard_normal((len(plan), 2))
    if fault.is_blind:
        said_nm = np.zeros_like(said_nm)
    camera = SimulatedCameraConfig()
    exposure_ms = EXPOSURE_MS * fault.light
    open_peak_e = camera.open_peak_e_per_ms * exposure_ms
    is_open = sample.is_open
    return Exam(
        group="star",
        seed=seed,
        plan=plan,
        index=np.arange(len(plan)),
        images=np.concatenate(list(frames(sample, fault, seed, off_nm, exposure_ms))),
        off_um=said_nm / 1000,
        open_peak_e=open_peak_e,
        amplitude=partial(relative_amplitude, sensor=camera.sensor, open_peak_e=open_peak_e),
        truth=is_open.astype(np.int8),
        targets=frame_targets(is_open, plan, max(GRIDS)),
    )


def frames(
    sample: Sample, fault: Fault, seed: int, off_nm: NDArray[np.float64], exposure_ms: float
) -> Iterator[NDArray[np.uint16]]:
    """Yield the images of each line, (columns, y, x).

    The instrument's light is normalised in nominal focus: a wrong focus is not brighter.
    """
    environment, camera = Environment(), SimulatedCameraConfig()
    nominal = Optics()
    wrong = nominal.model_copy(
        update={"defocus_wavelengths": nominal.defocus_wavelengths * fault.defocus}
    )
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
    contenders = open_contenders([], CPU)
    closed = 100 * max(sample.is_open.mean(), 1 - sample.is_open.mean())
    names = " | ".join(f"{contender.label} | lost" for contender in contenders)
    print(f"| star, accuracy of maps, % | {names} |")
    print(f"|---|{'---:|---:|' * len(contenders)}")
    first: list[float] = []
    for name, fault in FAULTS.items():
        values = measured(contenders, fault, sample)
        first = first or values
        cells = " | ".join(
            f"{value:.1f} | {before - value:.1f}"
            for value, before in zip(values, first, strict=True)
        )
        print(f"| {name} | {cells} |", flush=True)
    print(f"\nConstant prediction: {closed:.1f}. Asked: at most {ASKED:g} lost, all together.")


def measured(contenders: list[Contender], fault: Fault, sample: Sample) -> list[float]:
    """Return the mean accuracy of every network's maps, percent."""
    exams = [scan(sample, fault, seed) for seed in SEEDS]
    return [
        100 * mean(examine(c, exam, CPU).stitched.scores.accuracy for exam in exams)
        for c in contenders
    ]


if __name__ == "__main__":
    main()
