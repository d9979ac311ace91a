"""The frame network, its weights and what it says of the shipped instrument."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ConfigError, ReconstructionError
from configs.grid import GRIDS
from configs.instrument import Sensor, SimulatedCameraConfig
from configs.optics import Optics
from reconstruction import training
from reconstruction.metrics import score
from reconstruction.network import (
    Architecture,
    FrameNetwork,
    load_network,
    relative_amplitude,
    save_network,
    weights_path,
)
from reconstruction.patterns import PatternMaker
from reconstruction.predictor import choose_device
from reconstruction.training import FreshFrames

SMALL = Architecture(grid=3, components=8, width=16, blocks=1)


def load(path, **changes):
    wanted = {"grid": 3, "optics": Optics(), "pitch_nm": 180.0, **changes}
    return load_network(path, **wanted)


def test_amplitude_is_the_root_of_the_light():
    adu = torch.tensor([[100.0, 100 + 2000 / 0.46, 100 + 500 / 0.46, 60.0]])
    amplitude = relative_amplitude(adu, Sensor(), open_peak_e=2000.0)
    torch.testing.assert_close(amplitude, torch.tensor([[0.0, 1.0, 0.5, 0.0]]))


def test_weights_survive_the_file(tmp_path):
    network = FrameNetwork(SMALL)
    save_network(network, Optics(), 180.0, tmp_path / "w.safetensors")
    again = load(tmp_path / "w.safetensors")
    frames = torch.rand(5, 64, 64)
    torch.testing.assert_close(again(frames), network(frames), rtol=1e-2, atol=1e-2)
    assert again(frames).shape == (5, 3, 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"grid": 5}, "grid expected 5, got 3"),
        ({"pitch_nm": 200.0}, "pitch_nm expected 200.0, got 180.0"),
        ({"optics": Optics(defocus_wavelengths=9.0)}, "optics.defocus_wavelengths"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, changes, named):
    save_network(FrameNetwork(SMALL), Optics(), 180.0, tmp_path / "w.safetensors")
    with pytest.raises(ReconstructionError, match=named):
        load(tmp_path / "w.safetensors", **changes)


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(ReconstructionError, match="readable safetensors"):
        load(tmp_path / "missing.safetensors")
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage")
    with pytest.raises(ReconstructionError, match="readable safetensors"):
        load(tmp_path / "garbage.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ReconstructionError, match="expected format"):
        load(tmp_path / "other.safetensors")


def test_shipped_weights_are_small_and_fit():
    sizes = [weights_path(grid).stat().st_size for grid in GRIDS]
    assert sum(sizes) < 30_000_000
    for grid in GRIDS:
        network = load_network(weights_path(grid), grid=grid, optics=Optics(), pitch_nm=180.0)
        assert network.architecture.grid == grid
    with pytest.raises(ConfigError, match="3, 5 or 7"):
        weights_path(4)


# Measured on 4,096 fresh frames: 0.87, 0.85, 0.82; the constant prediction has 0.62.
@pytest.mark.parametrize(("grid", "least"), [(3, 0.84), (5, 0.82), (7, 0.79)])
def test_shipped_weights_read_frames_they_have_never_seen(grid, least):
    generator = torch.Generator().manual_seed(987)
    fresh = FreshFrames(Optics(), SimulatedCameraConfig(), generator)
    network = load_network(weights_path(grid), grid=grid, optics=Optics(), pitch_nm=180.0)
    amplitude, squares = fresh.draw(1024, grid)
    scores = score(network(amplitude).sigmoid().numpy(), squares.numpy().astype(np.int8))
    assert scores.accuracy > least
    assert scores.accuracy > scores.constant_accuracy + 0.15


def test_targets_are_the_squares_around_the_beam():
    """An open centre square must be the middle of the target, not its corner."""
    fresh = FreshFrames(Optics(), SimulatedCameraConfig(), torch.Generator().manual_seed(1))
    amplitude, squares = fresh.draw(512, 7)
    light = (amplitude**2).sum(dim=(1, 2))
    share = [
        torch.corrcoef(torch.stack([light, squares[:, i, j]]))[0, 1].item()
        for i, j in ((3, 3), (0, 0))
    ]
    assert share[0] > share[1] + 0.1


def test_training_lowers_the_loss_and_repeats_with_its_seed(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_BATCH", 64)
    monkeypatch.setattr(training, "_PROJECTION_FRAMES", 1024)
    networks = [training.train(3, steps=100, seed=0, start=None) for _ in range(2)]
    losses = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()]
    assert losses[0] == losses[1] < 0.6
    frames = torch.rand(4, 64, 64)
    torch.testing.assert_close(networks[0](frames), networks[1](frames))
    save_network(networks[0], Optics(), 180.0, tmp_path / "3.safetensors")
    wider = training.train(5, steps=1, seed=0, start=tmp_path / "3.safetensors")
    assert wider(frames).shape == (4, 5, 5)


def test_patterns_are_areas_of_many_kinds():
    maker = PatternMaker(15, torch.Generator().manual_seed(0))
    windows = maker.draw(400)
    assert windows.shape == (400, 15, 15)
    assert windows.min() == 0
    assert windows.max() == 1
    squares, shapes = windows[:240], windows[240:]
    assert ((squares == 0) | (squares == 1)).float().mean() > 0.9
    partial = ((shapes > 0) & (shapes < 1)).float().mean()
    assert 0.2 < partial < 0.6
    means = shapes.mean(dim=(1, 2))
    assert means.min() < 0.02
    assert means.max() > 0.7
    again = PatternMaker(15, torch.Generator().manual_seed(0)).draw(400)
    assert torch.equal(windows, again)


def test_devices_are_named_or_refused():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ReconstructionError, match="auto, cpu or cuda"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ReconstructionError, match="CUDA"):
            choose_device("cuda")
