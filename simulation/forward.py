"""From squares to light on the camera: the scalar forward model.

The beam is fixed and the sample moves. With the modes of ``simulation.modes``
propagated once, a frame is one matrix product, for any mask and any offset from the
grid. Lengths are micrometres; arrays have row (+y) before column (+x).
"""

import numpy as np
import torch

from configs.optics import Optics
from simulation.modes import PIXEL_NODES, Complex128, camera_modes


class ForwardModel:
    """Camera images of squares under the beam, as fractions of the incident power.

    Parameters
    ----------
    optics
        The light.
    pitch_nm
        Side of a square.
    period_um
        ``None`` integrates over the pupil. A number sums over the lattice of frequencies
        that an FFT padded to that period has: slower and less exact, for comparison
        with calculations on a grid.
    dtype
        ``torch.float32``, or ``torch.float64`` for reference.
    device
        Where the modes live and frames are computed.

    Notes
    -----
    ``frames`` is differentiable with respect to coverage and offset. Convergence and
    agreement with independent frames: docs/physics.md.
    """

    def __init__(
        self,
        optics: Optics,
        pitch_nm: float = 180.0,
        *,
        period_um: float | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.optics = optics
        self.pitch_um = pitch_nm / 1000
        modes = camera_modes(optics, self.pitch_um, period_um)
        self.squares = modes.squares
        self._reach_um = modes.reach_um
        self._integral = torch.from_numpy(modes.integral).to(device)
        self._mode_y = torch.from_numpy(modes.mode_y).to(device)
        self._mode_x = torch.from_numpy(modes.mode_x).to(device)
        self._film = _as_real(modes.film[None], dtype).to(device)[0]
        self._field = _as_real(modes.field, dtype).to(device)

    def frames(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return camera images of windows of squares.

        Parameters
        ----------
        coverage
            (batch, squares, squares), the milled fraction of each square; the
            beam axis goes through the middle one.
        offset_um
            (batch, 2), by how much (x, y) the squares are displaced from that
            position, at most half a pitch; ``None`` is zero.

        Returns
        -------
        torch.Tensor
            (batch, image_px, image_px), fraction of the incident power per
            binned pixel.
        """
        amplitude = self.amplitudes(coverage, offset_um)
        field = torch.addmm(self._film, amplitude, self._field)
        side, nodes = self.optics.image_px, PIXEL_NODES
        # (batch, re | im, row, node, column, node) -> (batch, row, column)
        power = field.square_().view(-1, 2, side, nodes, side, nodes)
        return power.sum(dim=(1, 3, 5))

    def open_peak(self) -> float:
        """Brightest pixel of an all-open sample, fraction of the incident power."""
        everything = torch.ones(1, self.squares, self.squares, device=self._field.device)
        return float(self.frames(everything.to(self._field.dtype)).max())

    def amplitudes(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Amplitude of each mode, (batch, modes), in what the sample transmits."""
        if offset_um is None:
            offset_um = coverage.new_zeros(1, 2)
        x, y = (self._square_integrals(offset_um[:, i]).to(coverage.dtype) for i in (0, 1))
        product = y.transpose(1, 2) @ coverage @ x  # (batch, modes_y, modes_x)
        return product[:, self._mode_y, self._mode_x].to(self._field.dtype)

    def _square_integrals(self, offset_um: torch.Tensor) -> torch.Tensor:
        """Overlap of every square with every singular function, (batch, squares, modes)."""
        edges = torch.arange(self.squares + 1, device=offset_um.device, dtype=torch.float64)
        edges = (edges - self.squares / 2) * self.pitch_um + offset_um.double()[:, None]
        degrees = torch.arange(len(self._integral), device=edges.device)
        chebyshev = torch.cos(torch.acos(edges / self._reach_um)[..., None] * degrees)
        return (chebyshev @ self._integral).diff(dim=1)


def _as_real(field: Complex128, dtype: torch.dtype) -> torch.Tensor:
    """(n, y, x) complex to (n, 2 * y * x) real, real parts first."""
    flat = field.reshape(len(field), -1)
    return torch.from_numpy(np.concatenate([flat.real, flat.imag], axis=1)).to(dtype)
