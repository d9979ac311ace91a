"""Cells lie where frames see them."""

import numpy as np
import pytest
import torch

from configs.optics import Optics
from reconstruction.inversion.grid_scene import GridScene
from reconstruction.inversion.photons import Photons
from reconstruction.inversion.scene import Scene
from simulation.forward import ForwardModel
from simulation.samples import Sample
from simulation.under_beam import CellsUnderBeam

ROWS, COLUMNS = range(3, 8), range(2, 6)


def photons_at(points, off_um):
    rows, columns = torch.tensor(points).T
    return Photons(rows, columns, off_um, torch.zeros(len(rows), 1), 1.0)


@pytest.fixture(params=[1, 3])
def scene(request):
    n = request.param
    squares = ForwardModel(Optics()).cells
    model = ForwardModel(Optics(), 180 / n, cells=n * squares)
    points = [(3, 2), (7, 5), (4, 4)]
    off_um = torch.tensor([[0.0, 0.0], [0.07, -0.02], [-0.05, 0.11]])
    return Scene(model, n, ROWS, COLUMNS, photons_at(points, off_um))


def test_frames_see_what_lies_under_the_beam(scene):
    n = scene.cells_per_square
    squares = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    light = scene.model.light(scene.amplitudes(scene.cells_of(squares)))
    sample = Sample("test", squares.numpy().repeat(n, 0).repeat(n, 1).astype(float), n)
    under = CellsUnderBeam(sample, scene.model.cells)
    # From the middle of the sample, whose first point is row 3, column 2.
    at_um = 0.18 * np.array([[-1.5, -2.0], [1.5, 2.0], [0.5, -1.0]])
    off_um = np.array([[0.0, 0.0], [0.07, -0.02], [-0.05, 0.11]])
    top, left, offset_um = under.windows(at_um + off_um)
    window = np.arange(scene.model.cells)
    milled = under.milled[
        (top[:, None] + window)[:, :, None], (left[:, None] + window)[:, None]
    ]
    expected = scene.model.frames(torch.from_numpy(milled), torch.from_numpy(offset_um).float())
    torch.testing.assert_close(light, expected, rtol=1e-4, atol=1e-7)


def test_spread_is_the_adjoint(scene):
    random = torch.Generator().manual_seed(0)
    cells = torch.rand(scene.shape, generator=random)
    amplitudes = scene.amplitudes(cells)
    weights = torch.randn(amplitudes.shape, generator=random)
    torch.testing.assert_close(
        (weights * amplitudes).sum(), (scene.spread(weights) * cells).sum(), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(("off_nm", "error"), [(5, 1e-3), (15, 5e-3), (45, 0.3)])
def test_on_the_grid_it_is_nearly_the_same(scene, off_nm, error):
    random = torch.Generator().manual_seed(0)
    off_um = 1e-3 * off_nm * (2 * torch.rand(3, 2, generator=random) - 1)
    scene = scene.with_beam_at(off_um)
    on_grid = GridScene(scene)
    cells = torch.rand(scene.shape, generator=random)
    exact, amplitudes = scene.amplitudes(cells), on_grid.amplitudes(cells)
    assert (amplitudes - exact).norm() < error * (exact - exact.mean(0)).norm()
    weights = torch.randn(amplitudes.shape, generator=random)
    torch.testing.assert_close(
        (weights * amplitudes).sum(), (on_grid.spread(weights) * cells).sum(), rtol=1e-4, atol=0
    )


def test_squares_and_their_cells(scene):
    squares = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    means = torch.nn.functional.avg_pool2d(
        scene.cells_of(squares)[None], scene.cells_per_square
    )[0]
    inner = slice(scene.reach, -scene.reach)
    torch.testing.assert_close(means[inner, inner], squares)


def test_responses_add_up_to_amplitudes():
    n = 3
    model = ForwardModel(Optics(), 60.0, cells=45)
    scene = Scene(model, n, ROWS, COLUMNS, photons_at([(3, 2), (7, 5)], torch.zeros(2, 2)))
    squares = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    index, response = scene.responses(slice(0, 2), torch.ones(scene.shape))
    all_squares = torch.nn.functional.pad(squares, [scene.reach] * 4).flatten()
    torch.testing.assert_close(
        torch.einsum("fs,fsm->fm", all_squares[index], response),
        scene.amplitudes(scene.cells_of(squares)),
        rtol=1e-3,
        atol=1e-6,
    )
