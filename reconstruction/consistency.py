"""Whether a map explains the frames that it was made of.

A network answers whatever it is shown. The model of the light says what the camera would
have seen of its answer; where that is not what it did see, the instrument is not the one
that was learnt: another focus, another window, a beam that was cut.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.frame import FrameLine
from acquisition.store import RunInfo
from configs.instrument import Sensor
from simulation.forward import ForwardModel

Float64 = NDArray[np.float64]

LARGEST_UNEXPLAINED: Final = 0.003
"""Share of the light; docs/networks.md has what wrong instruments leave unexplained."""
_LIT: Final = 0.2
_DARK: Final = 0.1
_BRIGHT: Final = 4
_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Consistency:
    """How well a map explains frames.

    Attributes
    ----------
    unexplained
        Share of the light of a frame that the map does not explain, beyond noise; the
        median of those that are bright; ``None`` where none is.
    dark
        Frames without light where the map expects some.
    frames
        That were looked at.
    """

    unexplained: float | None
    dark: int
    frames: int

    @property
    def warning(self) -> str:
        """What a user should know, or nothing."""
        if self.unexplained is not None and self.unexplained > LARGEST_UNEXPLAINED:
            return (
                f"the map does not explain {self.unexplained:.1%} of the light, expected at"
                f" most {LARGEST_UNEXPLAINED:.1%}: these frames are not like those the network"
                " learnt from; compare focus, window and beam with [optics]"
            )
        if self.dark:
            return (
                f"{self.dark} of {self.frames} frames are dark where the map expects light;"
                " was the beam cut?"
            )
        return ""


class ConsistencyCheck:
    """Compares frames with what the map says of the squares around.

    Parameters
    ----------
    info
        Of the run.
    coverage
        (rows, columns), milled fraction of the sample's squares; NaN counts as film.
    """

    def __init__(self, info: RunInfo, coverage: Float64) -> None:
        plan, camera = info.plan, info.instrument.camera
        self._model = ForwardModel(info.instrument.optics, plan.pitch_nm)
        self._sensor: Sensor = camera.sensor
        open_peak_e = camera.open_peak_e_per_ms * plan.exposure_ms
        self._electrons = open_peak_e / self._model.open_peak()
        pad = plan.margin + self._model.cells // 2
        padded = np.pad(np.nan_to_num(coverage), pad).astype(np.float32)
        self._coverage = torch.from_numpy(padded)
        self._expected: list[torch.Tensor] = []
        self._seen: list[torch.Tensor] = []
        self._unexplained: list[torch.Tensor] = []

    @torch.inference_mode()
    def add(self, line: FrameLine) -> None:
        """Look at the frames of a scan line."""
        side = self._model.cells
        windows = self._coverage[line.row : line.row + side].unfold(1, side, 1).movedim(1, 0)
        for start in range(0, len(line.columns), _BATCH):
            part = slice(start, start + _BATCH)
            columns = torch.from_numpy(line.columns[part])
            light = self._model.frames(windows[columns]) * self._electrons
            adu = torch.from_numpy(line.images[part].astype(np.float32))
            self._compare(light, (adu - self._sensor.offset_adu) * self._sensor.gain_e_per_adu)

    def result(self) -> Consistency:
        """Sum up."""
        if not self._seen:
            return Consistency(None, 0, 0)
        expected, seen, unexplained = (
            torch.cat(parts) for parts in (self._expected, self._seen, self._unexplained)
        )
        lit = expected > _LIT * expected.max()
        dark = lit & (seen < _DARK * expected)
        bright = unexplained[lit & ~dark & unexplained.isfinite()]
        median = float(bright.median()) if len(bright) else None
        return Consistency(median, int(dark.sum()), len(seen))

    def _compare(self, light: torch.Tensor, measured: torch.Tensor) -> None:
        """Compare electrons, (n, y, x), but for the power and for stray light.

        Chi-squared grows beyond the number of pixels by four times the electrons that are in
        the wrong place: the variance of a pixel is its light. Pixels count where that is
        more than what the sensor adds, of which the map is not known.
        """
        power, stray = _fit(light, measured)
        mean = (light * power + stray).clamp(min=0)
        added = self._sensor.read_noise_e**2 + self._sensor.gain_e_per_adu**2 / 12
        counts = mean > _BRIGHT * added
        excess = ((measured - mean).square() / (mean + added) - 1) * counts
        counted = (mean * counts).sum(dim=(1, 2))
        self._expected.append(light.sum(dim=(1, 2)))
        self._seen.append((measured - stray).sum(dim=(1, 2)))
        self._unexplained.append(excess.sum(dim=(1, 2)) / (4 * counted))


def _fit(light: torch.Tensor, measured: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Power and stray light that fit best, (n, 1, 1) each, by least squares."""
    where = (1, 2)
    mean, at = light.mean(where, keepdim=True), measured.mean(where, keepdim=True)
    centred = light - mean
    power = (centred * measured).sum(where, keepdim=True) / centred.square().sum(
        where, keepdim=True
    ).clamp(min=1e-12)
    power = power.clamp(min=0)
    return power, (at - power * mean).clamp(min=0)
