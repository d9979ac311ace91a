"""A device that fails: smaller batches, then the CPU, and somebody is told."""

import numpy as np
import pytest
import torch

from acquisition.frame import FrameLine
from configs.errors import ReconstructionError
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.predictor import FramePredictor, ScanPredictor
from reconstruction.scan_network import ScanArchitecture, ScanNetwork

CPU = torch.device("cpu")
DEVICE = torch.device("cpu", 0)
"""Computes, and is not the CPU: stands for one that tests need not have."""
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
BROKEN = RuntimeError("CUDA error: no kernel image is available\nFor debugging ...")
CPU_FULL = RuntimeError("[enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory")


class Small:
    """Memory for so many frames on a device, which takes a network or not, and on the CPU."""

    def __init__(self, frames, on_cpu=99, failure=FULL, *, takes=True):
        self.frames = frames
        self.on_cpu = on_cpu
        self.failure = failure
        self.takes = takes
        self.largest = 0

    def take(self, frames):
        if frames > self.frames:
            raise self.failure
        self.largest = max(self.largest, frames)

    def move(self, place):
        if place == CPU:
            self.frames, self.failure = self.on_cpu, CPU_FULL
        elif not self.takes:
            raise self.failure


class CrowdedFrames(FrameNetwork):
    def forward(self, amplitude):
        self.memory.take(len(amplitude))
        return super().forward(amplitude)

    def to(self, place):
        self.memory.move(place)
        return super().to(place)


class CrowdedScan(ScanNetwork):
    calls = 0

    def features(self, amplitude, off_um, open_peak_e):
        self.memory.take(len(amplitude))
        return super().features(amplitude, off_um, open_peak_e)

    def answer(self, x):
        self.calls += 1
        if self.calls == self.fails_at:
            raise FULL
        return super().answer(x)

    def to(self, place):
        self.memory.move(place)
        return super().to(place)


@pytest.fixture
def lines(small_plan):
    random = np.random.default_rng(0)
    columns = small_plan.columns
    return [
        FrameLine(
            row,
            np.arange(columns),
            random.poisson(300, (columns, 64, 64)).astype(np.uint16),
            random.normal(0, 0.01, (columns, 2)),
        )
        for row in range(small_plan.rows)
    ]


@pytest.fixture
def frames_map(small_plan, make_info, lines):
    def read(memory, warn, device=DEVICE):
        torch.manual_seed(0)
        network = CrowdedFrames(FrameArchitecture(components=8, width=16, blocks=1)).eval()
        network.memory = memory
        return fed(FramePredictor(make_info(small_plan), network, 3, device, warn=warn), lines)

    return read


@pytest.fixture
def scan_map(small_plan, make_info, lines):
    def read(memory, warn, device=DEVICE, fails_at=0):
        torch.manual_seed(0)
        network = CrowdedScan(ScanArchitecture(components=8, width=16, blocks=2, reach=1))
        for block in network.blocks:
            torch.nn.init.normal_(block.contract.weight, std=0.3)
        network.eval().memory, network.fails_at = memory, fails_at
        return fed(ScanPredictor(make_info(small_plan), network, device, warn=warn), lines)

    return read


@pytest.fixture(params=["frames_map", "scan_map"])
def read(request):
    return request.getfixturevalue(request.param)


def fed(predictor, lines):
    for line in lines:
        predictor.consume(line)
    predictor.finish()
    return predictor.squares.probability


def test_batches_become_smaller_and_one_line_says_so(read):
    said, memory = [], Small(3, on_cpu=0)
    probability = read(memory, said.append)
    assert said == ["cpu has too little memory for a scan line: 2 frames at a time from now on"]
    assert memory.largest == 2
    np.testing.assert_allclose(probability, read(Small(99), said.append), atol=1e-5)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(FULL, "CUDA out of memory"), (BROKEN, "CUDA error: no kernel image is available")],
)
@pytest.mark.parametrize("takes", [True, False])
def test_the_cpu_goes_on_where_no_frame_or_not_even_the_network_fits(
    read, failure, reason, takes
):
    said, memory = [], Small(0, failure=failure, takes=takes)
    probability = read(memory, said.append)
    assert said == [f"cpu cannot run the network ({reason}): the CPU goes on"]
    assert memory.largest == 9
    assert np.array_equal(probability, read(Small(99), said.append))


@pytest.mark.parametrize("fails_at", [1, 4, 7])
def test_a_line_that_did_not_fit_is_not_lost(scan_map, fails_at):
    said = []
    probability = scan_map(Small(99), said.append, fails_at=fails_at)
    assert len(said) == 1
    assert np.array_equal(probability, scan_map(Small(99), said.append))


@pytest.mark.parametrize(("device", "moves"), [(DEVICE, 1), (CPU, 0)])
def test_no_memory_at_all_is_an_error(read, device, moves):
    said = []
    with pytest.raises(ReconstructionError, match=r"single frame, got: .*can't allocate mem"):
        read(Small(0, on_cpu=0), said.append, device)
    assert len(said) == moves


def test_a_real_shortage_on_the_cpu_is_known(small_plan, make_info, lines):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ZeroPad1d((0, 1 << 50)))
    predictor = FramePredictor(make_info(small_plan), network, 3, CPU)
    with pytest.raises(ReconstructionError, match=r"expected memory for a single frame, got"):
        predictor.consume(lines[0])


def test_a_device_that_is_lost_with_the_network_is_an_error(read):
    lost = Small(0, failure=BROKEN)
    lost.move = lambda place: lost.take(1) if place == CPU else None
    with pytest.raises(ReconstructionError, match=r"network back from cpu, got: CUDA error"):
        read(lost, print)


def test_mistakes_of_our_own_are_not_hidden(read):
    with pytest.raises(RuntimeError, match="of other shapes"):
        read(Small(0, failure=RuntimeError("of other shapes")), print)


def test_python_is_warned_where_nobody_else_is(small_plan, make_info, lines):
    network = CrowdedFrames(FrameArchitecture(components=8, width=16, blocks=1)).eval()
    network.memory = Small(3)
    predictor = FramePredictor(make_info(small_plan), network, 3, DEVICE)
    with pytest.warns(UserWarning, match="2 frames at a time"):
        predictor.consume(lines[0])
