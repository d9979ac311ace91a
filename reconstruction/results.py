"""What was reconstructed, kept in the run: images that any OME-NGFF viewer opens."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from configs.drafts import in_place
from configs.errors import ReconstructionError
from reconstruction.square_map import SquareMap


def check_replaceable(run: Path, name: str, weights_sha256: str) -> None:
    """Refuse to let go of a result that other weights made.

    Raises
    ------
    ReconstructionError
        If there is one of that name, or something else.
    """
    final = run / "reconstruction" / name
    if final.exists() and _weights_of(final) != weights_sha256:
        raise ReconstructionError(
            f"{final}: expected nothing there, or what the same weights made, got a result of"
            " others; add --overwrite to let go of it"
        )


def _weights_of(result: Path) -> str | None:
    try:
        kept: Any = zarr.open_group(result, mode="r").attrs["opticalnet"]
        return str(kept["weights_sha256"])
    except (OSError, KeyError, TypeError, ValueError, zarr.errors.BaseZarrError):
        return None


def write_result(
    run: Path, name: str, squares: SquareMap, pitch_nm: float, metadata: dict[str, Any]
) -> None:
    """Put a map into a run as ``reconstruction/<name>``, in place of an earlier one.

    Raises
    ------
    RunStoreError
        If the run cannot be written; an earlier result of that name is still there.
    """
    images: dict[str, NDArray[Any]] = {
        "probability": squares.probability.astype(np.float32),
        "uncertainty": squares.uncertainty.astype(np.float32),
        "binary": squares.is_open.astype(np.uint8),
        "count": squares.count.astype(np.uint32),
        "coverage": squares.coverage.astype(np.float32),
    }
    with in_place(run / "reconstruction" / name, "make the run writable") as draft:
        zarr.open_group(run / "reconstruction", mode="a", zarr_format=3)
        group = zarr.create_group(draft, zarr_format=3)
        group.attrs["opticalnet"] = metadata
        for key, image in images.items():
            _write_image(group.create_group(key), key, image, pitch_nm)


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
