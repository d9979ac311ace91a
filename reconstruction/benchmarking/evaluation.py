"""What a network makes of a scan, and how right it is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from reconstruction.benchmarking.candidates import Candidate
from reconstruction.benchmarking.known_scan import KnownScan, count_frames, cut
from reconstruction.benchmarking.reliability import Reliability
from reconstruction.memory import Warn, warn_in_python
from reconstruction.metrics import Scores, score
from reconstruction.mosaic import Mosaic
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanNetwork
from simulation.threads import one_thread

Float64 = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""
_PROBED: Final = 8
"""Frames that tell how long one takes."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How right some probabilities are, and how sure they may be."""

    scores: Scores
    reliability: Reliability

    @classmethod
    def of(cls, probability: NDArray[np.floating], truth: NDArray[np.integer]) -> Self:
        """Compare probabilities with 1 open, 0 closed; NaN and -1 are left out."""
        return cls(score(probability, truth), Reliability.of(probability, truth))


@dataclass(frozen=True, slots=True)
class Result:
    """What a network made of a scan.

    Attributes
    ----------
    candidate, group, seed
        Who, and of which scan.
    probability, truth
        (rows, columns), the map, NaN where not all frames were read that tell of a square;
        what the scan says of it.
    frame, stitched, pooled
        Of what single frames say, of the map, and of one in which frames count by what they
        know; ``None`` where single frames say nothing.
    frames, seconds
        Frames that were read, and how long that took.
    is_part
        Whether only a part was.
    """

    candidate: Candidate
    group: str
    seed: int | None
    probability: Float64
    truth: NDArray[np.int8]
    frame: Quality | None
    stitched: Quality
    pooled: Quality | None
    frames: int
    seconds: float
    is_part: bool

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows, columns), where the map says something."""
        return np.isfinite(self.probability)

    def within(self, squares: NDArray[np.bool_]) -> Quality:
        """Return how right the map is on some squares only."""
        said = np.where(squares, self.probability, np.nan)
        return Quality.of(said, self.truth)


def candidates_of(results: Sequence[Result]) -> list[Candidate]:
    """Return whose results these are, each once, in order."""
    return list({result.candidate.label: result.candidate for result in results}.values())


def groups_of(results: Sequence[Result]) -> list[str]:
    """Return of which samples these are, each once, in order."""
    return list(dict.fromkeys(result.group for result in results))


def mean_accuracy(results: Sequence[Result], candidate: Candidate, group: str) -> float | None:
    """Return that of a network's maps of some samples; ``None`` where there is none."""
    chosen = (r for r in results if r.candidate is candidate and r.group == group)
    accuracies = [result.stitched.scores.accuracy for result in chosen]
    return mean(accuracies) if accuracies else None


def ms_per_frame(candidate: Candidate, scan: KnownScan, device: torch.device) -> float:
    """Return how long a network that looks at single frames takes, warmed up."""
    line = next(line for line in scan.lines if len(line.columns))
    probed = cut(line, slice(_PROBED))
    quiet: Warn = lambda text: None  # noqa: E731 - evaluate says it
    for _ in range(2):
        _, seconds = _read(candidate, scan, [probed], device, warn=quiet)
    return 1000 * seconds / len(probed.columns)


def evaluate(
    candidate: Candidate,
    scan: KnownScan,
    device: torch.device,
    part: int | None = None,
    progress: Progress = lambda done, frames: None,
    warn: Warn = warn_in_python,
) -> Result:
    """Have a network read a scan, as ``reconstruct`` does.

    Parameters
    ----------
    candidate
        Whose network.
    scan
        What it reads.
    device
        Where it runs.
    part
        Points along a side of what it is shown; all if None, or if it reads whole scans.
    progress
        Told how far it has come.
    warn
        Told where memory is too small.
    """
    lines = scan.lines
    if part is not None and candidate.grid is not None:
        lines = scan.part(part)
    frames = count_frames(lines)
    predictor, seconds = _read(candidate, scan, lines, device, progress, warn)
    probability, frame, pooled = predictor.squares.probability, None, None
    if isinstance(predictor, FramePredictor):
        if frames < scan.frames:  # at its borders a part has squares half told
            told = predictor.squares.count == predictor.squares.grid**2
            probability = np.where(told, probability, np.nan)
        frame, pooled = _single(predictor, scan, np.isfinite(probability))
    return Result(
        candidate=candidate,
        group=scan.group,
        seed=scan.seed,
        probability=probability,
        truth=scan.truth,
        frame=frame,
        stitched=Quality.of(probability, scan.truth),
        pooled=pooled,
        frames=frames,
        seconds=seconds,
        is_part=frames < scan.frames,
    )


def _read(
    candidate: Candidate,
    scan: KnownScan,
    lines: Sequence[FrameLine],
    device: torch.device,
    progress: Progress = lambda done, frames: None,
    warn: Warn = warn_in_python,
) -> tuple[FramePredictor | ScanPredictor, float]:
    """Read lines as ``reconstruct`` does; return who did, and the seconds that it took."""
    predictor = _predictor(candidate, scan, device, warn)
    done, frames = 0, count_frames(lines)
    with one_thread():
        began = time.perf_counter()
        for line in lines:
            predictor.consume(line)
            done += len(line.columns)
            progress(done, frames)
        predictor.finish()
        return predictor, time.perf_counter() - began


def _predictor(
    candidate: Candidate, scan: KnownScan, device: torch.device, warn: Warn
) -> FramePredictor | ScanPredictor:
    network = candidate.network
    if candidate.grid is not None:
        return FramePredictor(scan.info, network, candidate.grid, device, warn=warn)
    assert isinstance(network, ScanNetwork)
    return ScanPredictor(scan.info, network, device, warn=warn)


def _single(
    predictor: FramePredictor, scan: KnownScan, known: NDArray[np.bool_]
) -> tuple[Quality, Quality]:
    """Return how right single frames are, and the map in which they count by knowledge."""
    said, grid = predictor.frame_probability, predictor.squares.grid
    edge = (scan.targets.shape[-1] - grid) // 2
    inner = slice(edge, edge + grid)
    frame = Quality.of(said, scan.targets[:, inner, inner])
    read = np.flatnonzero(np.isfinite(said[:, 0, 0]))
    pooled = Mosaic(scan.info.plan, grid, pooled=True)
    pooled.add(read, said[read])
    return frame, Quality.of(np.where(known, pooled.probability, np.nan), scan.truth)
