"""The frame network: one camera frame to the open squares under the beam.

A frame carries some fifty usable numbers, so a learned projection and a small
residual head hold all that it tells; there is nothing for convolutions to find.
"""

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from torch import nn

from configs.errors import ReconstructionError
from configs.grid import check_grid
from configs.instrument import Sensor
from configs.optics import Optics

_FORMAT: Final = "opticalnet-frame-network-1"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a frame network."""

    grid: int
    image_px: int = 64
    components: int = 192
    width: int = 512
    blocks: int = 3


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.contract(nn.functional.gelu(self.expand(self.norm(x))))
        return x + residual


class FrameNetwork(nn.Module):
    """Logits of the ``grid`` x ``grid`` squares around the beam, from one frame."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        size = architecture
        self.projection = nn.Linear(size.image_px**2, size.components)
        self.enter = nn.Linear(size.components, size.width)
        self.trunk = nn.Sequential(*(_ResidualBlock(size.width) for _ in range(size.blocks)))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, size.grid**2)

    def forward(self, amplitude: torch.Tensor) -> torch.Tensor:
        """Map amplitudes, (batch, y, x), to logits, (batch, grid, grid)."""
        x = self.enter(self.projection(amplitude.flatten(1)))
        logits: torch.Tensor = self.head(self.norm(self.trunk(x)))
        return logits.reshape(-1, self.architecture.grid, self.architecture.grid)


def relative_amplitude(adu: torch.Tensor, sensor: Sensor, open_peak_e: float) -> torch.Tensor:
    """Root of the light in each pixel, relative to the brightest of an open sample.

    Parameters
    ----------
    adu
        (..., y, x), digital numbers.
    sensor
        Gain and offset.
    open_peak_e
        Photo-electrons at the brightest pixel of an all-open sample.

    Returns
    -------
    torch.Tensor
        (..., y, x), float32; light below the offset counts as none.
    """
    electrons = (adu.to(torch.float32) - sensor.offset_adu) * sensor.gain_e_per_adu
    return (electrons / open_peak_e).clamp_(min=0).sqrt_()


def weights_path(grid: int) -> Path:
    """Where the shipped weights for a grid lie."""
    check_grid(grid)
    file = resources.files("reconstruction").joinpath("weights", f"frame-{grid}.safetensors")
    return Path(str(file))


def save_network(network: FrameNetwork, optics: Optics, pitch_nm: float, path: Path) -> None:
    """Write weights in half precision, with what they were trained for beside them."""
    tensors = {k: v.detach().half().contiguous() for k, v in network.state_dict().items()}
    metadata = {
        "format": _FORMAT,
        "architecture": json.dumps(asdict(network.architecture)),
        "optics": optics.model_dump_json(),
        "pitch_nm": json.dumps(pitch_nm),
    }
    safetensors.torch.save_file(tensors, path, metadata)


def load_network(
    path: Path,
    *,
    grid: int,
    optics: Optics,
    pitch_nm: float,
    device: torch.device | str = "cpu",
) -> FrameNetwork:
    """Read weights, in single precision, ready to predict.

    Raises
    ------
    ReconstructionError
        If the file is no frame network, or one for another grid or other optics.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ReconstructionError(
            f"weights {path}: expected a readable safetensors file, got: {error}"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ReconstructionError(
            f"weights {path}: expected format {_FORMAT}, got {metadata.get('format')};"
            " train them with python -m reconstruction.training"
        )
    architecture = Architecture(**json.loads(metadata["architecture"]))
    _check_fit(path, "grid", architecture.grid, grid)
    _check_fit(path, "pitch_nm", json.loads(metadata["pitch_nm"]), pitch_nm)
    trained = json.loads(metadata["optics"])
    for key, value in optics.model_dump(mode="json").items():
        _check_fit(path, f"optics.{key}", trained.get(key), value)
    network = FrameNetwork(architecture)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ReconstructionError(
            f"weights {path}: tensors do not fit the stated architecture: {error}"
        ) from error
    return network.to(device).eval().requires_grad_(False)


def _check_fit(path: Path, key: str, trained: object, wanted: object) -> None:
    if trained != wanted:
        raise ReconstructionError(
            f"weights {path.name} do not fit: {key} expected {wanted}, got {trained};"
            " train others with python -m reconstruction.training"
        )
