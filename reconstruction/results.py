"""What was reconstructed, kept in the run: images that any OME-NGFF viewer opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
import zarr.errors
from numpy.typing import NDArray

from configs.drafts import in_place
from configs.errors import ReconstructionError

Images = Mapping[str, tuple[NDArray[Any], float]]
"""By their names: the image, and the side of its pixels in micrometres."""


def check_replaceable(run: Path, name: str, made_from: Mapping[str, str]) -> None:
    """Refuse to let go of a result that something else made, such as other weights.

    Raises
    ------
    ReconstructionError
        If there is one of that name, or something else.
    """
    final = run / "reconstruction" / name
    if final.exists() and not made_from.items() <= _metadata(final).items():
        raise ReconstructionError(
            f"{final}: expected nothing there, or a result made from the same"
            f" {' and '.join(made_from)}, got another; add --overwrite to let go of it"
        )


def _metadata(result: Path) -> dict[str, Any]:
    try:
        kept: Any = zarr.open_group(result, mode="r").attrs["opticalnet"]
        return dict(kept)
    except (OSError, KeyError, TypeError, ValueError, zarr.errors.BaseZarrError):
        return {}


def write_result(run: Path, name: str, images: Images, metadata: dict[str, Any]) -> None:
    """Put images into a run as ``reconstruction/<name>``, in place of an earlier result.

    Raises
    ------
    RunStoreError
        If the run cannot be written; an earlier result of that name is still there.
    """
    with in_place(run / "reconstruction" / name, "make the run writable") as draft:
        zarr.open_group(run / "reconstruction", mode="a", zarr_format=3)
        group = zarr.create_group(draft, zarr_format=3)
        group.attrs["opticalnet"] = metadata
        for key, (image, pixel_um) in images.items():
            _write_image(group.create_group(key), key, image, pixel_um)


def _write_image(group: zarr.Group, name: str, image: NDArray[Any], pixel_um: float) -> None:
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
                            {"type": "scale", "scale": [pixel_um, pixel_um]}
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
