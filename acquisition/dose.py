"""How much light each square of a sample has had."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from acquisition.frame import Dither
from acquisition.journal import PointRecord
from acquisition.plan import LOOKS_PER_CANDIDATE
from acquisition.store import RunInfo

_SIGMAS_PER_FWHM: Final = 1 / math.sqrt(8 * math.log(2))
_REACH_SIGMAS: Final = 4
_CM2_PER_NM2: Final = 1e-14


class Dose:
    """Energy per area of the beam on the sample, so far.

    Parameters
    ----------
    info
        Of the run; its ``power_w`` is that of the beam on the sample.

    Notes
    -----
    A Gaussian beam of power P and standard deviation s that rests for t on a place r_0
    leaves P t exp(-|r - r_0|^2 / 2 s^2) / (2 pi s^2) at r. Where it rests is rounded to
    whole squares, a fraction of the beam's width.
    """

    def __init__(self, info: RunInfo) -> None:
        plan = info.plan
        beam_squares = info.instrument.optics.beam_fwhm_nm / plan.pitch_nm
        self._sigma = beam_squares * _SIGMAS_PER_FWHM
        self._reach = math.ceil(_REACH_SIGMAS * self._sigma)
        self._power_w = info.power_w or 0.0
        self._plan, self._geometry = plan, plan.geometry
        self._area_cm2 = plan.pitch_nm**2 * _CM2_PER_NM2
        beyond = plan.margin + 2 * self._reach
        self._first = beyond
        shape = (side + 2 * beyond for side in plan.sample_shape)
        self._seconds: NDArray[np.float64] = np.zeros(tuple(shape))
        self._kernel = self._spread(_point(2 * self._reach + 1))
        self._place_um: tuple[float, float] | None = None
        self._since_s = 0.0
        self._is_on = False

    def light(self, time_s: float, *, on: bool) -> None:
        """Learn that the light is on or off from now on."""
        self._rest_until(time_s)
        self._is_on = on

    def beam_at(self, place_um: tuple[float, float], time_s: float) -> None:
        """Learn where the beam is from now on: a stage position, less the sample's drift."""
        self._rest_until(time_s)
        self._place_um = place_um

    def recall(
        self,
        records: Iterable[PointRecord],
        dither: Dither | None,
        visits: dict[str, NDArray[np.float64]],
    ) -> None:
        """Count what was looked at before: points, and the landmark as often as it was learnt.

        Exposures and settling times count, waiting, ways and searches for the landmark do not.
        """
        plan = self._plan
        exposure_s = plan.exposure_ms / 1000
        for record in records:
            place_um = plan.point(*divmod(record.index, plan.columns)).target_um
            self._rest(place_um, record.attempts * (record.settling_s + exposure_s))
        look_s = exposure_s * (plan.landmark.frames if plan.landmark else 0)
        if dither is None:
            return
        looks = len(dither.images) + dither.earlier_looks + len(visits.get("line", ()))
        self._rest(dither.place_um, looks * look_s)
        for place_um in plan.candidates_um():
            self._rest(place_um, LOOKS_PER_CANDIDATE * look_s)

    def after_j_per_cm2(self, place_um: tuple[float, float], seconds: float) -> float:
        """Return what the middle of the beam will have had after resting there so long."""
        cell = self._cell(place_um)
        if cell is None:
            return 0.0
        row, column = cell
        reach = self._reach
        window = self._seconds[
            row - reach : row + reach + 1, column - reach : column + reach + 1
        ]
        rest_s = float((window * self._kernel).sum() + seconds * self._kernel.max())
        return rest_s * self._power_w / self._area_cm2

    def most_j_per_cm2(self) -> float:
        """Return what the square with the most of it has had."""
        most_s = float(self._spread(self._seconds).max())
        return most_s * self._power_w / self._area_cm2

    def of_raster_j_per_cm2(self, seconds: float) -> float:
        """Return what every square gets when the beam rests so long on each."""
        return seconds * self._power_w / self._area_cm2

    def _rest_until(self, time_s: float) -> None:
        if self._is_on and self._place_um is not None:
            self._rest(self._place_um, time_s - self._since_s)
        self._since_s = time_s

    def _rest(self, place_um: Sequence[float], seconds: float) -> None:
        cell = self._cell(place_um)
        if cell is not None:
            self._seconds[cell] += seconds

    def _cell(self, place_um: Sequence[float]) -> tuple[int, int] | None:
        """Return the cell under the beam; ``None`` far from the sample."""
        row, column = (round(at) + self._first for at in self._geometry.square(*place_um[:2]))
        rows, columns = self._seconds.shape
        inside = (
            self._reach <= row < rows - self._reach
            and self._reach <= column < columns - self._reach
        )
        return (row, column) if inside else None

    def _spread(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        spread: NDArray[np.float64] = gaussian_filter(
            seconds, self._sigma, mode="constant", radius=self._reach
        )
        return spread


def _point(side: int) -> NDArray[np.float64]:
    point = np.zeros((side, side))
    point[side // 2, side // 2] = 1.0
    return point
