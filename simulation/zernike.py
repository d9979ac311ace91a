"""Zernike polynomials in Noll's order, orthonormal over the unit disc.

R. J. Noll, "Zernike polynomials and atmospheric turbulence", J. Opt. Soc. Am. 66, 207
(1976): a coefficient is the root mean square of its term over the pupil.
"""

import math

import torch


def aberration(waves: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum the Zernike terms of Noll index 1 ... n.

    Parameters
    ----------
    waves
        (n,), coefficients, waves rms.
    x, y
        Coordinates in the pupil, 1 at its rim; shapes that broadcast.

    Returns
    -------
    torch.Tensor
        Waves, at every point; differentiable in all arguments.
    """
    total = torch.zeros_like(x * y)
    for index, coefficient in enumerate(waves.unbind(), start=1):
        total = total + coefficient * zernike(index, x, y)
    return total


def steepest(waves: torch.Tensor) -> float:
    """Return the largest gradient of the sum of terms over the disc, waves per radius."""
    axis = torch.linspace(-1, 1, 129, dtype=torch.float64)
    sums = aberration(waves.detach().cpu(), axis, axis[:, None])
    down, across = torch.gradient(sums, spacing=float(axis[1] - axis[0]))
    inside = axis.square() + axis[:, None].square() <= 1
    return float(torch.hypot(down, across)[inside].max())


def zernike(index: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the polynomial of a Noll index, from 1, at points of the unit disc."""
    degree, order = noll(index)
    squared = x * x + y * y
    radial = torch.zeros_like(squared)
    for k in range((degree - abs(order)) // 2 + 1):
        radial = radial + _radial(degree, abs(order), k) * squared ** (
            (degree - abs(order)) // 2 - k
        )
    turn = (x + 1j * y) ** abs(order)
    if order == 0:
        return math.sqrt(degree + 1) * radial
    return math.sqrt(2 * (degree + 1)) * radial * (turn.real if order > 0 else turn.imag)


def noll(index: int) -> tuple[int, int]:
    """Return radial degree and azimuthal order, negative for sines, of a Noll index."""
    degree = (math.isqrt(8 * index - 7) - 1) // 2
    place = index - degree * (degree + 1) // 2  # 1 ... degree + 1
    order = place - place % 2 if degree % 2 == 0 else place - 1 + place % 2
    return degree, order if index % 2 == 0 else -order


def _radial(degree: int, order: int, k: int) -> float:
    """Coefficient of rho^(degree - 2k) in the radial polynomial."""
    half = (degree + order) // 2
    sign = -1 if k % 2 else 1
    return sign * math.comb(degree - k, k) * math.comb(degree - 2 * k, half - k)
