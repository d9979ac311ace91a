"""Parameters and milliseconds per frame of every baseline, in one run.

    python benchmarks/baseline_speed.py [--device cuda] [--threads 1]

Frames are of 64 x 64 pixels, targets 3 x 3. Inference takes batches of 64, a training step
the paper's 16: forward, backward, Adam.
"""

import argparse
from collections.abc import Callable

import torch
from timing import sorted_seconds
from torch import nn
from torch.nn import functional

from reconstruction.baselines.registry import BASELINES, make_baseline

IMAGE_PX, GRID = 64, 3
INFERENCE_BATCH, TRAINING_BATCH = 64, 16
ROUNDS = 5


def median_s(work: Callable[[], object], device: torch.device) -> float:
    """Return the median time of some work on a device."""

    def finished() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return sorted_seconds(finished, ROUNDS)[ROUNDS // 2]


def inference_s(network: nn.Module, device: torch.device) -> float:
    """Return seconds for one frame, in a batch."""
    frames = torch.rand(INFERENCE_BATCH, IMAGE_PX, IMAGE_PX, device=device)
    network.eval()
    with torch.inference_mode():
        return median_s(lambda: network(frames), device) / INFERENCE_BATCH


def step_s(network: nn.Module, device: torch.device) -> float:
    """Return seconds for one step of training."""
    frames = torch.rand(TRAINING_BATCH, IMAGE_PX, IMAGE_PX, device=device)
    squares = torch.randint(0, 2, (TRAINING_BATCH, GRID, GRID), device=device).float()
    optimiser = torch.optim.Adam(network.parameters())
    network.train()

    def step() -> None:
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(network(frames), squares).backward()
        optimiser.step()

    return median_s(step, device)


def main() -> None:
    """Measure all, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    print("| model | parameters | inference, ms a frame | training, ms a step of 16 |")
    print("|---|---:|---:|---:|")
    for name in BASELINES:
        network = make_baseline(name, GRID, IMAGE_PX).to(device)
        size = sum(p.numel() for p in network.parameters())
        times = inference_s(network, device), step_s(network, device)
        inference_ms, step_ms = (1000 * value for value in times)
        print(f"| {name} | {size:,} | {inference_ms:.2f} | {step_ms:.0f} |", flush=True)


if __name__ == "__main__":
    main()
