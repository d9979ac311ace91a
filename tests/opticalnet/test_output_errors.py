"""Places that take no run, and disks that take no more."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from command_bench import (
    PATIENCE_S,
    Command,
    Start,
    check_refused,
    contents,
    save_mask,
    taken,
)

import opticalnet
from acquisition.frame import Frame
from acquisition.observer import SilentObserver
from acquisition.store import Run

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")


pytestmark = pytest.mark.usefixtures("devices_are_closed")


@pytest.mark.parametrize("what", ["run", "folder", "file"])
def test_an_existing_output(
    command: Command, tmp_path: Path, mask: Path, run_copy: Path, what: str
) -> None:
    out = {"run": run_copy, "folder": tmp_path / "folder", "file": tmp_path / "file"}[what]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    remedy = "choose another --out or remove it"
    if what == "run":
        remedy = f"go on with --resume {out}, or choose another --out"
    for rehearsal in ([], ["--dry-run"]):
        outcome = command("acquire", "--sample", mask, "--out", out, *rehearsal)
        assert f"{out} exists already; {remedy}" in outcome.error
        assert contents(tmp_path) == before


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A place where nothing can be made, also not by root."""
    if sys.platform == "win32" or os.geteuid() == 0:
        (folder / "file").touch()
        yield folder / "file"
    else:
        folder.chmod(0o500)
        try:
            yield folder
        finally:
            folder.chmod(0o700)


def test_a_read_only_place(command: Command, place: Path, mask: Path) -> None:
    with read_only(place) as where:
        before = contents(place)
        outcome = command("acquire", "--sample", mask, "--out", where / "run.zarr")
        assert f"cannot create run {where / 'run.zarr'}" in outcome.error
        assert "choose another --out" in outcome.error
        assert contents(place) == before


def test_a_name_too_long(command: Command, place: Path, mask: Path) -> None:
    out = f"{'x' * 300}.zarr"
    said = "run.zarr"[3:], "choose another --out"
    check_refused(command, place, ["acquire", "--sample", mask, "--out", out], *said)


@ON_LINUX
def test_a_full_disk(command: Command, place: Path, mask: Path) -> None:
    arguments = ["acquire", "--sample", mask, "--out", "/proc/run.zarr"]
    said = "disk too small for /proc/run.zarr", "expected 55 MB free", "got 0 MB", "make room"
    check_refused(command, place, arguments, *said)


def test_a_disk_too_small_for_the_scan(command: Command, place: Path) -> None:
    side = round((1.2 * shutil.disk_usage(place).free / (2 * 64 * 64)) ** 0.5)
    if side > 6000:
        pytest.skip("the disk takes any scan that this test can afford")
    np.save(place / "mask.npy", np.zeros((side, side), bool))
    (place / "own.toml").write_text(
        "name = 'own'\n[travel]\nx_um = [0.0, 2000.0]\ny_um = [0.0, 2000.0]\n"
    )
    arguments = ["acquire", "--sample", "mask.npy", "--instrument", "own.toml"]
    said = "disk too small for run.zarr", "MB free", "make room"
    check_refused(command, place, arguments, *said)


@ON_POSIX
def test_a_disk_that_refuses_the_journal(start: Start, tmp_path: Path) -> None:
    # Of all files of this scan only the journal grows beyond the limit.
    tall = save_mask(tmp_path / "tall.npy", *("#." * 60))
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000));"
        "from opticalnet.cli import main; main()"
    )
    process = start(
        *("acquire", "--sample", tall, "--out", "run.zarr"),
        command=(sys.executable, "-W", "error", "-c", limited),
    )
    assert process.stdout is not None
    while "the scan goes on by itself then" not in (said := process.stdout.readline()):
        assert said, "the scan ended before it said so"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    (line,) = err.splitlines()
    assert line.startswith("error: cannot write to run.zarr: ")
    assert "everything acknowledged is safe: make room" in line
    points = taken(tmp_path / "run.zarr")
    assert 200 <= points < 122 * 3
    result = opticalnet.reconstruct(tmp_path / "run.zarr")
    assert (result.squares.count.sum(axis=1) > 0).sum() == points // 3 + 2


class _FillsTheDisk(SilentObserver):
    """Lets the disk be full from the third line of an 8 x 8 scan on, until it is told so."""

    def __init__(self, limits: tuple[int, int]) -> None:
        self._limits = limits
        self.told: list[str] = []

    def frame(self, frame: Frame) -> None:
        import resource

        if frame.point.index == 17:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, self._limits[1]))

    def warning(self, message: str) -> None:
        import resource

        self.told.append(message)
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


@ON_POSIX
def test_a_disk_that_refuses_pixels_is_waited_for(mask: Path, tmp_path: Path) -> None:
    import resource

    limits, out = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "run.zarr"
    watcher = _FillsTheDisk(limits)
    try:
        result = opticalnet.acquire(str(mask), out=out, observer=watcher)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.valid == taken(out) == 64
    first, last = watcher.told
    assert first.startswith(f"cannot write to {out}: ")
    assert first.endswith("make room; the scan goes on by itself then")
    assert last == "the disk takes frames again"


def test_a_result_that_cannot_be_written(command: Command, run_copy: Path) -> None:
    (run_copy / "reconstruction").write_text("in the way")
    before = contents(run_copy.parent)
    error = command("reconstruct", run_copy).error
    assert f"cannot write {run_copy}" in error
    assert contents(run_copy.parent) == before


def test_a_picture_that_cannot_be_written(command: Command, run_copy: Path) -> None:
    picture = run_copy.with_name("run.network.png")
    picture.mkdir()
    outcome = command("reconstruct", run_copy)
    assert f"cannot write {picture}" in outcome.error
    assert Run(run_copy).points().valid.all()
    assert (run_copy / "reconstruction" / "network" / "probability").is_dir()
