"""The pupil: a disc of spatial frequencies, and the two transforms that lead to it.

Only frequencies within the numerical aperture reach the camera, so a Fourier
transform need not be a large fast one: a small matrix per axis takes any points of
the sample to the pupil, and the pupil to any points of the camera. Frequencies are
cycles per micrometre. Arrays have row (+y) before column (+x).
"""

from dataclasses import dataclass

import torch
from numpy.polynomial import legendre


@dataclass(frozen=True, slots=True)
class Disc:
    """Quadrature over the frequencies up to a cutoff.

    Attributes
    ----------
    fx, fy
        (i,) and (i, j), or (1, j) where it is the same for every fx.
    weight
        (i, j), area of each node, in square cycles per micrometre.
    """

    fx: torch.Tensor
    fy: torch.Tensor
    weight: torch.Tensor


def gauss_disc(cutoff: torch.Tensor, count: int) -> Disc:
    """Place Gauss-Legendre nodes by ``fx = F sin(a)`` and ``fy = F cos(a) sin(b)``.

    That keeps integrands smooth up to the rim, also where it is the evanescent
    limit; and nodes move with the cutoff, so its derivative is exact.
    """
    nodes, weights = (torch.from_numpy(a).to(cutoff) for a in legendre.leggauss(count))
    angle, weights = nodes * torch.pi / 2, weights * torch.pi / 2
    fx = cutoff * torch.sin(angle)
    chord = cutoff * torch.cos(angle)
    fy = chord[:, None] * torch.sin(angle)
    across = torch.cos(angle) * weights
    return Disc(fx, fy, (chord * weights)[:, None] * (chord[:, None] * across))


def lattice_disc(cutoff: torch.Tensor, period_um: float) -> Disc:
    """Take the frequencies that a fast Fourier transform of a period has."""
    steps = int(cutoff.detach() * period_um)
    fx = torch.arange(-steps, steps + 1, dtype=cutoff.dtype, device=cutoff.device) / period_um
    inside = fx[:, None].square() + fx.square() <= cutoff.square()
    return Disc(fx, fx[None], inside.to(fx) / period_um**2)


class PupilTransform:
    """Fourier transforms between points of a plane and a disc of frequencies.

    Parameters
    ----------
    disc
        The pupil.
    x, y
        (n,) and (m,), points along the axes, um.
    dtype
        Complex type of the result.
    """

    def __init__(
        self, disc: Disc, x: torch.Tensor, y: torch.Tensor, dtype: torch.dtype
    ) -> None:
        count = len(disc.fx)
        self._x = _turn(disc.fx[:, None] * x, dtype)  # (i, n)
        along_y = _turn(disc.fy[..., None] * y, dtype)  # (i or 1, j, m)
        self._y = along_y.expand(count, -1, -1)

    def to_pupil(self, values: torch.Tensor) -> torch.Tensor:
        """Sum values, (batch, m, n), times exp(-2 pi i f r): (i, j, batch)."""
        along_x = values @ self._x.mH  # (batch, m, i)
        return self._y.conj() @ along_x.permute(2, 1, 0)

    def from_pupil(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Sum a spectrum, (i, j, batch), times exp(2 pi i f r): (batch, m, n)."""
        along_y = self._y.mT @ spectrum  # (i, m, batch)
        rows, batch = along_y.shape[1:]
        field = along_y.reshape(len(along_y), -1).T @ self._x  # (m * batch, n)
        return field.view(rows, batch, -1).transpose(0, 1)


def _turn(turns: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(dtype)
