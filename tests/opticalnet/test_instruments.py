"""One scan on several instruments, and the same picture whichever way their axes lie."""

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import device_threads, save_mask, taken

import opticalnet
from acquisition.engine import scan
from acquisition.observer import SilentObserver
from acquisition.provenance import Provenance
from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.geometry import SQUARE_NM, SQUARE_UM
from configs.optics import Optics
from configs.sample import Mask
from configs.toml import parse_instrument
from opticalnet.acquiring import plan_scan
from opticalnet.devices import open_instrument
from simulation.samples import load_sample, make_sample

# Bright enough for short exposures: these instruments live by the clock on the wall.
SERIAL_STAGE = """
name = "serial stage"
[camera]
kind = "simulated"
open_peak_e_per_ms = 1000.0
[stage]
kind = "gcs"
port = "simulated"
x_direction = -1
"""
LETTER = (
    "####.....#",
    "..........",
    "..####....",
    "..#.......",
    "..###.....",
    "..#.......",
    "..#....###",
    "..#.......",
    "#......##.",
    "#......##.",
)
"""An F, and a mark of its own in each corner: no turn or mirror image is the same."""


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    return save_mask(tmp_path / "letter.npy", *LETTER)


def turns(image: np.ndarray) -> list[np.ndarray]:
    """The image itself, then its three turns and four mirror images."""
    return [
        np.rot90(flipped, quarters) for flipped in (image, image.T) for quarters in range(4)
    ]


def match(image: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(image.ravel(), other.ravel())[0, 1])


def under_the_beam(is_open: np.ndarray) -> np.ndarray:
    """Light through a film with the beam on each square in turn."""
    across_nm = np.subtract.outer(*[np.arange(len(is_open)) * SQUARE_NM] * 2)
    beam = 0.5 ** ((2 * across_nm / Optics().beam.fwhm_nm) ** 2)
    light: np.ndarray = beam @ is_open @ beam
    return light


