"""What the networks that ship learn from."""

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from configs.instrument import SimulatedCameraConfig
from configs.optics import FocusedBeam, Optics
from reconstruction.amplitude import relative_amplitude
from reconstruction.learning.patterns import PatternMaker
from reconstruction.learning.scans import EDGE, TOLERANCE, ScanMaker
from reconstruction.learning.shapes import Shapes, cut_out, on_cells
from reconstruction.learning.symmetry import (
    SYMMETRIES,
    component_maps,
    transformed,
    transformed_vectors,
)
from reconstruction.trained import TrainedFor
from simulation.forward import ForwardModel

SIDE = 6


@pytest.fixture(scope="module")
def maker():
    return ScanMaker(Optics(), SimulatedCameraConfig(), 0, side=SIDE, instruments=4)


def draws(maker, count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [maker.draw(random) for _ in range(count)]


def test_patterns_are_areas_of_many_kinds():
    random = torch.Generator().manual_seed(0)
    maker = PatternMaker(15, 3, random)
    fields = torch.stack([maker.draw() for _ in range(300)])
    assert fields.shape == (300, 45, 45)
    assert fields.min() == 0
    assert fields.max() == 1
    partial = ((fields > 0) & (fields < 1)).float().mean(dim=(1, 2))
    assert 0.3 < (partial == 0).float().mean() < 0.6
    assert partial.max() > 0.2
    means = fields.mean(dim=(1, 2))
    assert means.min() < 0.02
    assert means.max() > 0.7
    again = PatternMaker(15, 3, torch.Generator().manual_seed(0))
    assert torch.equal(fields[0], again.draw())


def test_frames_are_those_of_the_squares_under_their_points(maker):
    """The nominal model, on plain squares, knows every frame but for what disturbs it."""
    model = ForwardModel(Optics())
    correlations = []
    for scan in draws(maker, 30):
        squares = scan.coverage.unfold(0, 7, 1).unfold(1, 7, 1).reshape(-1, 7, 7)
        edge = (model.cells - 7) // 2
        expected = model.frames(torch.nn.functional.pad(squares, 4 * (edge,))).sqrt()
        light = expected.mean(dim=(1, 2)), scan.amplitude.mean(dim=(1, 2))
        if light[0].std() > 0.1 * light[0].mean():
            correlations.append(float(torch.corrcoef(torch.stack(light))[0, 1]))
    assert len(correlations) > 10
    assert sum(correlations) / len(correlations) > 0.8


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("cells", [1, -1])
def test_a_beam_off_its_square_sees_what_lies_there(maker, axis, cells):
    """Off to the right, or down, is the sample moved left, or up, by as much."""
    model = maker._models[0]
    random = torch.Generator().manual_seed(0)
    field = (torch.rand(2 * (maker._squares * 3,), generator=random) < 0.4).float()
    off_um = torch.zeros(SIDE**2, 2)
    off_um[:, axis] = cells * model.cell_um
    moved = maker._light(model, field.roll(-cells, dims=1 - axis), torch.zeros(SIDE**2, 2))
    torch.testing.assert_close(maker._light(model, field, off_um), moved, rtol=1e-4, atol=1e-7)


def test_scans_repeat_with_their_generator_and_differ_otherwise(maker):
    first, second = draws(maker, 2)
    again = draws(maker, 1)[0]
    assert torch.equal(first.amplitude, again.amplitude)
    assert torch.equal(first.off_um, again.off_um)
    assert not torch.equal(first.amplitude, second.amplitude)
    assert first.open_peak_e != second.open_peak_e
    assert first.side == SIDE
    assert first.coverage.shape == (SIDE + 2 * EDGE, SIDE + 2 * EDGE)


def test_points_go_missing_now_and_then(maker):
    valid = torch.stack([scan.valid for scan in draws(maker, 40)])
    complete = valid.all(dim=1).float().mean()
    assert 0.5 < complete < 0.95
    assert valid.float().mean() > 0.9


def test_instruments_stay_within_the_stated_tolerance(maker):
    trained = TrainedFor(optics=Optics(), tolerance=dict(TOLERANCE), pitch_nm=180.0)
    assert len(maker.optics) == 4
    assert len({optics.defocus_wavelengths for optics in maker.optics}) == len(maker.optics)
    for optics in maker.optics:
        film = Optics().film_amplitude
        trained.check("w", optics.model_copy(update={"film_amplitude": film}), 180.0)


def test_other_beams_can_be_learnt():
    optics = Optics(beam=FocusedBeam(kind="focused"))
    scan = draws(ScanMaker(optics, SimulatedCameraConfig(), 0, side=2, instruments=1), 1)[0]
    assert scan.amplitude.shape == (4, 64, 64)


@pytest.mark.parametrize("symmetry", range(SYMMETRIES))
def test_a_transformed_sample_is_seen_as_the_transformed_frame(symmetry):
    """Also where the beam is off its square."""
    model = ForwardModel(Optics(), dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    sample = (torch.rand(1, model.cells, model.cells, generator=random) < 0.4).double()
    offset_um = torch.tensor([[0.03], [-0.05]], dtype=torch.float64)  # (x, y)
    frame = model.frames(sample, offset_um.T)
    turned = transformed(sample, symmetry), transformed_vectors(offset_um, symmetry)
    torch.testing.assert_close(
        model.frames(turned[0], turned[1].T), transformed(frame, symmetry), rtol=0, atol=1e-9
    )


def test_components_know_the_transformed_frame():
    random = torch.Generator().manual_seed(0)
    some = torch.rand(3, 6, 6, generator=random, dtype=torch.float64)
    orbit = torch.cat([transformed(some, symmetry) for symmetry in range(SYMMETRIES)])
    _, _, rows = torch.linalg.svd(orbit.flatten(1), full_matrices=False)
    rank = torch.linalg.matrix_rank(orbit.flatten(1))
    components = (rows[:rank] * torch.arange(1, rank + 1)[:, None]).view(-1, 6, 6)
    maps = component_maps(components)
    for symmetry in range(SYMMETRIES):
        seen = components.flatten(1) @ transformed(some, symmetry).flatten(1).T
        expected = maps[symmetry] @ components.flatten(1) @ some.flatten(1).T
        torch.testing.assert_close(seen, expected)


def test_dim_light_counts_relative_to_what_was_expected():
    """Exposure does not change what an amplitude means."""
    sensor = SimulatedCameraConfig().sensor
    adu = torch.tensor([sensor.offset_adu + 1000.0])
    tenth = torch.tensor([sensor.offset_adu + 100.0])
    torch.testing.assert_close(
        relative_amplitude(adu, sensor, 2000.0), relative_amplitude(tenth, sensor, 200.0)
    )


def test_shapes_are_cut_out_in_all_orientations():
    shape = torch.zeros(30, 30)
    shape[2:6, 2:20] = 1  # a bar, off the middle
    random = torch.Generator().manual_seed(0)
    fields = torch.stack([cut_out((shape,), 24, random) for _ in range(400)])
    assert fields.shape == (400, 24, 24)
    bars = fields.sum(dim=(1, 2))
    assert bars.max() == 4 * 18
    assert (bars == 0).float().mean() < 0.6
    wide = fields.any(dim=1).sum(dim=1) > fields.any(dim=2).sum(dim=1)
    assert 0.15 < wide[bars > 0].float().mean() < 0.85


def test_cells_of_any_size_keep_their_area():
    cells = np.random.default_rng(0).random((12, 18))
    coarse = on_cells(cells, 6, 3)
    assert coarse.shape == (6, 9)
    np.testing.assert_allclose(coarse[0, 0], cells[:2, :2].mean())
    assert np.array_equal(on_cells(cells, 1, 3), cells.repeat(3, 0).repeat(3, 1))


def test_some_shapes_are_held_out():
    shapes = Shapes.split([np.full((3, 3), n) for n in range(6)])
    assert [int(shape[0, 0]) for shape in shapes.shown] == [0, 2, 3, 4]
    assert [int(shape[0, 0]) for shape in shapes.held_out] == [1, 5]
    with pytest.raises(
        ConfigError, match="expected two or more, one of them to hold out, got 1"
    ):
        Shapes.split([np.zeros((3, 3))])


def test_half_of_the_scans_show_shapes_where_there_are_some():
    everything_open = torch.ones(300, 300)
    maker = ScanMaker(
        Optics(),
        SimulatedCameraConfig(),
        0,
        side=2,
        instruments=1,
        shapes=(everything_open,),
    )
    coverage = torch.stack([scan.coverage for scan in draws(maker, 60)])
    share = (coverage == 1).all(dim=(1, 2)).float().mean()
    assert 0.2 < share < 0.7
