"""Convergence, agreement with independent frames, and speed of the forward model.

python benchmarks/forward_model.py
"""

import time
from pathlib import Path

import numpy as np
import torch

from configs.optics import Optics
from simulation import modes
from simulation.forward import ForwardModel

ORACLE = Path(__file__).parents[1] / "tests" / "data" / "oracle_frames.npz"
REFERENCE_PERIOD_UM = 320.0
MASKS = ("film", "centre", "off_centre", "l_shape", "random", "open", "half")


def images(masks: list[np.ndarray], period_um: float | None = None) -> list[np.ndarray]:
    """Return the frames of masks, in double precision."""
    model = ForwardModel(Optics(), period_um=period_um, dtype=torch.float64)
    edge = (model.squares - len(masks[0])) // 2
    padded = np.stack([np.pad(mask.astype(float), edge) for mask in masks])
    return list(model.frames(torch.from_numpy(padded)).numpy())


def error(a: np.ndarray, b: np.ndarray) -> str:
    """Return the relative L2 distance."""
    return f"{np.linalg.norm(a - b) / np.linalg.norm(b):.1e}"


def agreement(oracle: dict[str, np.ndarray]) -> None:
    """Compare integral and lattices with the reference frames and with each other."""
    masks = [oracle[f"mask_{name}"] for name in MASKS]
    references = [oracle[f"frame_{name}"] for name in MASKS]
    exact = images(masks)
    rows = {"integral, to reference": zip(exact, references, strict=True)}
    for period in (80.0, 160.0, 320.0, 640.0, 1280.0):
        lattice = images(masks, period)
        rows[f"lattice of {period:g} um, to integral"] = zip(lattice, exact, strict=True)
        if period == REFERENCE_PERIOD_UM:
            name = f"lattice of {period:g} um, to reference"
            rows[name] = zip(lattice, references, strict=True)
    print("Relative L2 of intensity.\n")
    print("| |", " | ".join(MASKS), "|")
    print("|---" * (1 + len(MASKS)) + "|")
    for name, pairs in rows.items():
        print(f"| {name} |", " | ".join(error(a, b) for a, b in pairs), "|", flush=True)


def convergence(oracle: dict[str, np.ndarray]) -> None:
    """Refine each setting of the modes and say how far the answer moves."""
    mask = oracle["mask_random"]
    finest = {"_SMALLEST_MODE": 1e-8, "PIXEL_NODES": 4, "_BEAM_RADII": 4.0}
    print("\n| setting | value | refined to | relative L2 moves by |\n|---|---|---|---|")
    ours = images([mask])[0]
    for name, value in finest.items():
        before = getattr(modes, name)
        refined = with_setting(name, value, mask)
        print(
            f"| {name.strip('_').lower()} | {before:g} | {value:g} | {error(ours, refined)} |"
        )


def with_setting(name: str, value: float, mask: np.ndarray) -> np.ndarray:
    """Return the frame with one setting changed."""
    from simulation import forward

    before = getattr(modes, name)
    modes.camera_modes.cache_clear()
    setattr(modes, name, value)
    if name == "PIXEL_NODES":
        forward.PIXEL_NODES = value
    try:
        return images([mask])[0]
    finally:
        setattr(modes, name, before)
        forward.PIXEL_NODES = modes.PIXEL_NODES
        modes.camera_modes.cache_clear()


def speed() -> None:
    """Time single frames and batches, in single precision."""
    model = ForwardModel(Optics())
    print(f"\n{model.squares} x {model.squares} squares, {torch.get_num_threads()} threads.\n")
    print("| batch | frames/s, any offset |\n|---|---|")
    for batch, rounds in ((1, 200), (256, 20)):
        coverage = torch.rand(batch, model.squares, model.squares)
        offset_um = 0.05 * torch.rand(batch, 2)
        model.frames(coverage, offset_um)
        began = time.perf_counter()
        for _ in range(rounds):
            model.frames(coverage, offset_um)
        print(f"| {batch} | {batch * rounds / (time.perf_counter() - began):,.0f} |")


def main() -> None:
    """Print all three."""
    oracle = dict(np.load(ORACLE))
    agreement(oracle)
    convergence(oracle)
    speed()


if __name__ == "__main__":
    main()
