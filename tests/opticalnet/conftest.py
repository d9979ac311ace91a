"""The command as users run it: in this process, in one of its own, or in a terminal."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("command_bench")

from command_bench import (  # noqa: E402
    COMMAND,
    TERMINAL_VARIABLES,
    Command,
    Open,
    Outcome,
    Start,
    Terminal,
    device_threads,
    environment,
    save_mask,
    serial_ends,
)

import opticalnet  # noqa: E402
from opticalnet.cli import main  # noqa: E402


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""
    for variable in TERMINAL_VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["opticalnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        code = leaving.value.code
        assert code is None or isinstance(code, int)
        return Outcome(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the command line in a process, and a session, of its own; pipes, no terminal."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, command: tuple[str, ...] = COMMAND) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=environment(),
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Start the command line in a real terminal."""
    pytest.importorskip("termios", reason="needs POSIX terminals")
    opened: list[Terminal] = []

    def run(*arguments: object, columns: int = 110, lines: int = 40) -> Terminal:
        opened.append(Terminal([*map(str, arguments)], tmp_path, columns, lines))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def devices_are_closed() -> Iterator[None]:
    """Whatever fails, no thread of a device and no end of a serial line stays open."""
    before = device_threads(), serial_ends()
    yield
    assert (device_threads(), serial_ends()) == before


@pytest.fixture(scope="session")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 6 x 6 mask, scanned in 8 x 8 points."""
    path = tmp_path_factory.mktemp("mask") / "mask.npy"
    return save_mask(path, "......", ".####.", ".#....", ".###..", ".#....", "......")


@pytest.fixture(scope="session")
def finished_run(mask: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of that mask; copy it before changing anything."""
    path = tmp_path_factory.mktemp("finished") / "run.zarr"
    opticalnet.acquire(str(mask), out=path)
    return path


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to damage."""
    return Path(shutil.copytree(finished_run, tmp_path / "run.zarr"))
