"""The scan network, whole and line by line."""

import pytest
import torch

from reconstruction.scan_network import ScanArchitecture, ScanNetwork, ScanStream, lay_out

SMALL = ScanArchitecture(image_px=8, components=6, width=8, blocks=2, reach=2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = ScanNetwork(SMALL).eval().requires_grad_(False)
    for block in network.blocks:
        torch.nn.init.normal_(block.contract.weight, std=0.3)
    return network


@pytest.fixture
def scan():
    torch.manual_seed(1)
    return torch.randn(SMALL.channels, 11, 9)


def streamed(network, scan):
    stream = ScanStream(network, scan.shape[2])
    answers = [stream.add(scan[:, row]) for row in range(scan.shape[1])]
    return [answer for answer in answers if answer is not None], stream.finish()


def test_line_by_line_is_the_whole(network, scan):
    early, late = streamed(network, scan)
    assert len(late) == SMALL.delay == 4
    torch.testing.assert_close(torch.stack(early + late, dim=1), network(scan[None])[0])


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_scans_shorter_than_what_is_looked_at(network, scan, rows):
    early, late = streamed(network, scan[:, :rows])
    whole = network(scan[None, :, :rows])[0]
    torch.testing.assert_close(torch.stack(early + late, dim=1), whole)


def test_a_line_is_seen_as_far_as_the_delay_and_no_further(network, scan):
    whole = network(scan[None])[0]
    scan[:, 5] += 1
    changed = (network(scan[None])[0] != whole).any(dim=0).any(dim=1)
    assert changed.tolist() == [abs(row - 5) <= SMALL.delay for row in range(11)]


def test_features_say_where_light_came_from(network):
    amplitude = torch.rand(3, 8, 8)
    off_um = torch.tensor([[0.02, -0.01], [0.0, float("nan")], [0.0, 0.0]])
    features = network.features(amplitude, off_um, open_peak_e=200.0)
    projected, conditions = features[:, :6], features[:, 6:]
    torch.testing.assert_close(projected, network.projection(amplitude.flatten(1)))
    expected = [[1, 1, -0.5, -1], [1, 0, 0, -1], [1, 0, 0, -1]]
    torch.testing.assert_close(conditions, torch.tensor(expected, dtype=torch.float32))


def test_points_lie_where_they_were_taken_and_missing_ones_are_nothing():
    points = torch.arange(12.0).reshape(6, 2) + 1
    points[3] = torch.nan
    valid = torch.tensor([[True, True, True], [False, True, True]])
    scan = lay_out(points, valid)
    assert scan[0].tolist() == [[1, 3, 5], [0, 9, 11]]
    assert scan[1].tolist() == [[2, 4, 6], [0, 10, 12]]


def test_where_the_stage_was_stands_where_the_architecture_says(network):
    off_um = torch.tensor([[0.02, -0.01]])
    features = network.features(torch.rand(1, 8, 8), off_um, open_peak_e=2000.0)
    assert features.shape[1] == SMALL.channels
    assert features[0, SMALL.off_channels].tolist() == [1, -0.5]
