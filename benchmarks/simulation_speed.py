"""Frames per second of the virtual microscope, beside the machine's peak and its peers.

    python benchmarks/simulation_speed.py [--environments FOLDER]

Ours: 64 x 64 frames of random squares, without and with the sensor; arbitrary masks; the
gradient of a scan; on a GPU too, where there is one. Peers: the same squares to the same
frames, each in an environment of its own that this script makes in FOLDER. Everybody is
warm, and the best of five rounds counts. A peer is correct where its frames differ by less
than 5 % from ours in double precision (relative L2 of intensity, same pupil).
"""

import argparse
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.environments import PEERS, reports
from peers.work import Work, frames_per_s
from timing import sorted_seconds
from torch.utils.flop_counter import FlopCounterMode

from configs.dataset import DatasetPlan, PartPlan
from configs.geometry import SQUARE_NM, SQUARE_UM
from configs.optics import GaussianBeam, Optics
from configs.sample import Block
from simulation.cropped_spectrum import CroppedSpectrum
from simulation.datasets.lines import LineSimulator
from simulation.datasets.scan import draw_scan
from simulation.datasets.workers import LocalWorkers
from simulation.forward import ForwardModel
from simulation.light import Light
from simulation.window import beam_window

THREADS = 2
ROUNDS = 5
BATCH = 128
GPU_BATCH, GPU_BATCHES = 4096, 20
DENSITY = 0.35
SCAN_POINTS = 66
FINE_CELL_NM = 30.0
LARGEST_ERROR = 0.05


def random_squares(cells: int, count: int = BATCH) -> np.ndarray:
    """Windows of random open squares, (count, cells, cells)."""
    return (np.random.default_rng(0).random((count, cells, cells)) < DENSITY).astype(float)


def warm_rate(frames: Callable[[np.ndarray], Any], masks: np.ndarray, batch: int) -> float:
    """Frames per second of batches of masks, after one to warm up."""
    frames(masks[:batch])
    return frames_per_s(frames, masks, batch)


@torch.inference_mode()
def sensor_off(masks: np.ndarray) -> tuple[float, float]:
    """Frames per second, and operations in matrix products per frame."""
    model = ForwardModel(Optics())
    with FlopCounterMode(display=False) as counter:
        model.frames(torch.from_numpy(masks).float())
    rate = warm_rate(lambda part: model.frames(torch.from_numpy(part).float()), masks, BATCH)
    return rate, counter.get_total_flops() / len(masks)


def sensor_on() -> float:
    """Frames per second of whole scan lines, as data sets are made: lines on threads."""
    part = PartPlan(split="train", name="block", sample=Block())
    plan = DatasetPlan(name="speed", parts=(part,))
    simulator = LineSimulator(plan)
    lines = list(draw_scan(plan, 0, 0).lines(simulator.side(SQUARE_NM)))
    workers = LocalWorkers(THREADS)
    duration, *_ = sorted_seconds(lambda: list(workers.run(simulator, lines)), ROUNDS)
    return sum(len(line.power) for line in lines) / duration


@torch.inference_mode()
def arbitrary_masks() -> float:
    """Frames per second of masks on fine cells, by the cropped spectrum."""
    light = Light.of(Optics())
    model = CroppedSpectrum(light, beam_window(Optics(), FINE_CELL_NM), FINE_CELL_NM)
    masks = random_squares(model.cells, 64)
    return warm_rate(lambda part: model.frames(torch.from_numpy(part).float()), masks, 16)


@torch.inference_mode()
def on_gpu() -> float:
    """Frames per second of random squares on a GPU, where masks and frames stay."""
    model = ForwardModel(Optics(), device="cuda")
    masks = torch.from_numpy(random_squares(model.cells, GPU_BATCH)).float().cuda()

    def some_batches() -> None:
        for _ in range(GPU_BATCHES):
            model.frames(masks)
        torch.cuda.synchronize()

    return GPU_BATCHES * GPU_BATCH / sorted_seconds(some_batches, ROUNDS)[0]


