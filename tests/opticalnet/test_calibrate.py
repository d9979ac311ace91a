"""An instrument that is not what its file says, found out from a run of a known sample."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_bench import Command

import opticalnet
from configs.errors import ReconstructionError
from configs.toml import load_instrument

PLANTED = {
    "optics.beam.fwhm_nm": 565.0,
    "optics.defocus_wavelengths": 10.3,
    "optics.collection_na": 0.885,
    "optics.pixel_nm": 41.9,
}
INSTRUMENT = """
name = "planted"
[optics]
defocus_wavelengths = 10.3
collection_na = 0.885
pixel_nm = 41.9
[optics.beam]
kind = "gaussian"
fwhm_nm = 565.0
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 10 x 10 squares, and the squares beside it."""
    folder = tmp_path_factory.mktemp("planted")
    squares = np.random.default_rng(4).random((10, 10)) < 0.4
    np.save(folder / "squares.npy", squares.astype(np.uint8))
    (folder / "planted.toml").write_text(INSTRUMENT)
    opticalnet.acquire(
        str(folder / "squares.npy"),
        instrument=str(folder / "planted.toml"),
        exposure_ms=30.0,
        out=folder / "run.zarr",
    )
    return folder


@pytest.fixture
def place(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = Path(shutil.copytree(planted, tmp_path / "place"))
    monkeypatch.chdir(place)
    return place


RUN = ("calibrate", "run.zarr", "--truth", "squares.npy", "--instrument", "simulated")


def test_planted_optics_are_found_and_taken_in(command: Command, place: Path) -> None:
    outcome = command("calibrate", "run.zarr", "--instrument", "simulated", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    said = json.loads(outcome.out)
    assert said["chi_squared_before"] > 1.2
    assert said["chi_squared_after"] == pytest.approx(1, abs=0.02)
    found = {one["name"]: one for one in said["quantities"]}
    for name, value in PLANTED.items():
        one = found[name]
        assert one["is_told"]
        assert abs(one["after"] - value) < 3 * one["error"], name
        assert one["error"] < 0.01 * value
        assert abs(one["before"] - value) > 3 * one["error"], name
    assert said["open_peak_e_per_ms"] == pytest.approx(200, rel=0.02)

    (place / "bench.toml").write_text(
        'name = "bench"\ninclude = "calibration.toml"\n[camera]\nkind = "simulated"\n'
    )
    bench = load_instrument("bench.toml")
    assert bench.optics.beam.fwhm_nm == pytest.approx(565, rel=0.01)
    assert bench.camera.open_peak_e_per_ms == said["open_peak_e_per_ms"]
    comments = (place / "calibration.toml").read_text()
    assert "# optics.beam.fwhm_nm: 540 -> 56" in comments
    assert "# Reduced chi-squared " in comments
    arguments = ("acquire", "--sample", "squares.npy", "--instrument", "bench.toml")
    dry = command(*arguments, "--dry-run", "--out", "no.zarr")
    assert dry.code == 0
    error = command(*RUN).error
    assert "calibration.toml exists already; choose another path, or add --overwrite" in error


def test_another_sample_is_noticed(place: Path) -> None:
    np.save("other.npy", np.load("squares.npy")[::-1])
    with pytest.raises(ReconstructionError, match="the right way up"):
        opticalnet.calibrate("run.zarr", "other.npy")
    assert not Path("calibration.toml").exists()


def test_a_sample_of_another_size(command: Command, place: Path) -> None:
    error = command("calibrate", "run.zarr", "--truth", "ss").error
    assert "ss: expected (10, 10) squares, as the run scanned, got (64, 64)" in error


def test_a_measured_run_does_not_know_its_sample(command: Command, place: Path) -> None:
    document = json.loads((place / "run.zarr" / "zarr.json").read_text())
    del document["attributes"]["opticalnet"]["sample_config"]
    (place / "run.zarr" / "zarr.json").write_text(json.dumps(document))
    error = command("calibrate", "run.zarr").error
    assert "--truth: expected the sample, as this run was measured; name it" in error


def test_frames_of_another_size(command: Command, place: Path) -> None:
    (place / "small.toml").write_text('name = "small"\n[optics]\nroi_px = 128\n')
    error = command("calibrate", "run.zarr", "--instrument", "small.toml").error
    assert "optics: expected frames of 64 px, as in the run, got 32 px" in error


def test_dark_levels_that_are_not_so(command: Command, place: Path) -> None:
    file = place / "run.zarr" / "zarr.json"
    file.write_text(file.read_text().replace('"offset_adu": 100.0', '"offset_adu": 130.0'))
    error = command("calibrate", "run.zarr").error
    assert "check offset_adu of the sensor on a dark frame" in error


def test_too_few_frames(command: Command, place: Path) -> None:
    journal = place / "run.zarr" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:12]))
    error = command(*RUN).error
    assert "expected at least 30 valid frames, got 12" in error
