"""What is wrong with a frame, as far as frames can tell by themselves.

The film is opaque, so a black frame may be right. But the beam is wider than a step: of
two neighbours across a step, none is black where the other is bright. In simulations of
stars, glyphs, gratings, codes and random squares a frame below 1 electron per pixel never
had a neighbour above 5 (beam of 600 nm, steps of 180 nm, 2,000 electrons at the peak).
"""

import math
import zlib
from typing import Final

import numpy as np

from acquisition.plan import ScanPoint
from acquisition.store import LATEST, Points, RunInfo
from configs.errors import DeviceError
from drivers.protocols import Image

_BLACK_E: Final = 1.0
"""Photo-electrons per pixel, on average."""
_BRIGHT_E: Final = 12.0
_SATURATED_SHARE: Final = 1e-3
_STEADY_SHARE: Final = 0.5


class LightLost(DeviceError):
    """A frame is black beside a bright one: laser or shutter, not the sample."""


class FrameChecks:
    """Checks frames in the order in which they come.

    Attributes
    ----------
    lit
        Latest point whose frame was bright.
    """

    def __init__(self, info: RunInfo) -> None:
        self._shape = info.frame_shape
        self._sensor = info.instrument.camera.sensor
        full_adu = self._sensor.full_well_e / self._sensor.gain_e_per_adu
        most_adu = math.floor(self._sensor.offset_adu + full_adu)
        self._saturated_adu = min(most_adu, np.iinfo(np.uint16).max)
        self.lit: ScanPoint | None = None
        self._checksums: list[int] = []
        self._light_e = np.full((info.plan.rows, info.plan.columns), np.nan)

    def check_kind(self, image: Image) -> Image:
        """Return an image if it is of the expected kind, and none that came before."""
        if image.shape != self._shape or image.dtype != np.uint16:
            raise DeviceError(
                f"camera: expected a {self._shape} uint16 image, got {image.shape}"
                f" {image.dtype}; check its configuration"
            )
        checksum = zlib.crc32(np.ascontiguousarray(image).data)
        if checksum in self._checksums:
            raise DeviceError(
                "camera: expected a new image, got one that has come before; check its"
                " driver and trigger"
            )
        self._checksums = [*self._checksums[1 - LATEST :], checksum]
        return image

    def know(self, points: Points) -> None:
        """Know the latest images of earlier sessions: a camera may hold one still."""
        self._checksums = [*points.latest_crc32]

    def check_light(self, point: ScanPoint, image: Image) -> None:
        """Raise ``DeviceError`` if an image is saturated, or black where it cannot be."""
        saturated = np.count_nonzero(image >= self._saturated_adu) / image.size
        if saturated > _SATURATED_SHARE:
            raise DeviceError(
                f"camera: expected at most {_SATURATED_SHARE:.1%} saturated pixels, got"
                f" {saturated:.1%}; expose less, or attenuate the beam"
            )
        light_e = self._mean_e(image)
        if light_e < _BLACK_E and self._brightest_beside(point) > _BRIGHT_E:
            raise LightLost(
                f"camera: expected some light beside a frame of"
                f" {self._brightest_beside(point):.0f} electrons per pixel, got"
                f" {light_e:z.1f}; check laser and shutter"
            )
        self.remember(point, image)

    def check_steady(self, images: Image) -> None:
        """Raise ``LightLost`` if the light goes while images of one place, (n, y, x), come."""
        means_e = [self._mean_e(image) for image in images]
        darkest_e, brightest_e = min(means_e), max(means_e)
        if brightest_e > _BLACK_E and darkest_e < _STEADY_SHARE * brightest_e:
            raise LightLost(
                f"camera: expected the same light in all frames of a look, got {darkest_e:z.1f}"
                f" to {brightest_e:.1f} electrons per pixel; check laser and shutter"
            )

    def remember(self, point: ScanPoint, image: Image) -> None:
        """Know of a good frame that was taken before."""
        light_e = self._mean_e(image)
        self._light_e[point.row, point.column] = light_e
        if light_e > _BRIGHT_E:
            self.lit = point

    def is_lit(self, image: Image) -> bool:
        """Say whether an image is anything but black."""
        return self._mean_e(image) > _BLACK_E

    def black_beside(self, point: ScanPoint) -> list[tuple[int, int]]:
        """Return the neighbours (row, column) that are black though this point is bright."""
        if not self._light_e[point.row, point.column] > _BRIGHT_E:
            return []
        return [place for place in self._beside(point) if self._light_e[place] < _BLACK_E]

    def _mean_e(self, image: Image) -> float:
        mean_e: float = self._sensor.electrons(float(image.mean()))
        return mean_e

    def _brightest_beside(self, point: ScanPoint) -> float:
        known = [self._light_e[place] for place in self._beside(point)]
        return max((light for light in known if not math.isnan(light)), default=0.0)

    def _beside(self, point: ScanPoint) -> list[tuple[int, int]]:
        row, column = point.row, point.column
        places = ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column))
        rows, columns = self._light_e.shape
        return [(r, c) for r, c in places if 0 <= r < rows and 0 <= c < columns]
