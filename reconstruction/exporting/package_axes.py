"""Axes of tensors, as bioimage.io describes them."""

from typing import Any, Final

import torch

from configs.geometry import SQUARE_NM
from configs.optics import Optics
from reconstruction.exporting.raw_models import DYNAMIC, Axes

_XY: Final = ("x", "y")


def describe_axes(
    name: str, axes: Axes, tensor: torch.Tensor, optics: Optics, *, is_input: bool
) -> list[dict[str, Any]]:
    """Describe the axes of a tensor; a scalar has one channel of its name.

    Rows and columns of a scan are as long as those of its frames; y and x are pixels in what
    goes in, and squares in what comes out.
    """
    if not axes:
        return [{"type": "channel", "channel_names": [name]}]
    pixel_nm = optics.binned_pixel_nm if is_input else SQUARE_NM
    return [
        _axis(name, axis, length, pixel_nm)
        for axis, length in zip(axes, tensor.shape, strict=True)
    ]


def _axis(name: str, axis: str, length: int, pixel_nm: float) -> dict[str, Any]:
    if axis == "batch":
        return {"type": "batch"}
    if axis == "xy":
        return {"type": "channel", "channel_names": list(_XY)}
    if axis in DYNAMIC:
        first = {"min": 1, "step": 1}
        return _space(axis, SQUARE_NM, first if name == "frames" else _as_frames(axis))
    return _space(axis, pixel_nm, length)


def _as_frames(axis: str) -> dict[str, str]:
    return {"tensor_id": "frames", "axis_id": axis}


def _space(axis: str, step_nm: float, size: object) -> dict[str, Any]:
    unit = {"unit": "micrometer", "scale": step_nm / 1000}
    return {"type": "space", "id": axis, "size": size, **unit}
