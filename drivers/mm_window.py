"""Window and exposure of a Micro-Manager camera: what was asked for, and what came."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from configs.errors import DeviceError
from drivers.mm_session import LABEL, set_property
from drivers.protocols import Image

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus


@dataclass(frozen=True, slots=True)
class Window:
    """A centred square of ``image_px`` binned pixels, and an exposure."""

    image_px: int
    binning: int
    exposure_ms: float

    @property
    def exposure_s(self) -> float:
        """Exposure in seconds."""
        return self.exposure_ms / 1000

    def check(self, name: str) -> None:
        """Raise ``DeviceError`` for what no camera can do."""
        for setting, value in (("image_px", self.image_px), ("binning", self.binning)):
            if value < 1:
                raise DeviceError(
                    f"{name}: expected {setting} of at least 1, got {value}; correct [optics]"
                )
        if not (math.isfinite(self.exposure_ms) and self.exposure_ms > 0):
            raise DeviceError(
                f"{name}: expected an exposure above 0 ms, got {self.exposure_ms:g} ms;"
                " correct exposure_ms"
            )

    def accept(self, image: NDArray[np.generic], name: str) -> Image:
        """Return ``image`` if it is (image_px, image_px) uint16, raise ``DeviceError`` else."""
        if image.shape != (self.image_px, self.image_px) or image.dtype != np.uint16:
            raise DeviceError(
                f"{name}: expected an image of ({self.image_px}, {self.image_px}) uint16,"
                f" got {image.shape} {image.dtype}; configure the camera again"
            )
        return image.astype(np.uint16, copy=False)


def set_window(window: Window, name: str, core: "CMMCorePlus") -> None:
    """Set binning, region of interest and exposure, and compare what came of them.

    Raises
    ------
    DeviceError
        The camera cannot do that, or has made something else of it without a word.
    """
    _set_binning(core, name, window.binning)
    core.clearROI()
    left, top, width, height = core.getROI()
    side = window.image_px
    if side > min(width, height):
        raise DeviceError(
            f"{name}: expected a window within the {width} x {height} px of the sensor at"
            f" binning {window.binning}, got {side} x {side} px; lower roi_px in [optics]"
        )
    core.setROI(left + (width - side) // 2, top + (height - side) // 2, side, side)
    core.setExposure(window.exposure_ms)
    _require_size(core, name, side)
    _require_16_bit(core, name)
    _require_exposure(core, name, window.exposure_ms)


def _set_binning(core: "CMMCorePlus", name: str, binning: int) -> None:
    if core.hasProperty(LABEL, "Binning"):
        square = f"{binning}x{binning}"  # as Andor's adapter writes it
        allowed = core.getAllowedPropertyValues(LABEL, "Binning")
        set_property(core, name, "Binning", square if square in allowed else binning)
    elif binning != 1:
        raise DeviceError(
            f"{name}: expected binning 1, since the device cannot bin, got {binning};"
            " set binning = 1 in [optics]"
        )


def _require_size(core: "CMMCorePlus", name: str, side: int) -> None:
    size = core.getImageWidth(), core.getImageHeight()
    if size != (side, side):
        raise DeviceError(
            f"{name}: expected a window of {side} x {side} px, the camera made it"
            f" {size[0]} x {size[1]} px; choose a roi_px that it allows"
        )


def _require_16_bit(core: "CMMCorePlus", name: str) -> None:
    pixel_bytes, components = core.getBytesPerPixel(), core.getNumberOfComponents()
    if (pixel_bytes, components) != (2, 1):
        raise DeviceError(
            f"{name}: expected pixels of 2 bytes and 1 component, got {pixel_bytes} and"
            f" {components}; choose a 16-bit pixel type in [camera.properties]"
        )


def _require_exposure(core: "CMMCorePlus", name: str, wanted_ms: float) -> None:
    """Allow for rounding to a line time; refuse what an adapter ignored."""
    exposure_ms = core.getExposure()
    if exposure_ms <= 0 or abs(exposure_ms - wanted_ms) > max(0.02 * wanted_ms, 0.01):
        raise DeviceError(
            f"{name}: expected an exposure of {wanted_ms:g} ms, the camera made it"
            f" {exposure_ms:g} ms; choose one that it allows"
        )
