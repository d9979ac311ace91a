"""Frames of arbitrary masks: the spectrum that passes the pupil, and nothing else.

The exit field is sampled at Gauss nodes of the mask's cells, taken to the pupil by a
small matrix per axis and from there to the camera. Nothing is precomputed but the
matrices: any mask, any cells, any position; the reference of the forward model and what
its modes are made with.
"""

import math
from typing import Final

import torch
from numpy.polynomial import legendre

from simulation.beam import beam_field
from simulation.camera_plane import CameraPlane
from simulation.light import Light
from simulation.window import check_window

NODE_SPACING_UM: Final = 0.04


class CroppedSpectrum:
    """Camera images of masks under the beam, as fractions of the incident power.

    Parameters
    ----------
    light
        Optical parameters; gradients flow into all of them.
    cells
        Side of the window of cells on the sample; film lies around it.
    cell_nm
        Side of a cell.
    period_um
        See ``CameraPlane``.
    dtype
        Of the images: ``torch.float32``, or ``torch.float64`` for reference.

    Raises
    ------
    ConfigError
        If more than 1 % of the beam's light falls outside the window.
    """

    def __init__(
        self,
        light: Light,
        cells: int,
        cell_nm: float,
        *,
        period_um: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_window(light.optics, cells, cell_nm)
        self.cells = cells
        self._complex = torch.complex64 if dtype == torch.float32 else torch.complex128
        self._light = light
        self._nodes = max(2, math.ceil(cell_nm / 1000 / NODE_SPACING_UM))
        reach_um = cells * cell_nm / 2000
        self._x, self._weight = _cell_nodes(cells, cell_nm / 1000, self._nodes)
        self._x, self._weight = (a.to(light.distance_um) for a in (self._x, self._weight))
        self._plane = CameraPlane(light, reach_um, period_um, self._complex)
        self._pupil = self._plane.transform(self._x, self._x)
        self._film = light.film.to(self._complex) * self._plane.whole_beam()
        self._beam = self._weighted_beam(torch.zeros(2).to(light.distance_um))

    def frames(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return camera images of masks.

        Parameters
        ----------
        coverage
            (batch, cells, cells), the milled fraction of each cell; the beam axis goes
            through the middle of the window.
        offset_um
            (batch, 2), by how much (x, y) each mask is displaced; ``None`` is zero.

        Returns
        -------
        torch.Tensor
            (batch, image_px, image_px), fraction of the incident power per binned pixel.
        """
        open_field = self._open_field(coverage, offset_um)  # (batch, components, n, n)
        batch, parts = open_field.shape[:2]
        spectrum = self._pupil.to_pupil(open_field.flatten(0, 1))
        spectrum = spectrum.view(*spectrum.shape[:2], batch, parts)
        if offset_um is not None:
            spectrum = spectrum * self._plane.displacement(offset_um)[..., None]
        field = self._plane.field(spectrum) + self._film
        intensity = field.real.square() + field.imag.square()
        return self._plane.pixels(intensity.sum(dim=1))

    def _open_field(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None
    ) -> torch.Tensor:
        """Return what the openings add to the film's light, (batch, components, n, n)."""
        if offset_um is None:
            beam = self._beam
        else:
            beam = torch.stack([self._weighted_beam(offset) for offset in offset_um])
        fine = coverage.to(beam.real.dtype)
        for axis in (1, 2):
            fine = fine.repeat_interleave(self._nodes, dim=axis)
        return fine[:, None] * beam

    def _weighted_beam(self, offset_um: torch.Tensor) -> torch.Tensor:
        """Beam at the nodes of a displaced mask times their area, (components, n, n)."""
        offset_um = offset_um.to(self._x)
        beam = beam_field(self._light, self._x + offset_um[0], self._x + offset_um[1])
        area = self._weight[:, None] * self._weight
        return ((1 - self._light.film) * area * beam).to(self._complex)


def _cell_nodes(cells: int, cell_um: float, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss nodes of all cells along an axis, (cells * count,), and their weights."""
    nodes, weights = (torch.from_numpy(a) * cell_um / 2 for a in legendre.leggauss(count))
    centres = (torch.arange(cells, dtype=torch.float64) - (cells - 1) / 2) * cell_um
    return (centres[:, None] + nodes).flatten(), weights.repeat(cells)
