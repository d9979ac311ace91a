"""Whether a map explains the frames that it was made of.

A network answers whatever it is shown. The model of the light says what the camera would
have seen of its answer; where that is not what it did see, the instrument is not the one
that was learnt: another focus, another window, a laser that failed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.store import Points, Run, RunInfo
from configs.optics import Optics
from simulation.forward import ForwardModel

Float64 = NDArray[np.float64]

LARGEST_UNEXPLAINED: Final = 0.003
"""Share of the light; docs/networks.md has what wrong instruments leave unexplained."""
_LIT: Final = 0.1
"""Light of a frame that tells something, relative to the brightest of the run."""
_LEAST_LIT_E: Final = 1000.0
"""Photo-electrons of a frame, below which there is no light in it."""
_EXPECTED_BRIGHT: Final = 4
_SEEN_BRIGHT: Final = 40
"""Electrons of a pixel that counts, relative to the variance that the sensor adds."""
_SATURATED: Final = 0.99
"""Of the full well, as read noise lies on top."""
_BATCH: Final = 256
_CHECKED_FRAMES: Final = 2000


@dataclass(frozen=True, slots=True)
class Consistency:
    """How well a map explains frames.

    Attributes
    ----------
    unexplained
        Share of the light that the map does not explain, beyond noise; ``None`` where there
        is too little to say.
    dark
        Whether no frame has light.
    saturated
        Frames with pixels at the full well.
    frames
        That were looked at.
    """

    unexplained: float | None
    dark: bool
    saturated: int
    frames: int

    @property
    def bad_frames(self) -> str:
        """What a user should know of the frames, or nothing."""
        if self.saturated:
            return (
                f"{self.saturated} of {self.frames} frames looked at are saturated: what they"
                " show is not what was there; expose for less long"
            )
        if self.dark:
            return f"none of {self.frames} frames looked at has light; was the laser on?"
        return ""

    @property
    def warning(self) -> str:
        """What a user should know of a network's map, or nothing."""
        if self.bad_frames:
            return self.bad_frames
        if self.unexplained is not None and self.unexplained > LARGEST_UNEXPLAINED:
            return (
                f"the map does not explain {self.unexplained:.2%} of the light, expected at"
                f" most {LARGEST_UNEXPLAINED:.2%}: these frames are not like those the network"
                " learnt from; compare focus, window, beam and laser with [optics] and [camera]"
            )
        return ""


def check_consistency(
    run: Run, points: Points, coverage: Float64, optics: Optics | None = None
) -> Consistency:
    """Compare a share of a run's frames, of lines all over the scan, with what a map says.

    Parameters
    ----------
    run, points
        What was measured.
    coverage
        (rows, columns), milled fraction of the sample's squares; NaN counts as film.
    optics
        That it was found with; ``None``: what the run says.
    """
    info, plan = run.info, run.info.plan
    if optics is not None:
        info = info.changed(instrument=info.instrument.changed(optics=optics))
    check = ConsistencyCheck(info, coverage)
    for row in range(0, plan.rows, max(1, round(len(plan) / _CHECKED_FRAMES))):
        check.add(run.valid_frames(row, points))
    return check.result()


class ConsistencyCheck:
    """Compares frames with what the map says, with one power and one stray light for the run.

    Parameters
    ----------
    info
        Of the run.
    coverage
        (rows, columns), milled fraction of the sample's squares; NaN counts as film.
    """

    def __init__(self, info: RunInfo, coverage: Float64) -> None:
        self._model = ForwardModel(info.instrument.optics, info.plan.pitch_nm)
        self._sensor = info.instrument.camera.sensor
        self._electrons = info.open_peak_e / self._model.open_peak()
        pad = info.plan.margin + self._model.cells // 2
        padded = np.pad(np.nan_to_num(coverage), pad).astype(np.float32)
        self._coverage = torch.from_numpy(padded)
        self._expected_e: list[torch.Tensor] = []
        self._seen_e: list[torch.Tensor] = []

    @torch.inference_mode()
    def add(self, line: FrameLine) -> None:
        """Look at the frames of a scan line."""
        side = self._model.cells
        windows = self._coverage[line.row : line.row + side].unfold(1, side, 1).movedim(1, 0)
        for start in range(0, len(line.columns), _BATCH):
            part = slice(start, start + _BATCH)
            columns = torch.from_numpy(line.columns[part])
            self._expected_e.append(self._model.frames(windows[columns]) * self._electrons)
            adu = torch.from_numpy(line.images[part].astype(np.float32))
            self._seen_e.append(self._sensor.electrons(adu))

    @torch.inference_mode()
    def result(self) -> Consistency:
        """Sum up."""
        if not self._seen_e:
            return Consistency(None, False, 0, 0)
        seen_e, expected_e = torch.cat(self._seen_e), torch.cat(self._expected_e)
        saturated = seen_e.amax(dim=(1, 2)) >= _SATURATED * self._sensor.full_well_e
        power, stray_e = _fit(expected_e, seen_e)
        expected_e = expected_e * power + stray_e
        lit_e = torch.maximum(expected_e.sum((1, 2)), seen_e.sum((1, 2)))
        lit_e -= stray_e * seen_e[0].numel()
        kept = lit_e > _LIT * lit_e.max()
        return Consistency(
            unexplained=self._unexplained(expected_e[kept], seen_e[kept]),
            dark=bool(lit_e.max() < _LEAST_LIT_E),
            saturated=int(saturated.sum()),
            frames=len(seen_e),
        )

    def _unexplained(self, expected_e: torch.Tensor, seen_e: torch.Tensor) -> float | None:
        """Share of the light in other places than expected, of (n, y, x) each.

        The root of a Poisson number has a variance of one quarter; what the squared
        difference of roots is beyond it has been moved.
        """
        added_e2 = self._sensor.added_variance_e2
        counts = expected_e > _EXPECTED_BRIGHT * added_e2
        counts |= seen_e > _SEEN_BRIGHT * added_e2
        if not counts.any():
            return None
        seen, expected = (
            (light_e.clamp(min=0) + added_e2).sqrt() for light_e in (seen_e, expected_e)
        )
        moved = ((seen - expected).square() - 0.25)[counts].sum()
        return float(moved / torch.maximum(expected_e, seen_e)[counts].sum())


def _fit(light: torch.Tensor, seen_e: torch.Tensor) -> tuple[float, float]:
    """Return the power of the run, relative, and its stray light, per pixel."""
    totals = light.mean((1, 2)).double()
    system = torch.stack([totals, torch.ones_like(totals)], dim=1)
    power, stray_e = torch.linalg.lstsq(system, seen_e.mean((1, 2)).double()[:, None]).solution
    return max(0.0, float(power)), max(0.0, float(stray_e))
