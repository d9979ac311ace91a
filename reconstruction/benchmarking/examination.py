"""What a network makes of a scan, and how right it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.plan import ScanPlan
from reconstruction.benchmarking.contenders import Contender
from reconstruction.benchmarking.reliability import Reliability
from reconstruction.frame_network import centre
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import Mosaic
from reconstruction.scan_network import ScanNetwork

Float64 = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""
_BATCH: Final = 66
_PROBED: Final = 8
_PART_BEGINS: Final = 0.55
"""Of a side: there a star is as hard as on the whole; towards its middle it is harder."""


@dataclass(frozen=True, slots=True)
class Exam:
    """A scan whose sample is known.

    Attributes
    ----------
    group, seed
        What kind of sample; -1 for a measured one.
    plan
        Of the scan.
    index
        (n,), scan index of each frame.
    images
        (n, y, x), digital numbers, or levels of 8 bit.
    off_um
        (n, 2), by how much (x, y) the stage was off, NaN where it does not say.
    open_peak_e
        Photo-electrons at the brightest pixel of an all-open sample.
    amplitude
        Makes relative amplitudes of images.
    truth
        (rows, columns) of the plan's sample: 1 open, 0 closed, -1 unknown.
    targets
        (n, side, side), the same of the squares around each frame's point.
    """

    group: str
    seed: int
    plan: ScanPlan
    index: NDArray[np.int64]
    images: NDArray[np.unsignedinteger]
    off_um: Float64
    open_peak_e: float
    amplitude: Callable[[torch.Tensor], torch.Tensor]
    truth: NDArray[np.int8]
    targets: NDArray[np.int8]

    def part(self, side: int) -> NDArray[np.int64]:
        """Return which frames lie in a square of points, off the middle of the scan."""
        row, column = np.divmod(self.index, self.plan.columns)
        inside = np.ones(len(row), np.bool_)
        for at, points in ((row, self.plan.rows), (column, self.plan.columns)):
            first = max(0, min(round(_PART_BEGINS * points), points - side))
            inside &= (at >= first) & (at < first + side)
        return np.flatnonzero(inside)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How right some probabilities are, and how sure they may be."""

    scores: Scores
    reliability: Reliability

    @classmethod
    def of(cls, probability: NDArray[np.floating], truth: NDArray[np.integer]) -> Self:
        """Compare probabilities with 1 open, 0 closed; NaN and -1 are left out."""
        return cls(score(probability, truth), Reliability.of(probability, truth))


@dataclass(frozen=True, slots=True)
class Result:
    """How a network did in an exam.

    Attributes
    ----------
    contender, group, seed
        Who, and in which exam.
    probability, truth
        (rows, columns), the map, NaN where not all frames were read that tell of a square;
        that of the exam.
    frame, stitched
        Of what single frames say, where they say something, and of the map.
    frames, seconds
        Frames that were read, and how long that took.
    is_part
        Whether only a part was.
    """

    contender: Contender
    group: str
    seed: int
    probability: Float64
    truth: NDArray[np.int8]
    frame: Verdict | None
    stitched: Verdict
    frames: int
    seconds: float
    is_part: bool

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows, columns), where the map says something."""
        return np.isfinite(self.probability)

    def within(self, squares: NDArray[np.bool_]) -> Verdict:
        """Judge the map on some squares only."""
        said = np.where(squares, self.probability, np.nan)
        return Verdict.of(said, self.truth)


def ms_per_frame(contender: Contender, exam: Exam, device: torch.device) -> float:
    """Return how long a network that looks at single frames takes, warmed up."""
    some = np.arange(min(_PROBED, len(exam.index)))
    for _ in range(2):
        began = time.perf_counter()
        _read(contender, exam, some, device)
    return 1000 * (time.perf_counter() - began) / len(some)


def examine(
    contender: Contender,
    exam: Exam,
    device: torch.device,
    part: int | None = None,
    progress: Progress = lambda done, frames: None,
) -> Result:
    """Have a network read a scan, or ``part`` x ``part`` points of it."""
    chosen = np.arange(len(exam.index))
    if part is not None and contender.grid is not None:
        chosen = exam.part(part)
    single, frame = None, None
    began = time.perf_counter()
    if contender.grid is None:
        probability = _read_scan(contender, exam, device)
        progress(len(chosen), len(chosen))
    else:
        probability, single = _stitch(contender, exam, chosen, device, progress)
    seconds = time.perf_counter() - began
    if single is not None:
        edge = (exam.targets.shape[-1] - single.shape[-1]) // 2
        inner = slice(edge, edge + single.shape[-1])
        frame = Verdict.of(single, exam.targets[chosen, inner, inner])
    return Result(
        contender=contender,
        group=exam.group,
        seed=exam.seed,
        probability=probability,
        truth=exam.truth,
        frame=frame,
        stitched=Verdict.of(probability, exam.truth),
        frames=len(chosen),
        seconds=seconds,
        is_part=len(chosen) < len(exam.index),
    )


@torch.inference_mode()
def _read_scan(contender: Contender, exam: Exam, device: torch.device) -> Float64:
    """Return the map of a network that looks at the whole scan."""
    network, plan = contender.network, exam.plan
    assert isinstance(network, ScanNetwork)
    channels = network.enter.in_channels
    features = torch.zeros(len(plan), channels, device=device)
    for some in _batches(np.arange(len(exam.index))):
        off_um = torch.from_numpy(exam.off_um[some]).to(device)
        there = network.features(_amplitude(exam, some, device), off_um, exam.open_peak_e)
        features[torch.from_numpy(exam.index[some]).to(device)] = there
    scan = features.T.reshape(1, channels, plan.rows, plan.columns)
    probability = network(scan)[0, 0].sigmoid().cpu().numpy().astype(np.float64)
    start, (rows, columns) = plan.margin, plan.sample_shape
    said: Float64 = probability[start : start + rows, start : start + columns]
    return said


def _stitch(
    contender: Contender,
    exam: Exam,
    chosen: NDArray[np.int64],
    device: torch.device,
    progress: Progress,
) -> tuple[Float64, NDArray[np.float32]]:
    """Return the map of a network that looks at single frames, and what each frame says."""
    assert contender.grid is not None
    mosaic = Mosaic(exam.plan, contender.grid)
    single: list[NDArray[np.float32]] = []
    done = 0
    for some in _batches(chosen):
        said = _read(contender, exam, some, device)
        mosaic.add(exam.index[some], said)
        single.append(said)
        done += len(some)
        progress(done, len(chosen))
    probability = mosaic.probability
    if len(chosen) < len(exam.index):  # at its borders a part has squares half told
        probability = np.where(mosaic.count == contender.grid**2, probability, np.nan)
    return probability, np.concatenate(single)


@torch.inference_mode()
def _read(
    contender: Contender, exam: Exam, some: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    assert contender.grid is not None
    logits = contender.network(_amplitude(exam, some, device))
    said: NDArray[np.float32] = centre(logits, contender.grid).sigmoid().cpu().numpy()
    return said


def _amplitude(exam: Exam, some: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    return exam.amplitude(torch.from_numpy(exam.images[some].astype(np.float32)).to(device))


def _batches(chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(chosen, max(1, -(-len(chosen) // _BATCH)))
