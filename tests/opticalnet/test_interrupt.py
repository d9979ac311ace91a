"""Ctrl-C: the scan ends, devices are closed, and the run has every point up to there."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_bench import PATIENCE_S, Open, Start, nobody_left, taken

import opticalnet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def wait_for(text: str, process: "subprocess.Popen[str]") -> None:
    """Return once a scan that is under way says something."""
    assert process.stdout is not None
    while text not in (line := process.stdout.readline()):
        assert line, "the scan ended before it said so"


def test_ctrl_c_in_a_terminal(terminal: Open, tmp_path: Path) -> None:
    window = terminal("acquire", "--sample", "ss", "--out", "run.zarr")
    while not re.search(r"points +\d", window.text):
        assert window.read()
    window.process.send_signal(signal.SIGINT)
    assert window.finish() == 130, window.text
    assert nobody_left(window.process)
    (shown,) = re.findall(r"points +([\d,]+) of 4,356", window.text)
    assert 0 < int(shown.replace(",", "")) == taken(tmp_path / "run.zarr") < 66 * 66
    assert window.text.rstrip().splitlines()[-1] == (
        "error: stopped; every point up to there is in run.zarr:"
        " opticalnet acquire --resume run.zarr goes on"
    )
    assert not window.screen.cursor.hidden
    assert "Traceback" not in window.output.decode(
        errors="replace"
    )  # Ctrl-C may tear a character


BROKEN_MAP = (
    "from torch.nn import functional; functional.gelu = None;"
    "from opticalnet.cli import main; main()"
)
"""The command where torch lets every network down."""


def test_a_map_that_fails_does_not_hide_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = start(
        *("acquire", "--sample", "ss", "--out", "run.zarr"),
        command=(sys.executable, "-W", "error", "-c", BROKEN_MAP),
    )
    wait_for("the live map failed", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert err == (
        "error: stopped; every point up to there is in run.zarr:"
        " opticalnet acquire --resume run.zarr goes on\n"
    )
    assert "the live map failed" not in out, "it was told before"
    assert 0 < taken(tmp_path / "run.zarr") < 66 * 66


def test_an_impatient_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = start("acquire", "--sample", "ss", "--out", "run.zarr")
    wait_for("points, ", process)
    while_it_grows = taken(tmp_path / "run.zarr")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err == (
        "error: stopped; every point up to there is in run.zarr:"
        " opticalnet acquire --resume run.zarr goes on\n"
    )
    assert nobody_left(process)
    assert 0 < while_it_grows <= taken(tmp_path / "run.zarr") < 66 * 66
    squares = opticalnet.reconstruct(tmp_path / "run.zarr").squares
    assert squares.count[0].all()
    assert not squares.count[-1].any()


def wait_for_exposure(process: "subprocess.Popen[str]") -> None:
    """Return once an exposure is under way, as the stacks that SIGUSR1 dumps show."""
    assert process.stderr is not None
    deadline_s = time.monotonic() + PATIENCE_S
    stacks = b""
    while b" in expose\n" not in stacks:
        assert time.monotonic() < deadline_s, stacks.decode()
        process.send_signal(signal.SIGUSR1)
        # A dump asked for while another is being written does not come.
        while select.select([process.stderr], [], [], 0.05)[0]:
            data = os.read(process.stderr.fileno(), 65536)
            assert data, "the scan ended before any exposure"
            stacks += data


def stopped_while_reading(start: Start, run: Path, *arguments: str) -> tuple[str, str]:
    """Stop a command in the middle of the journal of a run, and return what it said."""
    # A pipe in place of the journal holds its reader until the other end is closed.
    (run / "journal.jsonl").unlink()
    os.mkfifo(run / "journal.jsonl")
    process = start(*arguments)
    with (run / "journal.jsonl").open("wb", buffering=0) as pipe:
        pipe.write(b" " * (1 << 18))  # more than fits: afterwards the reader is reading
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert nobody_left(process)
    return out, err


def test_ctrl_c_before_a_run_goes_on(start: Start, run_copy: Path) -> None:
    _, err = stopped_while_reading(start, run_copy, "acquire", "--resume", "run.zarr")
    assert err == (
        "error: stopped before a new point: opticalnet acquire --resume run.zarr goes on\n"
    )


def test_ctrl_c_while_a_run_is_read(start: Start, run_copy: Path) -> None:
    out, err = stopped_while_reading(start, run_copy, "reconstruct", "run.zarr")
    assert out == ""
    assert err == "error: stopped; the frames of run.zarr are as they were\n"
    assert [path.name for path in run_copy.parent.iterdir()] == ["run.zarr"]
    assert not (run_copy / "reconstruction").exists()


def test_a_second_ctrl_c_ends_an_endless_exposure(start: Start, tmp_path: Path) -> None:
    # A serial stage lives by the clock on the wall, so this exposure does last.
    (tmp_path / "slow.toml").write_text(
        "name = 'slow'\n[stage]\nkind = 'gcs'\nport = 'simulated'\n"
    )
    watched = (
        "import faulthandler, signal; faulthandler.register(signal.SIGUSR1);"
        "from opticalnet.cli import main; main()"
    )
    process = start(
        *("acquire", "--instrument", "slow.toml", "--exposure-ms", 1e7, "--out", "run.zarr"),
        command=(sys.executable, "-W", "error", "-c", watched),
    )
    assert process.stdout is not None
    assert "SIMULATED INSTRUMENT" in process.stdout.readline()
    wait_for_exposure(process)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the exposure
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "error: stopped before the first point: nothing to reconstruct"
    )
    assert "KeyboardInterrupt" not in err
    assert nobody_left(process)
    assert [path.name for path in tmp_path.iterdir()] == ["slow.toml"]