def gradient(device: str = "cpu") -> tuple[float, float]:
    """Seconds for the gradient of a scan's misfit, and peak memory of its process in MB."""
    torch.set_num_threads(THREADS)
    model = ForwardModel(Optics(), device=device)
    squares, side = SCAN_POINTS - 2, model.cells
    logits = torch.zeros(squares, squares, requires_grad=True, device=device)
    measured = torch.rand(SCAN_POINTS**2, *2 * (model.optics.image_px,), device=device) / 100

    def one_gradient() -> None:
        object_ = torch.nn.functional.pad(torch.sigmoid(logits), 4 * (side // 2 + 1,))
        windows = object_.unfold(0, side, 1).unfold(1, side, 1).reshape(-1, side, side)
        leaf = windows.detach().requires_grad_()
        parts = zip(leaf.split(BATCH), measured.split(BATCH), strict=True)
        for part, target in parts:
            (model.frames(part).add(1e-6).sqrt() - target).square().sum().backward()
        windows.backward(leaf.grad)
        assert logits.grad is not None
        logits.grad.cpu()  # waits for the device

    duration, *_ = sorted_seconds(one_gradient, 3)
    assert logits.grad.abs().min() > 0
    return duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def matrix_peak() -> float:
    """Operations per second of a large product of matrices in single precision."""
    side = 4096
    a, b = torch.rand(2, side, side)
    return 2 * side**3 / sorted_seconds(lambda: torch.mm(a, b), ROUNDS)[0]


def peers_work(masks: np.ndarray) -> Work:
    """Say in pixels what our model says in integrals."""
    optics = Optics()
    assert isinstance(optics.beam, GaussianBeam)
    pixel_um = optics.pixel_nm / 1000
    pixels = (np.arange(optics.roi_px + 1) - optics.roi_px / 2) * pixel_um
    squares = (np.arange(masks.shape[1] + 1) - masks.shape[1] / 2) * SQUARE_UM
    shared = np.minimum(pixels[1:, None], squares[1:]) - np.maximum(
        pixels[:-1, None], squares[:-1]
    )
    middles = (pixels[1:] + pixels[:-1]) / 2
    radius_um = optics.beam.fwhm_nm / 1000 / np.sqrt(2 * np.log(2))
    profile = np.exp(-((middles / radius_um) ** 2)) * np.sqrt(pixel_um / radius_um)
    return Work(
        masks=masks,
        spread=shared.clip(0) / pixel_um,
        beam=profile[:, None] * profile * np.sqrt(2 / np.pi),
        film_amplitude=optics.film_amplitude,
        pixel_um=pixel_um,
        distance_um=optics.defocus_wavelengths * optics.wavelength_nm / 1000,
        wavelength_um=optics.wavelength_nm / 1000,
        collection_na=optics.collection_na,
        binning=optics.binning,
    )


def error(answer: np.ndarray, masks: np.ndarray, collection_na: float) -> float:
    """Relative L2 of intensity between a peer's frames and ours in double precision."""
    model = ForwardModel(Optics(collection_na=collection_na), dtype=torch.float64)
    ours = model.frames(torch.from_numpy(masks[: len(answer)])).numpy()
    return float(np.linalg.norm(answer - ours) / np.linalg.norm(ours))


def print_ours(masks: np.ndarray) -> float:
    """Measure and print our own figures; return frames per second without the sensor."""
    rate, operations = sensor_off(masks)
    peak = matrix_peak()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        duration, memory_mb = alone.submit(gradient).result()
    print(f"{THREADS} threads, torch {torch.__version__}, single precision.\n")
    print("| | measured |\n|---|---|")
    print(f"| sensor off, batch {BATCH} | {rate:,.0f} frames/s |")
    print(f"| with sensor, scan lines on {THREADS} threads | {sensor_on():,.0f} frames/s |")
    cells = f"{FINE_CELL_NM:g} nm cells"
    print(f"| arbitrary masks on {cells} | {arbitrary_masks():,.0f} frames/s |")
    print(f"| gradient of a scan of {SCAN_POINTS} x {SCAN_POINTS} | {duration:.2f} s |")
    print(f"| memory of the process of the gradient | {memory_mb:,.0f} MB |")
    print(f"| matrix product 4096 | {peak / 1e9:,.0f} GFLOP/s |")
    print(f"| sensor off, its matrix products | {rate * operations / 1e9:,.0f} GFLOP/s |")
    print(f"| ratio | {rate * operations / peak:.2f} |", flush=True)
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        print(f"| sensor off, {name}, batch {GPU_BATCH} | {on_gpu():,.0f} frames/s |")
        print(f"| gradient of the scan, {name} | {gradient('cuda')[0]:.2f} s |", flush=True)
    return rate


def print_peers(masks: np.ndarray, rate: float, environments: Path, folder: Path) -> None:
    """Let the peers work, and print what they took and how far off they are."""
    np.savez(folder / "work.npz", **vars(peers_work(masks)))
    fastest = 0.0
    print("\n| peer | settings | frames/s | relative L2 | ours / peer |\n|---|---|---|---|---|")
    for peer, requirement in PEERS.items():
        answers = folder / peer
        for said in reports(peer, environments, folder / "work.npz", answers):
            row = f"| {requirement.replace('==', ' ')} | {said['settings']}"
            if "failed" in said:
                print(f"{row} | - | {said['failed']} | - |")
                continue
            off = error(np.load(answers / said["answer"]), masks, said["collection_na"])
            theirs = said["frames_per_s"]
            pupil = f"NA {said['collection_na']:g}"
            correct = off < LARGEST_ERROR
            ratio = f"{rate / theirs:,.0f}" if correct else "wrong"
            print(f"{row}, {pupil} | {theirs:,.1f} | {off:.2%} | {ratio} |", flush=True)
            fastest = max(fastest, theirs * correct)
    print(f"\nOurs over the fastest correct: {rate / fastest:,.0f}.")


def main() -> None:
    """Print ours, and then the peers'."""
    parser = argparse.ArgumentParser()
    default = Path(tempfile.gettempdir()) / "opticalnet-peers"
    parser.add_argument("--environments", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    masks = random_squares(ForwardModel(Optics()).cells)
    rate = print_ours(masks)
    with tempfile.TemporaryDirectory() as folder:
        print_peers(masks, rate, arguments.environments, Path(folder))


if __name__ == "__main__":
    main()
