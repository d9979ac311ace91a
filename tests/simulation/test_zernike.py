"""Zernike polynomials in Noll's order."""

import torch

from simulation.pupil import gauss_disc
from simulation.zernike import aberration, noll, zernike


def test_order_is_nolls():
    # Noll 1976, table I.
    expected = [(0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1), (3, -3)]
    expected += [(3, 3), (4, 0), (4, 2), (4, -2), (4, 4), (4, -4)]
    assert [noll(index) for index in range(1, 16)] == expected


def test_polynomials_are_those_of_the_table():
    x, y = torch.tensor(0.3).double(), torch.tensor(-0.5).double()
    squared = x**2 + y**2
    expected = {
        2: 2 * x,
        3: 2 * y,
        4: 3**0.5 * (2 * squared - 1),
        5: 2 * 6**0.5 * x * y,
        6: 6**0.5 * (x**2 - y**2),
        7: 8**0.5 * (3 * squared - 2) * y,
        8: 8**0.5 * (3 * squared - 2) * x,
        11: 5**0.5 * (6 * squared**2 - 6 * squared + 1),
    }
    for index, value in expected.items():
        torch.testing.assert_close(zernike(index, x, y), value)


def test_polynomials_are_orthonormal_over_the_disc():
    disc = gauss_disc(torch.tensor(1.0, dtype=torch.float64), 40)
    x, y = torch.broadcast_tensors(disc.fx[:, None], disc.fy)
    terms = torch.stack([zernike(index, x, y) for index in range(1, 37)]).flatten(1)
    products = (terms * disc.weight.flatten() / torch.pi) @ terms.T
    torch.testing.assert_close(products, torch.eye(36, dtype=torch.float64), atol=1e-10, rtol=0)


def test_aberrations_add_up():
    x, y = torch.tensor([0.1, 0.5]).double(), torch.tensor([[0.2], [0.0]]).double()
    waves = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.2]).double()
    total = aberration(waves, x, y)
    torch.testing.assert_close(total, 0.1 * zernike(4, x, y) + 0.2 * zernike(5, x, y))
    assert total.shape == (2, 2)
