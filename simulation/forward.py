"""From cells to light on the camera: the fast route.

The beam is fixed and the sample moves. The camera field of every mode of
``simulation.modes`` is computed once; then a frame is one matrix product, for any mask
and any offset from the grid. Lengths are micrometres; arrays have row (+y) before
column (+x).
"""

import copy
from dataclasses import dataclass
from typing import Self

import torch

from configs.errors import ConfigError
from configs.optics import Optics
from simulation.camera_plane import PIXEL_TAPS
from simulation.light import Light
from simulation.modes import camera_fields, modes_of, nominal_fields
from simulation.window import beam_window, check_window


@dataclass(frozen=True, slots=True)
class Overlap:
    """How windows of cells, displaced from the beam, show in the modes: a linear map.

    Attributes
    ----------
    y, x
        (batch, cells, axis functions), overlap of the cells along an axis; a batch of one
        holds for all windows.
    kept, mixing
        See ``simulation.modes.Modes``.
    """

    y: torch.Tensor
    x: torch.Tensor
    kept: torch.Tensor
    mixing: torch.Tensor

    def amplitudes(self, coverage: torch.Tensor) -> torch.Tensor:
        """Map windows, (batch, cells, cells), to amplitudes, (batch, modes)."""
        products = self.y.mT @ coverage.to(self.y) @ self.x
        return products.flatten(1)[:, self.kept] @ self.mixing

    def spread(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Map (batch, modes) to (batch, cells, cells): the adjoint of ``amplitudes``."""
        functions = self.x.shape[-1]
        products = amplitudes.new_zeros(len(amplitudes), functions**2)
        products[:, self.kept] = amplitudes @ self.mixing.T
        return self.y @ products.view(-1, functions, functions) @ self.x.mT


class ForwardModel:
    """Camera images of squares under the beam, as fractions of the incident power.

    Parameters
    ----------
    optics
        The light, as numbers.
    cell_nm
        Side of a cell: a square of 180 nm, or a finer one.
    cells
        Side of the window of cells on the sample, film around it; ``None``: as many as hold
        the beam.
    light
        Parameters in place of the numbers in ``optics``, which still choose the modes:
        tensors that may require gradients, near those numbers.
    faintest
        Modes whose field is weaker than this share of the strongest one's are left out; they
        matter less than noise where it is some 0.0005.
    dtype
        ``torch.float32``, or ``torch.float64`` for reference.
    device
        Where frames are computed.

    Attributes
    ----------
    optics, cell_um, cells
        As given; ``cells`` is the side of the window.
    modes
        The basis in which masks are seen.
    film, field
        (values,) and (modes, values): what the camera's points see of the closed film, and
        of each mode.

    Raises
    ------
    ConfigError
        If more than 1 % of the beam's light falls outside the window.

    Notes
    -----
    ``frames`` is differentiable with respect to coverage, offset and light. Convergence
    and agreement with other routes: docs/simulation.md.
    """

    def __init__(
        self,
        optics: Optics,
        cell_nm: float = 180.0,
        *,
        cells: int | None = None,
        light: Light | None = None,
        faintest: float = 0.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.optics = optics
        self.cell_um = cell_nm / 1000
        self.cells = beam_window(optics, cell_nm) if cells is None else cells
        check_window(optics, self.cells, cell_nm)
        self.modes = modes_of(optics, self.cell_um, self.cells)
        if light is None:
            film, field, taps = nominal_fields(optics, self.cell_um, self.cells)
        else:
            film, field, taps = camera_fields(self.modes, light)

        def here(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device=device, dtype=dtype)

        strength = field.detach().norm(dim=1)
        kept = strength >= faintest * max(strength.tolist(), default=0.0)
        self.film, self.field, self._taps = here(film), here(field[kept]), here(taps)
        self._mixing = here(self.modes.mixing[:, kept])
        self._overlap = here(self.modes.overlap)
        self._kept = self.modes.kept.to(device)
        self._centred = self.overlap(torch.zeros(1, 2, device=device))

    def frames(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return camera images of windows of cells.

        Parameters
        ----------
        coverage
            (batch, cells, cells), the milled fraction of each cell; the beam axis goes
            through the middle one.
        offset_um
            (batch, 2), by how much (x, y) the cells are displaced from that position, at
            most half of one; ``None`` is zero.

        Returns
        -------
        torch.Tensor
            (batch, image_px, image_px), fraction of the incident power per
            binned pixel.

        Raises
        ------
        ConfigError
            If the masks are of another size, or displaced beyond half a cell.
        """
        self._check(coverage, offset_um)
        return self.light(self.amplitudes(coverage, offset_um))

    def amplitudes(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Amplitude of each mode, (batch, modes), in what the sample transmits."""
        overlap = self._centred if offset_um is None else self.overlap(offset_um)
        return overlap.amplitudes(coverage)

    def overlap(self, offset_um: torch.Tensor) -> "Overlap":
        """Return how windows with these offsets, (batch, 2), show in the modes."""
        y, x = (self._displaced(offset_um[:, axis]) for axis in (1, 0))
        return Overlap(y, x, self._kept, self._mixing)

    def light(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Return the camera images of modes, (batch, modes), as ``frames`` does."""
        first, *others = self._parts(amplitudes)
        intensity = first * first
        for part in others:  # real and imaginary, of each component
            intensity = torch.addcmul(intensity, part, part)
        return self._taps @ intensity @ self._taps.T

    def light_gradient(self, amplitudes: torch.Tensor, every: int = 1) -> torch.Tensor:
        """Return the derivative of ``light``, (batch, modes, y, x), in every so many pixels."""
        taps, points = self._taps[::every], self._taps.shape[1]
        gradient = self._intensity_gradient(amplitudes, slice(None))
        # One product for the rows of all images; the copies between are cheaper than many.
        rows = (gradient.view(-1, points) @ taps.T).view(-1, points, len(taps))
        images = torch.bmm(taps.expand(len(rows), -1, -1), rows)
        return images.view(*amplitudes.shape, *images.shape[1:])

    def rough_gradient(self, amplitudes: torch.Tensor, every: int = 1) -> torch.Tensor:
        """Return ``light_gradient`` as if pixels were points, in far less time.

        It says a little too much of the finest details.
        """
        pixels, points = self._taps.shape
        per_pixel = (points - 2 * PIXEL_TAPS) // pixels
        first = PIXEL_TAPS + per_pixel // 2
        middle = slice(first, first + pixels * per_pixel, every * per_pixel)
        return self._intensity_gradient(amplitudes, middle) * self._taps.sum(1).mean().square()

    def _intensity_gradient(self, amplitudes: torch.Tensor, which: slice) -> torch.Tensor:
        """Return the derivative of the intensity at some points along both axes."""
        points = self._taps.shape[1]
        fields = self.field.view(len(self.field), -1, points, points)[..., which, which]
        parts = self._parts(amplitudes)
        return sum(
            (
                2 * part[:, None, which, which] * field
                for part, field in zip(parts, fields.unbind(1), strict=True)
            ),
            torch.zeros((), device=amplitudes.device),
        )

    def light_pull(self, amplitudes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the derivative, (batch, modes), of ``light`` summed up with weights.

        These are (batch, image_px, image_px).
        """
        back = 2 * (self._taps.T @ weights @ self._taps)
        pulled = torch.stack([part * back for part in self._parts(amplitudes)], dim=1)
        return pulled.flatten(1) @ self.field.T

    def open_peak(self) -> float:
        """Brightest pixel of an all-open sample, fraction of the incident power."""
        everything = torch.ones(1, self.cells, self.cells, device=self.field.device)
        return float(self.frames(everything).max())

    def blended(self, other: Self, share: float) -> Self:
        """Return the model between this and another of the same modes."""
        model = copy.copy(self)
        model.film = torch.lerp(self.film, other.film, share)
        model.field = torch.lerp(self.field, other.field, share)
        return model

    def _parts(self, amplitudes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Real and imaginary part of each component of the field, (batch, points, points)."""
        points = self._taps.shape[1]
        field = torch.addmm(self.film, amplitudes, self.field)
        return field.view(len(field), -1, points, points).unbind(dim=1)

    def _check(self, coverage: torch.Tensor, offset_um: torch.Tensor | None) -> None:
        expected = (self.cells, self.cells)
        if coverage.ndim != 3 or coverage.shape[1:] != expected:
            raise ConfigError(
                f"masks: expected (batch, {self.cells}, {self.cells}), got"
                f" {tuple(coverage.shape)}; give every cell of the window"
            )
        # The series of the overlaps holds a little more than half a cell, and no further.
        farthest_um = self.modes.farthest_um
        if offset_um is not None and not bool((offset_um.abs() <= farthest_um).all()):
            raise ConfigError(
                f"masks: expected offsets up to half a cell, {self.cell_um / 2:g} um, got up to"
                f" {float(offset_um.abs().max()):g} um; move the mask by whole cells first"
            )

    def _displaced(self, offset_um: torch.Tensor) -> torch.Tensor:
        """Overlap of displaced cells with axis functions, (batch, cells, functions)."""
        at = offset_um.to(self._overlap) / self.modes.farthest_um
        terms = [torch.ones_like(at), at]  # Chebyshev polynomials, by their recurrence
        for _ in range(len(self._overlap) - 2):
            terms.append(2 * at * terms[-1] - terms[-2])
        return torch.einsum("tb,tkf->bkf", torch.stack(terms), self._overlap)
