"""How right the model of the light is: oracles, convergence, agreement of the routes.

python benchmarks/forward_model.py

Some minutes and 6 GB; every figure is a relative L2 distance of intensity.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from configs.optics import FocusedBeam, Optics
from simulation import camera_plane, cropped_spectrum, modes
from simulation.angular_spectrum import AngularSpectrum
from simulation.cropped_spectrum import CroppedSpectrum
from simulation.forward import ForwardModel
from simulation.light import Light
from simulation.samples import load_sample

ORACLE = Path(__file__).parents[1] / "tests" / "data" / "oracle_frames.npz"
MASKS = ("film", "centre", "off_centre", "l_shape", "random", "open", "half")
SCALAR = Optics()
VECTORIAL = Optics(beam=FocusedBeam(kind="focused"))
_ONE_WAVE = (0.0,) * 10 + (1.0,)  # of spherical aberration, rms
ABERRATED = Optics(collection_zernike_waves=_ONE_WAVE)
SEMITRANSPARENT = Optics(film_amplitude=0.7, film_phase_rad=0.4)
Images = np.ndarray


def main() -> None:
    """Print all tables."""
    oracle = dict(np.load(ORACLE))
    oracles(oracle)
    padding(oracle)
    sampling()
    windows()
    settings()
    routes()


def table(title: str, columns: Iterable[str]) -> None:
    """Print the head of a table."""
    columns = list(columns)
    print(f"\n{title}\n\n| |", " | ".join(columns), "|")
    print("|---" * (1 + len(columns)) + "|")


def row(name: str, errors: Iterable[float]) -> None:
    """Print a line of a table."""
    print(f"| {name} |", " | ".join(f"{error:.1e}" for error in errors), "|", flush=True)


def errors(images: Images, references: Images) -> list[float]:
    """Return the distance of each pair."""
    return [
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(images, references, strict=True)
    ]


def oracle_masks(oracle: dict[str, np.ndarray]) -> torch.Tensor:
    """Return the masks of the reference frames in a window of 15 squares."""
    masks = np.stack([np.pad(oracle[f"mask_{name}"].astype(float), 1) for name in MASKS])
    return torch.from_numpy(masks)


def random_masks(cells: int, count: int = 3) -> torch.Tensor:
    """Return random squares of density 0.35."""
    generator = torch.Generator().manual_seed(5)
    return (torch.rand(count, cells, cells, generator=generator) < 0.35).double()


def cropped(
    optics: Optics, masks: torch.Tensor, cell_nm: float = 180.0, period_um: float | None = None
) -> Images:
    """Return frames by the cropped spectrum, in double precision."""
    route = CroppedSpectrum(
        Light.of(optics), masks.shape[1], cell_nm, period_um=period_um, dtype=torch.float64
    )
    return np.concatenate([route.frames(mask[None]).numpy() for mask in masks])


def plain(
    optics: Optics, masks: torch.Tensor, samples: int, period_um: float, cell_nm: float = 180.0
) -> Images:
    """Return frames by the full angular spectrum."""
    route = AngularSpectrum(Light.of(optics), masks.shape[1], cell_nm, samples, period_um)
    return route.frames(masks).numpy()


def oracles(oracle: dict[str, np.ndarray]) -> None:
    """Compare the integral and lattices with the reference frames and with each other."""
    masks = oracle_masks(oracle)
    references = np.stack([oracle[f"frame_{name}"] for name in MASKS])
    exact = cropped(SCALAR, masks)
    table("Independent reference frames (made on a lattice of 320 um).", MASKS)
    row("integral, to reference", errors(exact, references))
    fast = ForwardModel(SCALAR).frames(masks.float()).numpy()
    row("modes, single precision, to integral", errors(fast, exact))
    for period in (80.0, 160.0, 320.0, 640.0):
        lattice = cropped(SCALAR, masks, period_um=period)
        row(f"lattice of {period:g} um, to integral", errors(lattice, exact))
        if period == 320.0:
            row("lattice of 320 um, to reference", errors(lattice, references))


def padding(oracle: dict[str, np.ndarray]) -> None:
    """Pad the full angular spectrum more and more."""
    names = ("centre", "random", "open")
    masks = oracle_masks(oracle)[[MASKS.index(name) for name in names]]
    table(
        "Padding: full angular spectrum of that period, 8 samples a square, to integral.",
        (*names, "random, vectorial"),
    )
    exact, vectorial = cropped(SCALAR, masks), cropped(VECTORIAL, masks[1:2])
    for period in (30.0, 40.0, 80.0, 160.0):
        scalar = errors(plain(SCALAR, masks, 8, period), exact)
        row(
            f"{period:g} um",
            scalar + errors(plain(VECTORIAL, masks[1:2], 8, period), vectorial),
        )


def sampling() -> None:
    """Sample the exit field of the full angular spectrum finer and finer."""
    masks = random_masks(15)
    table("Sampling: samples a square, to 24, period 40 um.", ("1", "2", "3"))
    finest = plain(SCALAR, masks, 24, 40.0)
    for samples in (2, 4, 8, 16):
        row(str(samples), errors(plain(SCALAR, masks, samples, 40.0), finest))


def windows() -> None:
    """Cut the window of squares smaller and smaller."""
    for name, optics, sides, largest in (
        ("Gaussian", SCALAR, (9, 11, 13, 15, 17), 21),
        ("focused, vectorial", VECTORIAL, (9, 11, 13, 15, 17, 21), 41),
    ):
        masks = random_masks(largest)
        table(f"Window: squares a side, to {largest}, {name} beam.", ("1", "2", "3"))
        whole = cropped(optics, masks)
        for side in sides:
            edge = (largest - side) // 2
            inner = masks[:, edge:-edge, edge:-edge]
            row(f"{side}", errors(cropped(optics, inner), whole))


def settings() -> None:
    """Refine each setting of the fast routes."""
    masks = random_masks(15)
    table("Settings: value, to refined, random squares.", ("1", "2", "3"))

    def by_modes() -> Images:
        modes.modes_of.cache_clear()
        modes.nominal_fields.cache_clear()
        return ForwardModel(SCALAR, cells=15, dtype=torch.float64).frames(masks).numpy()

    refine("camera points: pixel taps", camera_plane, "PIXEL_TAPS", 16, by_modes)
    refine("pupil nodes: margin", camera_plane, "PUPIL_MARGIN", 40, by_modes)
    refine("smallest mode", modes, "SMALLEST_MODE", 3e-7, by_modes)
    refine("smallest product", modes, "SMALLEST_PRODUCT", 3e-8, by_modes)
    refine(
        "spacing of nodes on the sample, um",
        cropped_spectrum,
        "NODE_SPACING_UM",
        0.01,
        lambda: cropped(SCALAR, masks),
    )


def refine(
    name: str, module: object, setting: str, finer: float, frames: Callable[[], Images]
) -> None:
    """Print how far frames move when one setting is refined."""
    value, ours = getattr(module, setting), frames()
    setattr(module, setting, finer)
    try:
        refined = frames()
    finally:
        setattr(module, setting, value)
    row(f"{name} {value:g}, to {finer:g}", errors(ours, refined))


def routes() -> None:
    """Compare the fast routes with the full angular spectrum of a large plane."""
    table("Routes: to the full angular spectrum, 160 um.", ("cropped", "modes"))
    for name, optics, samples in (
        ("scalar", SCALAR, 8),
        ("vectorial", VECTORIAL, 8),
        ("film of amplitude 0.7", SEMITRANSPARENT, 8),
        ("one wave of spherical aberration", ABERRATED, 12),
    ):
        model = ForwardModel(optics)
        masks = random_masks(model.cells, 1)
        compare(
            f"random squares, {name}, {samples} samples a square", optics, masks, 180.0, samples
        )
    star = load_sample("ss")
    cells, n = ForwardModel(SCALAR, 30.0).cells, star.cells_per_square
    row_, column = 20 * n, 24 * n
    part = torch.from_numpy(star.cells[row_ : row_ + cells, column : column + cells])[None]
    compare("part of the star, cells of 30 nm", SCALAR, part, 30.0, 2)


def compare(
    name: str, optics: Optics, masks: torch.Tensor, cell_nm: float, samples: int
) -> None:
    """Print the errors of both fast routes."""
    reference = plain(optics, masks, samples, 160.0, cell_nm)
    fast = ForwardModel(optics, cell_nm, cells=masks.shape[1]).frames(masks.float()).numpy()
    direct = cropped(optics, masks, cell_nm)
    row(name, errors(direct, reference) + errors(fast, reference))


if __name__ == "__main__":
    main()
