"""Small networks to export."""

import torch

from configs.optics import Optics
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.scan_network import ScanArchitecture, ScanNetwork

OPTICS = Optics(roi_px=64)
FACTS = {"model": "small network", "weights_sha256": "f00d"}


def frame_network() -> FrameNetwork:
    """A frame network for 16 px that says something of what it sees."""
    torch.manual_seed(0)
    network = FrameNetwork(FrameArchitecture(image_px=16, components=8, width=16, blocks=1))
    torch.nn.init.normal_(network.projection.weight, std=0.5)
    return network.eval().requires_grad_(False)


def scan_network() -> ScanNetwork:
    """A scan network for 16 px whose blocks do something."""
    torch.manual_seed(0)
    size = ScanArchitecture(image_px=16, components=6, width=8, blocks=2, reach=2)
    network = ScanNetwork(size)
    for block in network.blocks:
        torch.nn.init.normal_(block.contract.weight, std=0.3)
    return network.eval().requires_grad_(False)
