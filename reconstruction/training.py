r"""Train the frame networks that ship with the package.

Every step simulates fresh frames of random windows; no frame is seen twice, and
nothing like the star or the glyph is ever shown. Run as

    python -m reconstruction.training --grid 7 --steps 5000 --out frame-7.safetensors
    python -m reconstruction.training --grid 3 --steps 2500 --out frame-3.safetensors \
        --start frame-7.safetensors
"""

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch.nn import functional

from configs.geometry import SQUARE_NM
from configs.grid import GRIDS
from configs.instrument import SensorMaps, SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.network import (
    Architecture,
    FrameNetwork,
    load_network,
    relative_amplitude,
    save_network,
)
from reconstruction.patterns import PatternMaker
from simulation.forward import ForwardModel
from simulation.sensor import SensorModel

_BATCH: Final = 512
_LEARNING_RATE: Final = 2e-3
_WARM_UP_STEPS: Final = 300
_OFFSET_UM: Final = 0.015
_POWER_NOISE: Final = 0.01
_EXPOSURE_MS: Final = 10.0
_NEW_SENSOR_EVERY: Final = 50
_PROJECTION_FRAMES: Final = 10_240


@dataclass
class FreshFrames:
    """Endless frames of the simulated instrument, with their squares.

    Position error, power noise and, every few batches, the sensor's pixels are
    drawn anew.
    """

    optics: Optics
    camera: SimulatedCameraConfig
    generator: torch.Generator

    def __post_init__(self) -> None:
        self._model = ForwardModel(self.optics, SQUARE_NM)
        self._patterns = PatternMaker(self._model.cells, self.generator)
        self._open_peak_e = self.camera.open_peak_e_per_ms * _EXPOSURE_MS
        self._electrons = self._open_peak_e / self._model.open_peak()
        self._batches = 0
        self._sensor = self._new_sensor()

    def draw(self, batch: int, grid: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return amplitudes, (batch, y, x), and squares, (batch, grid, grid), 0 or 1."""
        if self._batches % _NEW_SENSOR_EVERY == 0:
            self._sensor = self._new_sensor()
        self._batches += 1
        coverage = self._patterns.draw(batch)
        offset_um = (2 * torch.rand(batch, 2, generator=self.generator) - 1) * _OFFSET_UM
        power = 1 + _POWER_NOISE * torch.randn(batch, 1, 1, generator=self.generator)
        electrons = self._model.frames(coverage, offset_um) * (self._electrons * power)
        adu = self._sensor.expose(electrons.clamp(min=0), _EXPOSURE_MS, self.generator)
        amplitude = relative_amplitude(adu, self.camera.sensor, self._open_peak_e)
        edge = (self._model.cells - grid) // 2
        centre = slice(edge, edge + grid)
        return amplitude, (coverage[:, centre, centre] >= 0.5).float()

    def _new_sensor(self) -> SensorModel:
        maps: SensorMaps = self.camera.maps
        return SensorModel(self.camera.sensor, maps, self.optics.image_px, self.generator)


def train(grid: int, steps: int, seed: int, start: Path | None) -> FrameNetwork:
    """Train one network; printed losses are running means.

    Parameters
    ----------
    grid
        Squares along a side of the target.
    steps
        Batches of 512 fresh frames.
    seed
        Of weights and data.
    start
        Weights of another grid to start from: all but the last layer is taken over.
    """
    torch.manual_seed(seed)
    frames = FreshFrames(Optics(), SimulatedCameraConfig(), torch.Generator().manual_seed(seed))
    network = FrameNetwork(Architecture(grid))
    if start is None:
        with torch.no_grad():
            _start_from_components(network, frames)
    else:
        _start_from_network(network, start)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: (
            min(1.0, (step + 1) / _WARM_UP_STEPS)
            * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        ),
    )
    began, mean_loss = time.monotonic(), math.nan
    for step in range(1, steps + 1):
        amplitude, squares = frames.draw(_BATCH, grid)
        loss = functional.binary_cross_entropy_with_logits(network(amplitude), squares)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        value = loss.item()
        mean_loss = value if step == 1 else 0.98 * mean_loss + 0.02 * value
        if step % 100 == 0:
            rate = step * _BATCH / (time.monotonic() - began)
            print(f"step {step}/{steps}  loss {mean_loss:.4f}  {rate:.0f} frames/s", flush=True)
    return network


def _start_from_components(network: FrameNetwork, frames: FreshFrames) -> None:
    """Let the projection give the whitened principal components of fresh frames."""
    batches = [
        frames.draw(_BATCH, 3)[0].flatten(1) for _ in range(_PROJECTION_FRAMES // _BATCH)
    ]
    amplitude = torch.cat(batches)
    mean = amplitude.mean(dim=0)
    size = network.architecture.components
    _, strength, components = torch.pca_lowrank(amplitude - mean, size, center=False, niter=4)
    whitened = (components / (strength / math.sqrt(len(amplitude)))).T
    network.projection.weight.copy_(whitened)
    network.projection.bias.copy_(-whitened @ mean)


def _start_from_network(network: FrameNetwork, start: Path) -> None:
    import json

    import safetensors

    with safetensors.safe_open(str(start), framework="pt") as file:
        grid = json.loads(file.metadata()["architecture"])["grid"]
    other = load_network(start, grid=grid, optics=Optics(), pitch_nm=SQUARE_NM)
    if replace(other.architecture, grid=network.architecture.grid) != network.architecture:
        raise SystemExit(f"{start}: its sizes differ: {other.architecture}")
    state = {k: v for k, v in other.state_dict().items() if not k.startswith("head.")}
    network.load_state_dict(state, strict=False)


def main() -> None:
    """Parse, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--grid", type=int, required=True, choices=GRIDS)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    network = train(arguments.grid, arguments.steps, arguments.seed, arguments.start)
    save_network(network, Optics(), SQUARE_NM, arguments.out)


if __name__ == "__main__":
    main()
