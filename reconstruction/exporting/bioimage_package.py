"""Packages for bioimage.io: an ONNX file, what goes in and comes out, and what to know of it.

The format is version 0.5 of https://bioimage.io's model description.
"""

import gc
import tempfile
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from bioimageio.core import test_model
from bioimageio.spec import (
    InvalidDescr,
    ValidationContext,
    build_description,
    save_bioimageio_package,
)
from bioimageio.spec.model.v0_5 import ModelDescr
from loguru import logger
from PIL import Image

from configs.errors import ReconstructionError
from reconstruction.exporting.model_card import DESCRIPTIONS, model_card, summary
from reconstruction.exporting.onnx_file import shaped, write_onnx
from reconstruction.exporting.package_axes import describe_axes
from reconstruction.exporting.raw_models import RawModel
from reconstruction.exporting.silence import silence

_SCALAR: Final = (1,)  # their tensors have one axis at least
_POINTS: Final = (8, 9)
_COVER_PX: Final = 256
_FILE: Final = "bioimageio.yaml"
_TAGS: Final = (
    "opticalnet",
    "microscopy",
    "diffraction",
    "super-resolution",
    "scanning",
    "2d",
    "pytorch",
)


def write_package(model: RawModel, path: Path) -> float:
    """Write a model with all that belongs to it, and have it tested.

    Returns
    -------
    float
        As ``write_onnx``.

    Raises
    ------
    ReconstructionError
        As ``write_onnx``, or if bioimage.io's own test fails.
    """
    logger.disable("bioimageio")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, silence():
            difference = write_onnx(model, Path(folder) / "weights.onnx", _SCALAR)
            _pack(model, Path(folder), path)
            _check(path)
    finally:
        logger.enable("bioimageio")
    return difference


def _pack(model: RawModel, folder: Path, path: Path) -> None:
    inputs = shaped(model.example(*_POINTS), _SCALAR)
    given = dict(zip(model.inputs, inputs, strict=True))
    said = dict(zip(model.outputs, model.run(inputs), strict=True))
    for name, tensor in (given | said).items():
        np.save(folder / f"{name}.npy", tensor.numpy())
    _draw_cover(given["frames"], said["probability"]).save(folder / "cover.png")
    (folder / "README.md").write_text(model_card(model), encoding="utf-8")
    content = {
        **_about(model),
        "inputs": [_tensor(model, name, tensor, "input") for name, tensor in given.items()],
        "outputs": [_tensor(model, name, tensor, "output") for name, tensor in said.items()],
        "weights": {"onnx": _weights(folder / "weights.onnx")},
    }
    with ValidationContext(root=folder, file_name=_FILE):
        description = build_description(content)
        if isinstance(description, InvalidDescr):
            raise _refused(path, description.get_reason())
        save_bioimageio_package(description, output_path=path)


def _check(path: Path) -> None:
    summary = test_model(path)
    gc.collect()  # it leaves the file open, and Windows moves none that is
    if summary.status != "passed":
        errors = [error.msg for detail in summary.details for error in detail.errors]
        raise _refused(path, "; ".join(errors))


def _refused(path: Path, reason: str | None) -> ReconstructionError:
    return ReconstructionError(
        f"{path.name}: expected a package that bioimage.io accepts, got: {reason}; install the"
        " versions in constraints.txt"
    )


def _about(model: RawModel) -> dict[str, Any]:
    about = metadata("opticalnet")
    return {
        "type": "model",
        "format_version": ModelDescr.implemented_format_version,
        "name": f"OpticalNet {model.facts['model']}".replace(",", ""),
        "description": summary(model),
        "authors": [{"name": about["Author"]}],
        "license": about["License-Expression"],
        "version": about["Version"],
        "tags": list(_TAGS),
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "config": {"opticalnet": dict(model.facts)},
    }


def _weights(path: Path) -> dict[str, Any]:
    (opset,) = onnx.load(path).opset_import
    return {"source": path.name, "opset_version": opset.version}


def _tensor(model: RawModel, name: str, tensor: torch.Tensor, kind: str) -> dict[str, Any]:
    is_input = kind == "input"
    axes = (model.inputs if is_input else model.outputs)[name]
    data: dict[str, Any] = {"type": str(tensor.numpy().dtype)}
    if tensor.dtype == torch.bool:
        data["values"] = [False, True]
    elif not is_input:
        data["range"] = [0.0, 1.0]
    return {
        "id": name,
        "description": DESCRIPTIONS[name],
        "axes": describe_axes(name, axes, tensor, model.optics, is_input=is_input),
        "test_tensor": {"source": f"{name}.npy"},
        "data": data,
    }


def _draw_cover(frames: torch.Tensor, probability: torch.Tensor) -> Image.Image:
    """Draw a frame beside what is said of it, or of its scan."""
    frame = frames.flatten(0, -3)[0]
    squares = probability.flatten(0, -3)[0] if probability.ndim > 2 else probability
    cover = Image.new("L", (2 * _COVER_PX, _COVER_PX))
    for left, picture in ((0, frame / frame.max()), (_COVER_PX, squares)):
        grey = Image.fromarray((255 * picture).byte().numpy())
        cover.paste(grey.resize((_COVER_PX, _COVER_PX), Image.Resampling.NEAREST), (left, 0))
    return cover
