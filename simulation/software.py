"""Which software makes a simulation: the same versions, the same bits."""

import platform
from importlib import metadata
from typing import Final

ON_WORKERS: Final = ("opticalnet", "numpy", "torch")
"""What the frames of a given line depend on."""
_ELSEWHERE: Final = ("shapely", "zarr")


def versions() -> dict[str, str]:
    """Return the versions of Python and of all that a data set depends on."""
    packages = {package: metadata.version(package) for package in (*ON_WORKERS, *_ELSEWHERE)}
    return {"python": platform.python_version(), **packages}
