"""All that a benchmark found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconstruction.benchmarking.candidates import Candidate
from reconstruction.benchmarking.evaluation import Result, candidates_of


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a benchmark found.

    Attributes
    ----------
    simulated, measured
        Results on simulated scans, and on folders.
    missing
        Baselines that nobody brought.
    part
        Points along a side of what slow networks were shown.
    conditions
        On what, and with what, it ran, in a sentence.
    pictures
        Names of files, and what they show.
    left_out
        Folders that no network reads.
    """

    simulated: Sequence[Result]
    measured: Sequence[Result]
    missing: Sequence[str]
    part: int
    conditions: str
    pictures: Mapping[str, str]
    left_out: Sequence[str]

    @property
    def results(self) -> list[Result]:
        """All of them."""
        return [*self.simulated, *self.measured]

    @property
    def candidates(self) -> list[Candidate]:
        """Who was seen, in order."""
        return candidates_of(self.results)

    @property
    def ms_per_frame(self) -> dict[str, float]:
        """Milliseconds a frame, by the label of the network."""
        speeds = {}
        for candidate in self.candidates:
            own = [r for r in self.results if r.candidate.label == candidate.label]
            frames = sum(result.frames for result in own)
            speeds[candidate.label] = 1000 * sum(result.seconds for result in own) / frames
        return speeds
