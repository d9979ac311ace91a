"""Weights on disk: tensors, and what they were trained for."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import safetensors
import safetensors.torch
import torch
from torch import nn

from configs.errors import ReconstructionError
from configs.optics import Optics

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_FORMAT: Final = "opticalnet-weights-1"


@dataclass(frozen=True, slots=True)
class TrainedFor:
    """The instrument that weights know.

    Attributes
    ----------
    optics
        Nominal.
    tolerance
        By what fraction an optical parameter, named as in ``optics.beam.fwhm_nm``, may
        differ from it.
    pitch_nm
        Step of the scan.
    """

    optics: Optics
    tolerance: Mapping[str, float]
    pitch_nm: float

    def check(self, name: str, optics: Optics, pitch_nm: float) -> None:
        """Raise ``ReconstructionError`` if another instrument is too different."""
        if pitch_nm != self.pitch_nm:
            raise _misfit(name, "pitch_nm", f"{self.pitch_nm:g}", pitch_nm)
        trained = dict(_flat(self.optics.model_dump(mode="json")))
        wanted = dict(_flat(optics.model_dump(mode="json")))
        for key in sorted(trained.keys() | wanted.keys()):
            nominal, value = trained.get(key), wanted.get(key)
            share = self.tolerance.get(key, 0.0)
            if nominal == value or (share and _near(nominal, value, share)):
                continue
            allowed = f"{nominal} within {share:.0%}" if share else str(nominal)
            raise _misfit(name, f"optics.{key}", allowed, value)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """Weights that were read.

    Attributes
    ----------
    path, sha256
        Of the file.
    architecture
        Sizes of the network, by name.
    trained_for
        What they know.
    tensors
        By name, in single precision.
    """

    path: Path
    sha256: str
    architecture: Mapping[str, Any]
    trained_for: TrainedFor
    tensors: Mapping[str, torch.Tensor]

    def fill(self, network: nn.Module, device: torch.device | str) -> None:
        """Give a network its weights, ready to predict, on a device."""
        try:
            network.load_state_dict(dict(self.tensors))
        except RuntimeError as error:
            raise ReconstructionError(
                f"weights {self.path}: expected tensors of the stated sizes, got: {error};"
                " train them again"
            ) from error
        network.to(device).eval().requires_grad_(False)


def shipped_weights(model: str) -> Path:
    """Where the weights of a network that ships lie."""
    file = resources.files("reconstruction").joinpath("weights", f"{model}.safetensors")
    return Path(str(file))


def weights_metadata(
    model: str, architecture: "DataclassInstance", trained_for: TrainedFor
) -> dict[str, str]:
    """Return what stands beside weights; ``model`` names what can read them."""
    return {
        "format": _FORMAT,
        "model": model,
        "architecture": json.dumps(asdict(architecture)),
        "optics": trained_for.optics.model_dump_json(),
        "tolerance": json.dumps(dict(trained_for.tolerance)),
        "pitch_nm": json.dumps(trained_for.pitch_nm),
    }


def halve(source: Path, path: Path) -> None:
    """Write weights again in half precision, which they need not more than; facts stay."""
    with safetensors.safe_open(str(source), framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).half() for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, metadata)


def read_weights(path: Path, model: str) -> WeightsFile:
    """Read weights of a model.

    Raises
    ------
    ReconstructionError
        If the file is none, or one of another model.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, safetensors.SafetensorError) as error:
        raise ReconstructionError(
            f"weights {path}: expected a readable safetensors file, got: {error}; check the"
            " path"
        ) from error
    for key, expected in (("format", _FORMAT), ("model", model)):
        if metadata.get(key) != expected:
            raise ReconstructionError(
                f"weights {path}: expected {key} {expected}, got {metadata.get(key)};"
                " train others with opticalnet train"
            )
    try:
        architecture = json.loads(metadata["architecture"])
        trained_for = TrainedFor(
            Optics.model_validate_json(metadata["optics"]),
            json.loads(metadata["tolerance"]),
            json.loads(metadata["pitch_nm"]),
        )
    except (KeyError, ValueError) as error:
        raise ReconstructionError(
            f"weights {path}: expected to read there what they were trained for, got: {error};"
            " train them again"
        ) from error
    return WeightsFile(path, sha256, architecture, trained_for, tensors)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _near(nominal: Any, value: Any, share: float) -> bool:
    numbers = isinstance(nominal, int | float) and isinstance(value, int | float)
    return numbers and math.isclose(nominal, value, rel_tol=0, abs_tol=share * abs(nominal))


def _misfit(name: str, key: str, expected: str, got: object) -> ReconstructionError:
    return ReconstructionError(
        f"weights {name} do not fit: {key} expected {expected}, got {got};"
        " train others with opticalnet train"
    )
