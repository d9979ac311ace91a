"""A scan with a focus drive, from settings to run, and on."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import save_mask

import opticalnet
from acquisition.observer import SilentObserver
from acquisition.store import Run
from configs.instrument import MicroManagerFocusConfig, SimulatedFocusConfig
from configs.toml import load_instrument
from opticalnet.rehearsal import simulated_like

SETTINGS = """
name = "focusing"

[camera]
kind = "simulated"

[stage]
kind = "simulated"

[focus]
kind = "simulated"
range_um = [20.0, 40.0]

[environment]
drift_nm_per_min = [0.0, 0.0]
focus_drift_nm_per_min = 150.0
"""
ROWS = (
    *("##..##..", "##..##..", "..##..##", "..##..##"),
    *("#.#.#.#.", "........", "########", "#......#"),
)


@pytest.fixture
def mask(tmp_path: Path) -> str:
    save_mask(tmp_path / "mask.npy", *ROWS)
    return str(tmp_path / "mask.npy")


@pytest.fixture
def instrument(tmp_path: Path) -> str:
    (tmp_path / "bench.toml").write_text(SETTINGS)
    return str(tmp_path / "bench.toml")


class _Enough(Exception):
    pass


class Stops(SilentObserver):
    """Says no more after so many frames."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.frames: list[opticalnet.Frame] = []

    def frame(self, frame: opticalnet.Frame) -> None:
        self.frames.append(frame)
        self._left -= 1
        if self._left == 0:
            raise _Enough


def test_a_sample_that_creeps_away_is_followed(
    mask: str, instrument: str, tmp_path: Path
) -> None:
    """The truth is in the settings: the drive goes back by what the sample went away."""
    out = tmp_path / "run.zarr"
    result = opticalnet.acquire(mask, out=out, instrument=instrument, exposure_ms=60.0)
    assert result.simulated == ["stage", "camera", "focus"]
    run = Run(out)
    assert run.info.provenance.devices["focus"].name == "simulated focus piezo"
    landmark = run.landmark()
    assert landmark["is_believed"].all()
    learnt_s = run.dither().started_s  # type: ignore[union-attr]
    crept_um = -0.150 * landmark["started_s"] / 60
    error_um = landmark["drift_um"][:, 2] - crept_um
    # The sample had crept away by about this much while the landmark was learnt.
    assert np.ptp(error_um) < 0.012
    assert np.abs(error_um).max() < 0.150 * learnt_s / 60 + 0.012
    assert landmark["correction_um"][-1, 2] == pytest.approx(
        landmark["drift_um"][-1, 2], abs=0.02
    )
    stored = zarr.open_group(out, mode="r")["points/focus_um"][:]
    assert np.array_equal(stored, run.points().columns["focus_um"])
    assert stored[-1] == pytest.approx(30 + landmark["correction_um"][-2, 2], abs=0.005)
    assert "stage stopped, focus stopped" in (out / "log.jsonl").read_text()


def test_a_run_goes_on_in_the_plane_of_its_beginning(
    mask: str, instrument: str, tmp_path: Path
) -> None:
    out = tmp_path / "run.zarr"
    with pytest.raises(_Enough):
        opticalnet.acquire(
            mask, out=out, instrument=instrument, exposure_ms=60.0, observer=Stops(95)
        )
    home_um = Run(out).dither().place_um[2]  # type: ignore[union-attr]
    followed_um = Run(out).landmark()["correction_um"][-1, 2]
    assert followed_um < -0.02
    again = Stops(1)
    with pytest.raises(_Enough):
        opticalnet.resume(out, observer=again)
    # The first visit of this session may already follow further.
    visits = Run(out).landmark()
    expected_um = home_um + visits["correction_um"][-1, 2]
    assert again.frames[0].focus_um == pytest.approx(expected_um, abs=0.005)
    record = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    assert record["focus_um"] == pytest.approx(home_um, abs=0.25)


def test_a_rehearsal_keeps_the_range_of_a_real_drive() -> None:
    real = load_instrument("lab-example").changed(
        focus=MicroManagerFocusConfig(
            kind="micromanager", library="PIZ", device="Z", range_um=(3.0, 17.0)
        )
    )
    assert simulated_like(real).focus == SimulatedFocusConfig(range_um=(3.0, 17.0))
    assert simulated_like(load_instrument("lab-example")).focus is None
