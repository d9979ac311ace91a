"""What was reconstructed, kept in the run: images that any OME-NGFF viewer opens."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from configs.errors import ReconstructionError
from reconstruction.scan_map import ScanMap, SquareMap


def write_result(
    run: Path, name: str, squares: SquareMap, pitch_nm: float, metadata: dict[str, Any]
) -> None:
    """Put a map into a run as ``reconstruction/<name>``, in place of an earlier one.

    Raises
    ------
    ReconstructionError
        If the run cannot be written; an earlier result of that name is still there.
    """
    final = run / "reconstruction" / name
    draft, earlier = (final.with_name(f".{name}.{kind}") for kind in ("draft", "earlier"))
    images: dict[str, NDArray[Any]] = {
        "probability": squares.probability.astype(np.float32),
        "uncertainty": squares.uncertainty.astype(np.float32),
        "binary": squares.is_open.astype(np.uint8),
        "count": squares.count.astype(np.uint32),
    }
    if isinstance(squares, ScanMap):
        images["coverage"] = squares.coverage.astype(np.float32)
    try:
        zarr.open_group(run / "reconstruction", mode="a", zarr_format=3)
        for leftover in (draft, earlier):
            shutil.rmtree(leftover, ignore_errors=True)
        group = zarr.create_group(draft, zarr_format=3)
        group.attrs["opticalnet"] = metadata
        for key, image in images.items():
            _write_image(group.create_group(key), key, image, pitch_nm)
        if final.exists():
            os.replace(final, earlier)
        os.replace(draft, final)
        shutil.rmtree(earlier, ignore_errors=True)
    except OSError as error:
        if earlier.exists() and not final.exists():
            os.replace(earlier, final)
        shutil.rmtree(draft, ignore_errors=True)
        raise ReconstructionError(
            f"cannot write the result into {run}: {error}; make the run writable"
        ) from error


def _write_image(group: zarr.Group, name: str, image: NDArray[Any], pitch_nm: float) -> None:
    pitch_um = pitch_nm / 1000
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [
                    {"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"
                ],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [pitch_um, pitch_um]}
                        ],
                    }
                ],
            }
        ],
    }
    array = group.create_array(
        "0", shape=image.shape, dtype=image.dtype, dimension_names=("y", "x")
    )
    array[:] = image
