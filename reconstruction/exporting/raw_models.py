"""Networks that take what a camera counts and say probabilities, for other programs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import nn

from configs.optics import Optics
from reconstruction.baselines.sources import level_amplitude
from reconstruction.exporting.examples import OPEN_PEAK_E, SENSOR, scan_frames
from reconstruction.frame_network import centre
from reconstruction.scan_network import ScanNetwork, lay_out

Axes = tuple[str, ...]
Tensors = tuple[torch.Tensor, ...]
DYNAMIC: Final = ("batch", "rows", "columns")
"""Axes of any length."""
_SENSOR: Final[Mapping[str, Axes]] = {"offset_adu": (), "gain_e_per_adu": (), "open_peak_e": ()}
_LOST_POINT: Final = 2
_OFF_UM: Final = 0.02


class RawModel(nn.Module, ABC):
    """A network between numbers as they are measured and probabilities.

    Parameters
    ----------
    network
        In evaluation mode.
    optics
        That it knows.
    facts
        By name, what else there is to know of it.

    Attributes
    ----------
    inputs, outputs
        Axes of each tensor, by name; none: a scalar.
    """

    inputs: ClassVar[Mapping[str, Axes]]
    outputs: ClassVar[Mapping[str, Axes]]

    def __init__(self, network: nn.Module, optics: Optics, facts: Mapping[str, str]) -> None:
        super().__init__()
        self.network = network
        self.optics = optics
        self.facts = facts
        self.eval()

    @torch.inference_mode()
    def run(self, inputs: Tensors) -> Tensors:
        """Return its outputs."""
        outputs = self(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    @abstractmethod
    def example(self, rows: int, columns: int) -> Tensors:
        """Return inputs for ``forward``: all frames of a simulated scan of that many points."""


class RawSingle(RawModel):
    """A network that looks at one frame at a time.

    Parameters
    ----------
    network
        From relative amplitudes, (batch, y, x), to logits, (batch, squares, squares).
    grid
        Side of the target: the middle of them.
    optics, facts
        As for ``RawModel``.
    """

    outputs: ClassVar[Mapping[str, Axes]] = {"probability": ("batch", "y", "x")}

    def __init__(
        self, network: nn.Module, grid: int, optics: Optics, facts: Mapping[str, str]
    ) -> None:
        super().__init__(network, optics, facts)
        self.grid = grid

    def squares(self, amplitude: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (batch, y, x), to probabilities, (batch, grid, grid)."""
        return centre(self.network(amplitude), self.grid).sigmoid()


class RawFrames(RawSingle):
    """A frame network, or a baseline that was trained on digital numbers."""

    inputs: ClassVar[Mapping[str, Axes]] = {"frames": ("batch", "y", "x"), **_SENSOR}

    def forward(
        self,
        frames: torch.Tensor,
        offset_adu: torch.Tensor,
        gain_e_per_adu: torch.Tensor,
        open_peak_e: torch.Tensor,
    ) -> torch.Tensor:
        """Map digital numbers, (batch, y, x), to probabilities, (batch, grid, grid)."""
        return self.squares(_amplitude(frames, offset_adu, gain_e_per_adu, open_peak_e))

    def example(self, rows: int, columns: int) -> Tensors:
        """Return frames of a simulated scan as a batch."""
        return scan_frames(self.optics, rows, columns).flatten(0, 1), *_sensor()


class RawLevels(RawSingle):
    """A baseline that was trained on levels of 8 bit, which tell nothing of a sensor."""

    inputs: ClassVar[Mapping[str, Axes]] = {"frames": ("batch", "y", "x")}

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Map levels from 0 to 255, (batch, y, x), to probabilities, (batch, grid, grid)."""
        return self.squares(level_amplitude(frames))

    def example(self, rows: int, columns: int) -> Tensors:
        """Return frames of a simulated scan as a batch, the brightest pixel white."""
        frames = scan_frames(self.optics, rows, columns).flatten(0, 1)
        light = (frames - SENSOR.offset_adu).clamp(min=0)
        return ((255 * light / light.max()).round(),)


class RawScan(RawModel):
    """A scan network."""

    inputs: ClassVar[Mapping[str, Axes]] = {
        "frames": ("rows", "columns", "y", "x"),
        "valid": ("rows", "columns"),
        "off_um": ("rows", "columns", "xy"),
        **_SENSOR,
    }
    outputs: ClassVar[Mapping[str, Axes]] = {
        "probability": ("rows", "columns"),
        "coverage": ("rows", "columns"),
    }
    network: ScanNetwork

    def forward(
        self,
        frames: torch.Tensor,
        valid: torch.Tensor,
        off_um: torch.Tensor,
        offset_adu: torch.Tensor,
        gain_e_per_adu: torch.Tensor,
        open_peak_e: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a scan to probability and expected milled fraction, (rows, columns) each.

        Parameters
        ----------
        frames
            (rows, columns, y, x), digital numbers.
        valid
            (rows, columns), bool: where there is a frame; what else stands there is ignored.
        off_um
            (rows, columns, 2), by how much (x, y) the stage read back more than was
            commanded; NaN where it does not say.
        offset_adu, gain_e_per_adu, open_peak_e
            What the numbers mean.
        """
        amplitude = _amplitude(frames, offset_adu, gain_e_per_adu, open_peak_e)
        features = self.network.features(
            amplitude.flatten(0, 1),
            off_um.flatten(0, 1),
            open_peak_e,  # a tensor does as well
        )
        scan = lay_out(features, valid)  # (channels, rows, columns)
        probability, coverage = self.network(scan[None])[0].sigmoid()
        return probability, coverage

    def example(self, rows: int, columns: int) -> Tensors:
        """Return a simulated scan that lost a point, and has positions."""
        frames = scan_frames(self.optics, rows, columns)
        valid = torch.ones(rows, columns, dtype=torch.bool)
        valid.view(-1)[_LOST_POINT : _LOST_POINT + 1] = False
        random = torch.Generator().manual_seed(1)
        off_um = _OFF_UM * torch.randn(rows, columns, 2, generator=random)
        return frames, valid, off_um, *_sensor()


def _amplitude(
    adu: torch.Tensor, offset_adu: torch.Tensor, gain: torch.Tensor, open_peak_e: torch.Tensor
) -> torch.Tensor:
    """As ``relative_amplitude``, of a sensor that is known only when it is used."""
    return ((adu - offset_adu) * gain / open_peak_e).clamp(min=0).sqrt()


def _sensor() -> Tensors:
    values = SENSOR.offset_adu, SENSOR.gain_e_per_adu, OPEN_PEAK_E
    return tuple(torch.tensor(value) for value in values)
