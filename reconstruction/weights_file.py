"""Weights on disk: tensors, and in the metadata what there is to know of them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from configs.drafts import in_place
from configs.errors import ReconstructionError, RunStoreError
from configs.value import Value
from reconstruction.trained import TrainedFor, TrainingFacts

Model = Literal["scan", "frame"]
Tensors = dict[str, torch.Tensor]
Metadata = dict[str, str]
Fact = TypeVar("Fact", bound=Value)
Network = TypeVar("Network", bound=nn.Module)
_FORMAT: Final = "opticalnet-weights-1"
_TRAINED_FOR: Final = ("optics", "tolerance", "pitch_nm")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a file says of its weights.

    Attributes
    ----------
    path, sha256
        Of the file.
    trained_for
        The instrument that they know.
    training
        How they came about; ``None``: not noted then.
    start
        What the training began with; ``None``: with nothing.
    """

    path: Path
    sha256: str
    trained_for: TrainedFor
    training: TrainingFacts | None
    start: str | None


def shipped_weights(model: str) -> Path:
    """Where the weights of a network that ships lie."""
    file = resources.files("reconstruction").joinpath("weights", f"{model}.safetensors")
    return Path(str(file))


def weights_metadata(
    model: Model, architecture: Value, trained_for: TrainedFor, start: str | None = None
) -> Metadata:
    """Return what stands beside weights; ``model`` names what can read them."""
    metadata = {
        "format": _FORMAT,
        "model": model,
        "architecture": architecture.model_dump_json(),
        "optics": trained_for.optics.model_dump_json(),
        "tolerance": json.dumps(trained_for.tolerance),
        "pitch_nm": json.dumps(trained_for.pitch_nm),
    }
    return metadata if start is None else metadata | {"start": start}


def halve(source: Path, path: Path) -> None:
    """Write weights again in half precision, which they need not more than; facts stay."""
    tensors, metadata = read_tensors(source)
    halved = {name: tensor.half() for name, tensor in tensors.items()}
    with in_place(path) as draft:
        draft.write_bytes(safetensors.torch.save(halved, metadata))


def read_tensors(
    path: Path, error_kind: type[ReconstructionError | RunStoreError] = ReconstructionError
) -> tuple[Tensors, Metadata]:
    """Read a safetensors file and its metadata; what goes wrong is of a kind, in a line."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error, error_kind) from error


def read_metadata(path: Path) -> Metadata:
    """Read what stands beside weights, and no tensor.

    Raises
    ------
    ReconstructionError
        If it is no safetensors file.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error, ReconstructionError) from error


def read_fact(kind: type[Fact], name: str, metadata: Metadata, path: Path) -> Fact:
    """Return a value that stands beside weights as JSON.

    Raises
    ------
    ReconstructionError
        If it does not, or is none of its kind.
    """
    try:
        return kind.model_validate_json(metadata.get(name, ""))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, *map(str, first["loc"])])
        raise ReconstructionError(
            f"weights {path}: expected their {name} beside them, got {where}: {first['msg']};"
            " train them again"
        ) from error


def parse_weights(metadata: Metadata, path: Path, model: Model) -> WeightsFile:
    """Return what a file says of the weights of a model.

    Raises
    ------
    ReconstructionError
        If they are of something else, or what is said of them is wrong.
    """
    for key, expected in (("format", _FORMAT), ("model", model)):
        if metadata.get(key) != expected:
            raise ReconstructionError(
                f"weights {path}: expected {key} {expected}, got {metadata.get(key)};"
                " train others with opticalnet train"
            )
    joined = ", ".join(f'"{key}": {metadata.get(key, "null")}' for key in _TRAINED_FOR)
    trained = {"instrument": f"{{{joined}}}"}
    training = None
    if "training" in metadata:
        training = read_fact(TrainingFacts, "training", metadata, path)
    return WeightsFile(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        trained_for=read_fact(TrainedFor, "instrument", trained, path),
        training=training,
        start=metadata.get("start"),
    )


def filled(make: Callable[[], Network], tensors: Tensors, path: Path) -> Network:
    """Make a network and give it weights, in single precision, ready to predict.

    Raises
    ------
    ReconstructionError
        If they are not of its sizes, or no numbers.
    """
    try:
        with torch.device("meta"):  # sizes are the file's word: they get no memory yet
            network = make()
    except (RuntimeError, TypeError) as error:
        raise ReconstructionError(
            f"weights {path}: expected sizes that torch can count, got larger ones; train them"
            " again"
        ) from error
    try:
        network.load_state_dict(_single(tensors, path), assign=True)
    except RuntimeError as error:
        reason = str(error).partition("\n\t")[2].splitlines()[0]
        raise ReconstructionError(
            f"weights {path}: expected tensors of the stated sizes, got: {reason}; train them"
            " again"
        ) from error
    return network.eval().requires_grad_(False)


def _single(tensors: Tensors, path: Path) -> Tensors:
    """Copy weights, single precision, as the file leaves them where they are in it."""
    copied = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
        copied[name] = tensor.to(kind, copy=True)
        if not copied[name].isfinite().all():
            raise ReconstructionError(
                f"weights {path}: expected finite numbers, got others in {name}; train them"
                " again"
            )
    return copied


def _unreadable(
    path: Path, error: Exception, error_kind: type[ReconstructionError | RunStoreError]
) -> ReconstructionError | RunStoreError:
    return error_kind(
        f"{path}: expected a readable safetensors file, got: {error}; check the path"
    )
