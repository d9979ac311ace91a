"""What is found with the sample: light that a run does not know, and where the beam was."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import Command

import opticalnet
from configs.errors import ConfigError, ReconstructionError
from configs.optics import Optics
from reconstruction.inversion.patch import chosen_part

INSTRUMENT = """
name = "elsewhere"
[optics]
defocus_wavelengths = 10.3
[optics.beam]
kind = "gaussian"
fwhm_nm = 590.0
[environment]
drift_nm_per_min = [0.0, 0.0]
focus_drift_nm_per_min = 0.0
vibration_nm = 20.0
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by an instrument that is not what it says, and trembles."""
    return scan(tmp_path_factory.mktemp("elsewhere"), INSTRUMENT)


def scan(folder: Path, instrument: str) -> Path:
    """Scan 10 x 10 squares; the run says that optics were those of the default instrument."""
    squares = np.random.default_rng(4).random((10, 10)) < 0.4
    np.save(folder / "squares.npy", squares.astype(np.uint8))
    (folder / "elsewhere.toml").write_text(instrument)
    out = folder / "run.zarr"
    opticalnet.acquire(
        str(folder / "squares.npy"),
        instrument=str(folder / "elsewhere.toml"),
        exposure_ms=30.0,
        out=out,
    )
    document = json.loads((out / "zarr.json").read_text())
    kept = document["attributes"]["opticalnet"]["instrument"]
    kept["optics"] = Optics().model_dump(mode="json")
    (out / "zarr.json").write_text(json.dumps(document))
    return out


def test_light_and_positions_are_found_with_the_sample(command: Command, run: Path) -> None:
    believing = opticalnet.invert(run)
    assert not believing.inversion.is_explained
    outcome = command(
        *("reconstruct", str(run), "--method", "inversion", "--overwrite", "--json"),
        *("--refine", "light", "--refine", "positions"),
    )
    assert outcome.code == 0
    (said,) = json.loads(outcome.out)["results"]
    assert said["refinement"] == "light, positions"
    assert said["chi_squared"] < 1.02
    assert said["stitched"]["accuracy"] >= believing.stitched.accuracy
    assert said["stitched"]["accuracy"] > 0.98
    found = {one["name"]: one for one in said["light"]}
    for name, value in {
        "optics.beam.fwhm_nm": 590.0,
        "optics.defocus_wavelengths": 10.3,
    }.items():
        assert abs(found[name]["after"] - value) < 4 * found[name]["error"], name
        assert found[name]["error"] < 0.005 * value
        assert found[name]["is_told"]
    assert 15 < said["positions"]["moved_nm"] < 25
    assert 3 < said["positions"]["error_nm"] < 7
    assert said["positions"]["is_told"]
    group = zarr.open_group(run / "reconstruction" / "inversion", mode="r")
    assert group["moved_x_um/0"].shape == group["moved_y_error_um/0"].shape == (12, 12)


def test_what_was_found_is_said_and_refinements_have_no_order(
    command: Command, run: Path
) -> None:
    outcome = command(
        *("reconstruct", str(run), "--method", "inversion", "--overwrite"),
        *("--refine", "positions", "--refine", "positions"),
    )
    assert "positions: " in outcome.out
    assert " nm rms from the stage's, +- " in outcome.out
    assert "optics.beam" not in outcome.out
    again = opticalnet.invert(run, refine=("positions",))  # the same: nothing in its way
    assert again.made_from["refinement"] == "positions"


def test_there_is_no_such_refinement(command: Command, run: Path) -> None:
    error = command("reconstruct", str(run), "--refine", "colour").error
    assert "refine: expected light, aberrations, positions, got 'colour'" in error
    with pytest.raises(ConfigError, match="refine: expected light"):
        opticalnet.invert(run, refine=("colour",))


def test_a_network_refines_nothing(command: Command, run: Path) -> None:
    args = ("reconstruct", str(run), "--method", "frames", "--refine", "light")
    assert "--refine: expected the inversion, got --method frames" in command(*args).error


def test_a_sample_that_nobody_knows(tmp_path: Path) -> None:
    out = tmp_path / "found.toml"
    run = scan(tmp_path, INSTRUMENT.replace("vibration_nm = 20.0", "vibration_nm = 0.5"))
    found = opticalnet.calibrate(run, "none", out=out)
    names = [one.name for one in found.calibration.quantities]
    assert names == ["optics.beam.fwhm_nm", "optics.defocus_wavelengths", "stray light"]
    assert found.calibration.chi_squared_before > 1.1
    assert found.calibration.chi_squared_after < 1.03
    assert found.calibration.instrument.optics.beam.fwhm_nm == pytest.approx(590, rel=0.01)
    assert "Calibrated with 144 frames" in out.read_text()


def test_the_patch_is_where_frames_differ(tmp_path: Path) -> None:
    squares = np.zeros((24, 48))
    squares[:, 26:] = np.random.default_rng(1).random((24, 22)) < 0.4
    np.save(tmp_path / "squares.npy", squares)
    opticalnet.acquire(str(tmp_path / "squares.npy"), out=tmp_path / "run.zarr")
    run = opticalnet.Run(tmp_path / "run.zarr")
    rows, columns = chosen_part(run, run.points())
    assert len(rows) == len(columns) == 24
    assert columns.start >= 12


def test_a_laser_that_was_off(tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", np.zeros((10, 10)))
    dark = tmp_path / "dark.toml"
    dark.write_text('name = "dark"\n[optics]\nfilm_amplitude = 0.0\n')
    run = tmp_path / "run.zarr"
    opticalnet.acquire(str(tmp_path / "film.npy"), instrument=str(dark), out=run)
    with pytest.raises(ReconstructionError, match="was the laser on"):
        opticalnet.calibrate(run, "none", out=tmp_path / "no.toml")
    assert not (tmp_path / "no.toml").exists()


def test_light_that_runs_away(run: Path, tmp_path: Path) -> None:
    far = Optics().changed(defocus_wavelengths=40.0)
    with pytest.raises(ReconstructionError, match=r"Calibrate with a known sample|chi-squared"):
        opticalnet.calibrate(run, "none", optics=far, out=tmp_path / "no.toml")
    assert not (tmp_path / "no.toml").exists()


def test_too_few_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.eye(4))
    opticalnet.acquire(str(tmp_path / "few.npy"), out=tmp_path / "run.zarr")
    with pytest.raises(ReconstructionError, match="at least 100 valid frames, got 36"):
        opticalnet.invert(tmp_path / "run.zarr", refine=("light",))
