"""Looks at the landmark, as they lie in a run."""

from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from acquisition.frame import Dither

FRAME_CODEC: Final = BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle")
"""Photon counts fill the lower bits only: half the time of Zarr's own choice, and smaller."""
LANDMARK_ARRAYS: Final = (
    ("line", False),
    ("started_s", False),
    ("commanded_um", True),
    ("drift_um", True),
    ("sd_um", True),
    ("chi_squared", False),
    ("is_believed", False),
    ("correction_um", True),
)
"""Name, and whether a visit has a number for each axis of the drives."""


def write_dither(group: zarr.Group, seen: Dither) -> None:
    """Keep what a landmark was learnt from, in the group of a run."""
    dithers = group.require_group("landmark/dither")
    one = dithers.create_group(str(sum(1 for _ in dithers.group_keys())), overwrite=True)
    images = one.create_array(
        "frames",
        shape=seen.images.shape,
        chunks=(1, *seen.images.shape[1:]),
        dtype="uint16",
        compressors=FRAME_CODEC,
    )
    images[:] = seen.images
    offsets = one.create_array("offsets_um", shape=seen.offsets_um.shape, dtype="float64")
    offsets[:] = seen.offsets_um
    # Last, and all at once: a dither without it was never finished.
    one.attrs.put(
        {
            "place_um": seen.place_um,
            "drift_um": seen.drift_um,
            "started_s": seen.started_s,
        }
    )


def read_dither(group: zarr.Group) -> Dither | None:
    """Return what the landmark was learnt from last; ``None`` if it was not."""
    if "landmark/dither" not in group:
        return None
    dithers = group["landmark/dither"]
    assert isinstance(dithers, zarr.Group)
    finished = {name: one for name, one in dithers.groups() if "started_s" in one.attrs}
    if not finished:
        return None
    last = finished.pop(max(finished, key=int))
    facts: dict[str, Any] = dict(last.attrs)
    return Dither(
        tuple(facts["place_um"]),
        None if facts["drift_um"] is None else tuple(facts["drift_um"]),
        _values(last, "offsets_um"),
        _values(last, "frames"),
        facts["started_s"],
        sum(len(_values(earlier, "offsets_um")) for earlier in finished.values()),
    )


def _values(group: zarr.Group, name: str) -> NDArray[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[:])
