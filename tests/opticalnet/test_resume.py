"""Going on with a run: whatever ended it, nothing is lost and nothing is taken for granted."""

import json
import random
import shutil
import signal
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import zarr
from command_bench import PATIENCE_S, Command, Start, save_mask, taken

import opticalnet
from acquisition.store import Run
from configs.errors import AcquisitionError, LimitError

ROWS = (
    *("##..##..", "##..##..", "..##..##", "..##..##"),
    *("#.#.#.#.", "........", "########", "#......#"),
)


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_mask(tmp_path_factory.mktemp("mask") / "mask.npy", *ROWS))


@pytest.fixture(scope="module")
def begun(mask: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of it that ended after 13 frames; copy it before changing anything."""
    run = tmp_path_factory.mktemp("begun") / "run.zarr"
    interrupted(mask, run, 13)
    return run


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    """A copy of that run, to go on with."""
    return Path(shutil.copytree(begun, tmp_path / "run.zarr"))


class Stops(opticalnet.Observer):
    """Says no more after so many frames, with an error of its own."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.there: list[int] = []
        self.taken: list[int] = []
        self.warnings: list[str] = []

    def begin(self, info, there) -> None:
        self.there = [frame.point.index for frame in there]

    def checked(self, checks) -> None:
        pass

    def frame(self, frame) -> None:
        self.taken.append(frame.point.index)
        self._left -= 1
        if self._left == 0:
            raise _Enough

    def landmark(self, visit) -> None:
        pass

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def paused(self, reason: str) -> bool:
        return False


class _Enough(Exception):
    pass


def interrupted(mask: str, run: Path, after: int, instrument: str = "simulated-still") -> None:
    with pytest.raises(_Enough):
        opticalnet.acquire(mask, out=run, instrument=instrument, observer=Stops(after))


def test_a_run_goes_on_and_is_what_it_would_have_been(
    mask: str, run: Path, tmp_path: Path
) -> None:
    opticalnet.acquire(mask, out=tmp_path / "whole.zarr", instrument="simulated-still")
    for after in (7, 30):
        again = Stops(after)
        with pytest.raises(_Enough):
            opticalnet.resume(run, observer=again)
        assert again.taken[0] == len(again.there)
    last = Stops(1000)
    result = opticalnet.resume(run, observer=last)
    assert (result.points, result.valid) == (100, 100)
    assert last.there == list(range(50))
    assert last.taken == list(range(50, 100))
    assert taken(run) == 100
    whole, parts = (zarr.open_group(one, mode="r") for one in (tmp_path / "whole.zarr", run))
    np.testing.assert_array_equal(parts["frames"][:], whole["frames"][:])


def test_a_whole_run_is_left_alone(mask: str, tmp_path: Path) -> None:
    opticalnet.acquire(mask, out=tmp_path / "run.zarr")
    journal = (tmp_path / "run.zarr" / "journal.jsonl").read_bytes()
    result = opticalnet.resume(tmp_path / "run.zarr")
    assert (result.points, result.valid) == (100, 100)
    assert (tmp_path / "run.zarr" / "journal.jsonl").read_bytes() == journal


def test_a_damaged_line_is_taken_again(mask: str, tmp_path: Path) -> None:
    run = tmp_path / "run.zarr"
    interrupted(mask, run, 45)
    chunk = run / "frames" / "c" / "2" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0xFF
    chunk.write_bytes(data)
    watcher = Stops(1000)
    result = opticalnet.resume(run, observer=watcher)
    assert result.valid == 100
    assert taken(run) == 100
    assert set(range(45, 100)) <= set(watcher.taken) <= {*range(20, 30), *range(45, 100)}
    assert any("are not those that were recorded" in message for message in watcher.warnings)


def test_a_sample_that_is_drawn_is_drawn_again(tmp_path: Path) -> None:
    text = "kind = 'grating'\nsquares = 8\nperiod_nm = 700\ncell_nm = 60\n"
    (tmp_path / "lines.toml").write_text(text)
    sample = str(tmp_path / "lines.toml")
    opticalnet.acquire(sample, out=tmp_path / "whole.zarr", instrument="simulated-still")
    interrupted(sample, tmp_path / "run.zarr", 33)
    opticalnet.resume(tmp_path / "run.zarr")
    whole, run = (zarr.open_group(tmp_path / n, mode="r") for n in ("whole.zarr", "run.zarr"))
    np.testing.assert_array_equal(run["frames"][:], whole["frames"][:])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"exposure_ms": 20.0}, "plan.exposure_ms: 10.0 there, 20.0 now"),
        ({"grid": 3}, "plan.grid: 7 there, 3 now"),
        ({"seed": 5}, "plan.seed: 0 there, 5 now"),
        ({"sample": "ss"}, "plan.columns: 10 there, 66 now"),
        ({"instrument": "simulated"}, "instrument.environment.vibration_nm: 0.0 there, 0.5"),
    ],
)
def test_another_plan_or_instrument_is_refused(
    run: Path, options: dict[str, object], told: str
) -> None:
    journal = (run / "journal.jsonl").read_bytes()
    with pytest.raises(AcquisitionError, match=told):
        opticalnet.resume(run, **options)
    assert (run / "journal.jsonl").read_bytes() == journal


