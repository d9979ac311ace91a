"""The same model at other focus positions: a sample that creeps along the beam."""

from functools import lru_cache
from typing import Final

from configs.optics import Optics
from simulation.forward import ForwardModel
from simulation.light import Light

# Between planes that close, fields change along straight lines: 1e-4 of the intensity.
_PLANE_NM: Final = 10
_KEPT: Final = 16
"""Of the planes, and of the models between: as many as learning a landmark takes."""


class FocusSeries:
    """Forward models of a sample displaced along the beam.

    Parameters
    ----------
    optics, cell_nm
        See ``ForwardModel``.
    """

    def __init__(self, optics: Optics, cell_nm: float) -> None:
        self._optics = optics
        self._cell_nm = cell_nm
        self._light = Light.of(optics)
        self._plane = lru_cache(maxsize=_KEPT)(self._new_plane)
        self._between = lru_cache(maxsize=_KEPT)(self._new_between)

    def at(self, focus_nm: float) -> ForwardModel:
        """Return the model with the sample so much farther from the camera's plane.

        Rounded to a nanometre; half of one changes a frame by some 2e-4.
        """
        return self._between(round(focus_nm))

    def _new_between(self, focus_nm: int) -> ForwardModel:
        plane, rest = divmod(focus_nm, _PLANE_NM)
        if rest == 0:
            return self._plane(plane)
        return self._plane(plane).blended(self._plane(plane + 1), rest / _PLANE_NM)

    def _new_plane(self, plane: int) -> ForwardModel:
        light = self._light.refocused(plane * _PLANE_NM / 1000)
        return ForwardModel(self._optics, self._cell_nm, light=light)
