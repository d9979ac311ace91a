"""Bad values and settings: one clear line, exit code 1, nothing half-written."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_bench import (
    Command,
    check_refused,
    contents,
    save_mask,
)
from PIL import Image

pytestmark = pytest.mark.usefixtures("devices_are_closed")


def write_png(path: Path, content: bytes) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def write_pixels(path: Path, side: int) -> None:
    Image.new("L", (side, side)).save(path)


def claim_huge(path: Path) -> None:
    """A header that promises 8 terabytes."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1_000_000, 1_000_000)}
        )


Writer = Callable[[Path], object]
READABLE = "expected a readable PNG or NPY mask"
FRACTIONS = "expected open fractions between 0 and 1"
MASKS: dict[str, tuple[str, Writer, tuple[str, ...]]] = {
    "missing": ("mask.npy", lambda _: None, ("no such file", "give the path of a mask")),
    "a folder": ("mask.npy", Path.mkdir, (READABLE, "directory")),
    "empty": ("mask.npy", Path.touch, (READABLE,)),
    "corrupt": ("mask.npy", lambda path: path.write_bytes(b"nonsense"), (READABLE,)),
    "corrupt picture": ("mask.png", lambda path: write_png(path, b"?"), (READABLE,)),
    "huge": ("mask.npy", claim_huge, (READABLE,)),
    "huge picture": ("mask.png", lambda path: write_pixels(path, 14_000), (READABLE,)),
    "words": (
        "mask.npy",
        lambda path: np.save(path, np.array([["open"]])),
        ("expected numbers", "got <U4"),
    ),
    "pickle": (
        "mask.npy",
        lambda path: np.save(path, np.array([[{}]], object), allow_pickle=True),
        (READABLE,),
    ),
    "NaN": ("mask.npy", lambda path: np.save(path, np.full((6, 6), np.nan)), (FRACTIONS,)),
    "one NaN": ("mask.npy", lambda path: np.save(path, [[0, 1], [np.nan, 0]]), (FRACTIONS,)),
    "grey levels": (
        "mask.npy",
        lambda path: np.save(path, np.array([[0, 255]], np.uint8)),
        (FRACTIONS, "got 0 to 255"),
    ),
    "negative": (
        "mask.npy",
        lambda path: np.save(path, [[-0.5, 1.0]]),
        (FRACTIONS, "got -0.5 to 1"),
    ),
    "3-D": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((2, 3, 4))),
        ("expected an array (rows, columns)", "(2, 3, 4)"),
    ),
    "no squares": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((0, 4))),
        ("expected an array (rows, columns)", "(0, 4)"),
    ),
    "complex": (
        "mask.npy",
        lambda path: np.save(path, np.zeros((4, 4), complex)),
        ("expected numbers", "got complex128"),
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_bad_masks(command: Command, place: Path, kind: str) -> None:
    name, write, said = MASKS[kind]
    write(place / name)
    check_refused(command, place, ["acquire", "--sample", name], name, *said)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is unreadable here"
)
def test_an_unreadable_mask(command: Command, place: Path) -> None:
    path = save_mask(place / "mask.npy", "#.")
    path.chmod(0)
    try:
        outcome = command("acquire", "--sample", path)
    finally:
        path.chmod(0o600)
    assert READABLE in outcome.error


VALUES: dict[str, tuple[list[object], tuple[str, ...]]] = {
    "sample": (
        ["--sample", "star"],
        ("expected ss, light, block, grating, qr, or the path of a .png or .npy", "got 'star'"),
    ),
    "grid": (["--grid", 4], ("expected 3, 5 or 7", "got 4")),
    "seed": (["--seed", -1], ("seed: expected", "0", "got -1")),
    "seed of block": (["--sample", "block", "--seed", -1], ("seed: expected", "got -1")),
    "seed too large": (["--seed", 1 << 63], ("seed: expected", "9223372036854775808")),
    "density": (
        ["--sample", "block", "--density", 2],
        ("density: expected a fraction between 0 and 1", "got 2"),
    ),
    "density NaN": (["--sample", "block", "--density", "nan"], ("between 0 and 1", "got nan")),
    "density of a star": (
        ["--sample", "ss", "--density", 0.35],
        ("density: expected none with sample 'ss', got 0.35", "leave it out, or take block"),
    ),
    "exposure NaN": (["--exposure-ms", "nan"], ("exposure_ms", "finite number", "got nan")),
    "exposure 0": (["--exposure-ms", 0], ("exposure_ms", "greater than 0", "got 0")),
    "misfit": (["--max-chi-squared", 0], ("max_chi_squared", "greater than 0", "got 0")),
    "device": (["--device", "foo"], ("expected auto, cpu or cuda", "got 'foo'")),
    "instrument": (
        ["--instrument", "nope"],
        ("expected one of lab-example, micromanager-demo, simulated", "got 'nope'"),
    ),
    "instrument file": (
        ["--instrument", "nope.toml"],
        ("cannot read nope.toml", "check the path"),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_bad_values(command: Command, place: Path, mask: Path, name: str) -> None:
    arguments, said = VALUES[name]
    if "--sample" not in arguments:
        arguments = [*arguments, "--sample", mask]
    check_refused(command, place, ["acquire", *arguments], *said)
    check_refused(command, place, ["acquire", "--dry-run", *arguments], *said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("what", ["acquire", "reconstruct"])
def test_no_gpu(command: Command, place: Path, mask: Path, run_copy: Path, what: str) -> None:
    arguments = {"acquire": ["--sample", mask], "reconstruct": [run_copy]}[what]
    before = contents(run_copy)
    said = "expected a CUDA GPU", "torch sees none", "use --device cpu"
    check_refused(command, place, [what, *arguments, "--device", "cuda"], *said)
    assert contents(run_copy) == before


SETTINGS = {
    "typo": ("[camera]\nkind = 'simulated'\nexposure = 3\n", ("unknown key", "exposure")),
    "unknown section": ("[optic]\nbinning = 4\n", ("unknown key optic", "spelling")),
    "unit": ("[optics]\nwavelength_nm = '633 nm'\n", ("optics.wavelength_nm", "'633 nm'")),
    "type": ("[optics]\nbinning = 4.5\n", ("optics.binning", "integer", "got 4.5")),
    "range": ("[optics]\nwavelength_nm = -1.0\n", ("optics.wavelength_nm", "got -1.0")),
    "no TOML": ("[optics\n", ("expected valid TOML",)),
    "half real": (
        "[stage]\nkind = 'gcs'\nport = 'COM3'\n",
        ("a simulated camera needs a simulated stage", "got a real one"),
    ),
    "tight": (
        "[travel]\nx_um = [99.0, 100.0]\n",
        ("plan: x from 98.87 to 100.13 um", "99 to 100 um", "nothing moved", "scan less"),
    ),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_bad_settings(command: Command, place: Path, mask: Path, kind: str) -> None:
    text, said = SETTINGS[kind]
    (place / "own.toml").write_text(f"name = 'own'\n{text}")
    source = "plan" if kind == "tight" else "own.toml"
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    check_refused(command, place, arguments, source, *said)