@pytest.fixture(scope="module")
def both_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The same small scan on the built-in instrument and through Micro-Manager."""
    folder = tmp_path_factory.mktemp("both")
    mask = save_mask(folder / "mask.npy", "######", "#.....", "####..", "#.....")
    runs = {}
    for name in ("simulated", "micromanager-demo"):
        result = opticalnet.acquire(
            str(mask), grid=5, instrument=name, out=folder / f"{name}.zarr", exposure_ms=2
        )
        assert (result.points, result.valid) == (48, 48)
        shutters = ["shutter"] if name == "simulated" else []
        assert result.simulated == ["stage", "camera", *shutters]
        runs[name] = Run(folder / f"{name}.zarr")
    assert device_threads() == []
    return runs


def test_both_take_the_same_points(both_runs: dict[str, Run]) -> None:
    records = [list(run.journal()) for run in both_runs.values()]
    for key in ("index", "target_um", "attempts", "status"):
        first, second = ([getattr(record, key) for record in journal] for journal in records)
        assert first == second
    assert [record.index for record in records[0]] == list(range(48))
    targets = np.array([record.target_um for record in records[0]]).reshape(6, 8, 2)
    assert targets.mean(axis=(0, 1)) == pytest.approx((100, 100))
    assert np.diff(targets[..., 0], axis=1) == pytest.approx(SQUARE_UM)
    assert np.diff(targets[..., 1], axis=0) == pytest.approx(SQUARE_UM)


@pytest.mark.parametrize("name", ["simulated", "micromanager-demo"])
def test_both_are_where_they_should_be(both_runs: dict[str, Run], name: str) -> None:
    run = both_runs[name]
    assert taken(run.path) == 48
    targets = np.array([record.target_um for record in run.journal()])
    error_nm = 1000 * np.linalg.norm(run.points().readback_um - targets, axis=1)
    assert 0 < error_nm.max() <= run.info.instrument.timing.position_tolerance_nm
    stored = zarr.open_group(run.path / "points", mode="r")
    assert np.array_equal(stored["readback_um"][:], run.points().readback_um)
    assert np.array_equal(stored["target_um"][:], targets)
    assert (np.diff(stored["started_s"][:]) > 0).all()
    frames = np.concatenate([run.frames(row) for row in range(6)])
    assert frames.shape == (48, 64, 64)
    assert frames.dtype == np.uint16
    assert len(np.unique(frames.reshape(48, -1), axis=0)) > 1


def test_nothing_simulated_passes_for_real(both_runs: dict[str, Run]) -> None:
    said = {name: run.info.provenance.devices for name, run in both_runs.items()}
    for devices in said.values():
        assert {"stage", "camera"} <= set(devices) <= {"stage", "camera", "shutter"}
        assert {device.origin for device in devices.values()} == {"simulated"}
    assert said["simulated"]["camera"].name == "simulated sCMOS"
    assert said["simulated"]["stage"].name == "simulated piezo stage"
    assert said["micromanager-demo"]["camera"].name == "DemoCamera/DCam"
    assert "E-727" in said["micromanager-demo"]["stage"].name
    assert "SIMULATED" in said["micromanager-demo"]["stage"].name


@pytest.mark.parametrize("name", ["simulated", "micromanager-demo"])
def test_both_reconstruct(both_runs: dict[str, Run], name: str) -> None:
    result = opticalnet.reconstruct(both_runs[name].path)
    assert result.squares.count.min() > 0
    assert result.stitched is not None
    # DemoCamera shows noise, whatever lies under the beam.
    sees_the_sample = result.stitched.accuracy > result.stitched.constant_accuracy + 0.1
    assert sees_the_sample == (name == "simulated")


def test_a_simulated_run_says_how_to_draw_its_sample_again(
    both_runs: dict[str, Run], tmp_path: Path
) -> None:
    mask = both_runs["simulated"].path.parent / "mask.npy"
    digest = hashlib.sha256(mask.read_bytes()).hexdigest()
    configs = {name: run.info.sample_config for name, run in both_runs.items()}
    assert configs == {
        "simulated": Mask(path="mask.npy", sha256=digest),
        "micromanager-demo": None,  # its camera does not look at the sample
    }
    (tmp_path / "block.toml").write_text(
        "kind = 'block'\nsquares = 5\n[fabrication]\nmissing = 0.2\n"
    )
    opticalnet.acquire(str(tmp_path / "block.toml"), out=tmp_path / "run.zarr", seed=8)
    run = Run(tmp_path / "run.zarr")
    assert run.info.sample_config is not None
    again = make_sample(run.info.sample_config, run.info.plan.seed)
    assert run.truth is not None
    assert np.allclose(again.coverage, run.truth, atol=1e-6)


def test_light_follows_the_serial_line(letter: Path, tmp_path: Path) -> None:
    own = tmp_path / "serial.toml"
    own.write_text(SERIAL_STAGE)
    result = opticalnet.acquire(
        str(letter), instrument=str(own), out=tmp_path / "run.zarr", exposure_ms=2
    )
    assert result.valid == 144
    scores = opticalnet.reconstruct(tmp_path / "run.zarr").stitched
    assert scores is not None
    assert scores.accuracy > scores.constant_accuracy + 0.15
    assert device_threads() == []


@pytest.mark.parametrize("directions", list(product((1, -1), repeat=2)))
def test_whichever_way_the_axes_lie(
    letter: Path, tmp_path: Path, directions: tuple[int, int]
) -> None:
    config = parse_instrument(
        "name = 'turned'\n[camera]\nkind = 'simulated'\nopen_peak_e_per_ms = 1000.0\n[stage]\n"
        f"kind = 'simulated'\nx_direction = {directions[0]}\ny_direction = {directions[1]}\n",
        "test",
    )
    sample = load_sample(str(letter))
    plan = plan_scan(sample, config).changed(landmark=None)
    with open_instrument(config, sample, seed=0) as devices:
        info = RunInfo(
            provenance=Provenance.now({}), instrument=config, plan=plan, sample="letter"
        )
        with RunWriter.create(tmp_path / "run.zarr", info, sample.coverage) as writer:
            scan(info, devices, writer, SilentObserver())
    run = Run(tmp_path / "run.zarr")
    assert run.points().valid.all()

    # The stage went the way that its mounting asks for, and visited in this order.
    readback = run.points().readback_um.reshape(12, 12, 2)
    across, down = np.diff(readback, axis=1)[..., 0], np.diff(readback, axis=0)[..., 1]
    assert np.allclose(across, directions[0] * SQUARE_UM, atol=0.01)
    assert np.allclose(down, directions[1] * SQUARE_UM, atol=0.01)
    columns = [record.index % 12 for record in run.journal()]
    assert columns[:24] == [*range(12), *range(12)]

    # No network: a frame is as bright as the openings are under the beam.
    light = np.array([run.frames(row).sum(axis=(1, 2)) for row in range(12)], float)
    truth = np.pad([[c == "#" for c in row] for row in LETTER], 1)
    matches = [match(light, under_the_beam(turned)) for turned in turns(truth)]
    assert matches[0] > 0.95
    assert max(matches[1:]) < 0.85

    result = opticalnet.reconstruct(run.path)
    matches = [match(result.squares.probability, turned[1:-1, 1:-1]) for turned in turns(truth)]
    assert matches[0] > 0.7
    assert matches[0] > max(matches[1:]) + 0.3
