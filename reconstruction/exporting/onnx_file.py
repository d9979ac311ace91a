"""ONNX files: written by torch, checked by what reads them."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import onnxscript  # noqa: F401  # torch wants it, but not before it writes
import torch
import torch._dynamo  # torch would import it while it writes, and lose a Ctrl-C meanwhile
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from configs.errors import ReconstructionError
from reconstruction.exporting.raw_models import DYNAMIC, RawModel, Tensors
from reconstruction.exporting.silence import silence

TOLERANCE: Final = 1e-4
"""How much a probability may differ from torch's."""
_TRACED: Final = (3, 5)
_CHECKED: Final = ((1, 1), (1, 9), (8, 6))


def write_onnx(model: RawModel, path: Path, scalar_shape: tuple[int, ...] = ()) -> float:
    """Write a model, and have it read by others.

    Parameters
    ----------
    model
        To be written, in single precision.
    path
        Of the file.
    scalar_shape
        What its scalars are in the file.

    Returns
    -------
    float
        Largest difference between probabilities of onnxruntime and of torch, over simulated
        scans of some sizes.

    Raises
    ------
    ReconstructionError
        If torch cannot write it, or the difference is larger than ``TOLERANCE``.
    """
    try:
        with silence():
            program = torch.onnx.export(
                model,
                shaped(model.example(*_TRACED), scalar_shape),
                dynamo=True,
                input_names=list(model.inputs),
                output_names=list(model.outputs),
                dynamic_shapes=_dynamic_shapes(model),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ReconstructionError(
            f"{path.name}: expected a network that torch can write as ONNX, got: {reason};"
            " install the versions in constraints.txt"
        ) from error
    assert program is not None
    ClearMetadataAndDocStringPass()(program.model)  # it names the files of this machine
    program.model.metadata_props.update(model.facts)
    program.save(path)
    onnx.checker.check_model(path, full_check=True)
    difference = _largest_difference(model, path, scalar_shape)
    if not difference <= TOLERANCE:
        raise ReconstructionError(
            f"{path.name}: expected onnxruntime to say what torch says within {TOLERANCE:g},"
            f" got a difference of {difference:.1g}; install the versions in constraints.txt"
        )
    return difference


def shaped(inputs: Tensors, scalar_shape: tuple[int, ...]) -> Tensors:
    """Give the scalars among tensors a shape."""
    return tuple(tensor if tensor.ndim else tensor.expand(scalar_shape) for tensor in inputs)


def _dynamic_shapes(model: RawModel) -> dict[str, dict[int, torch.export.Dim]]:
    lengths = {axis: torch.export.Dim(axis) for axis in DYNAMIC}
    return {
        name: {n: lengths[axis] for n, axis in enumerate(axes) if axis in lengths}
        for name, axes in model.inputs.items()
    }


def _largest_difference(model: RawModel, path: Path, scalar_shape: tuple[int, ...]) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for size in _CHECKED:
        inputs = shaped(model.example(*size), scalar_shape)
        arrays = {
            name: tensor.numpy() for name, tensor in zip(model.inputs, inputs, strict=True)
        }
        expected = model.run(inputs)
        for said, tensor in zip(session.run(None, arrays), expected, strict=True):
            differences.append(np.abs(said - tensor.numpy()).max())
    return float(np.max(differences))