def test_other_devices_are_refused(run: Path) -> None:
    metadata = json.loads((run / "zarr.json").read_text())
    devices = metadata["attributes"]["opticalnet"]["provenance"]["devices"]
    devices["stage"]["name"] = "E-727, 120040681"
    (run / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(AcquisitionError, match=r"device.stage: E-727, 120040681 there, simul"):
        opticalnet.resume(run)


def test_what_was_asked_for_before_may_be_asked_for_again(mask: str, run: Path) -> None:
    options = {"sample": mask, "grid": 7, "instrument": "simulated-still"}
    assert opticalnet.resume(run, **options).valid == 100


def test_the_log_tells_of_every_session(run: Path) -> None:
    opticalnet.resume(run)
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {tuple(event) for event in events} == {
        ("time", "level", "device", "point", "message")
    }
    messages = [event["message"] for event in events]
    for said in ("100 points, 0 there", "100 points, 13 there"):
        assert said in messages
    assert messages[-3].startswith("100 of 100 points valid, ")
    assert messages[-1].startswith("parked at (")
    assert messages.count("stage stopped, shutter closed") == 2
    assert any("ended by _Enough" in message for message in messages)


SLOWLY = """
import sys, time
import opticalnet

class Slow(opticalnet.Observer):
    def begin(self, info, there): pass
    def frame(self, frame): time.sleep(0.01)
    def landmark(self, visit): pass
    def warning(self, message): pass
    def paused(self, reason): return False

mask, run, had = sys.argv[1:]
if had == "0":
    opticalnet.acquire(mask, out=run, instrument="simulated-still", observer=Slow())
else:
    opticalnet.resume(run, observer=Slow())
"""
"""A scan that takes a second, so that it can be killed on the way."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_again_and_again_nothing_is_lost(
    mask: str, start: Start, tmp_path: Path
) -> None:
    opticalnet.acquire(mask, out=tmp_path / "whole.zarr", instrument="simulated-still")
    whole = zarr.open_group(tmp_path / "whole.zarr", mode="r")["frames"][:]
    run, chance, had = tmp_path / "run.zarr", random.Random(4), 0
    for _ in range(4):
        process = start(mask, run, had, command=(sys.executable, "-W", "error", "-c", SLOWLY))
        wanted = had + chance.randrange(8, 20)
        while process.poll() is None and acknowledged(run) < wanted:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE_S)
        had = taken(run)
        assert had >= min(wanted, 100), err
        np.testing.assert_array_equal(
            zarr.open_group(run, mode="r")["frames"][:had], whole[:had]
        )
    _, err = start("acquire", "--resume", run).communicate(timeout=PATIENCE_S)
    assert taken(run) == 100, err
    np.testing.assert_array_equal(zarr.open_group(run, mode="r")["frames"][:], whole)


BEFORE_ITS_FIRST_FRAME = """
import os, signal, sys
import opticalnet
from acquisition.observer import SilentObserver

class Kills(SilentObserver):
    def checked(self, checks):
        os.kill(os.getpid(), signal.SIGKILL)

opticalnet.acquire(sys.argv[1], out=sys.argv[2], instrument="simulated-still", observer=Kills())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_run_that_was_killed_before_its_first_frame_goes_on(
    mask: str, start: Start, command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run.zarr"
    process = start(mask, run, command=(sys.executable, "-c", BEFORE_ITS_FIRST_FRAME))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, err
    assert taken(run) == 0
    again = command("acquire", "--sample", mask, "--out", run)
    assert f"go on with --resume {run}, or choose another --out" in again.error
    assert command("acquire", "--resume", run).code == 0
    opticalnet.acquire(mask, out=tmp_path / "whole.zarr", instrument="simulated-still")
    whole, parts = (zarr.open_group(one, mode="r") for one in (tmp_path / "whole.zarr", run))
    assert taken(run) == 100
    np.testing.assert_array_equal(parts["frames"][:], whole["frames"][:])


def acknowledged(run: Path) -> int:
    """Points of a run that may not even be there yet."""
    try:
        return (run / "journal.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--resume", "nowhere.zarr"], "no run at nowhere.zarr"),
        (["--resume", "run.zarr", "--out", "b.zarr"], "--resume goes on in its run"),
        (["--resume", "run.zarr", "--dry-run"], "--resume goes on in its run"),
        (["--resume", "run.zarr", "--exposure-ms", "3"], "10.0 there, 3.0 now"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    run: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(run.parent)
    outcome = command("acquire", *arguments)
    assert outcome.code in {1, 2}
    assert told in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert Run(run).points().valid.sum() == 13


def test_limits_may_be_other_ones(mask: str, tmp_path: Path) -> None:
    run = tmp_path / "run.zarr"
    with pytest.raises(_Enough):
        opticalnet.acquire(mask, out=run, observer=Stops(20))
    preset = resources.files("configs").joinpath("presets/simulated.toml").read_text()
    (tmp_path / "dim.toml").write_text(preset + "\n[limits]\ndose_j_per_cm2 = 0.001\n")
    (tmp_path / "lit.toml").write_text(preset + "\n[limits]\ndose_j_per_cm2 = 100.0\n")
    with pytest.raises(LimitError, match="nothing moved: dose"):
        opticalnet.resume(run, instrument=str(tmp_path / "dim.toml"))
    assert opticalnet.resume(run, instrument=str(tmp_path / "lit.toml")).valid == 100
