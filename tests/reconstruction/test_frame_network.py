"""The frame network and what frames are divided by."""

import pytest
import torch

from configs.errors import ConfigError, ReconstructionError
from configs.instrument import Sensor
from reconstruction.amplitude import relative_amplitude
from reconstruction.frame_network import FrameArchitecture, FrameNetwork, centre
from reconstruction.predictor import choose_device


def test_amplitude_is_the_root_of_the_light():
    adu = torch.tensor([[100.0, 100 + 2000 / 0.46, 100 + 500 / 0.46, 60.0]])
    amplitude = relative_amplitude(adu, Sensor(), open_peak_e=2000.0)
    torch.testing.assert_close(amplitude, torch.tensor([[0.0, 1.0, 0.5, 0.0]]))


def test_a_frame_gives_the_squares_of_the_largest_target():
    network = FrameNetwork(FrameArchitecture(components=8, width=16, blocks=1))
    assert network(torch.rand(5, 64, 64)).shape == (5, 7, 7)


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_smaller_targets_are_the_middle(grid):
    row, column = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    reach = torch.maximum((row - 3).abs(), (column - 3).abs())
    assert centre(reach, grid).shape == (grid, grid)
    assert centre(reach, grid).max() == grid // 2


def test_there_are_three_targets():
    with pytest.raises(ConfigError, match="3, 5 or 7"):
        centre(torch.zeros(7, 7), 4)


def test_devices_are_named_or_refused():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ReconstructionError, match="auto, cpu or cuda"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ReconstructionError, match="CUDA"):
            choose_device("cuda")
