"""A new run: all of it or nothing, whatever kills its process, and one of many that ask."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Barrier

import pytest

from acquisition.creation import create_run
from acquisition.store import Run
from acquisition.writer import RunWriter
from configs.errors import RunStoreError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

CREATION = """
import os, signal, sys
from pathlib import Path
from acquisition.creation import create_run
from acquisition.store import RunInfo

info = RunInfo.model_validate_json(sys.stdin.read())
name, first, step, run = sys.argv[1:]
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}

def create(run, left):
    def look(event, arguments):
        nonlocal left
        if event in STEPS and str(run.parent) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), getattr(signal, name))

    sys.addaudithook(look)
    create_run(run, info)

for instant in range(int(first), 1000, int(step)):
    pid = os.fork()
    if not pid:
        create(Path(run.format(instant)), instant)
        os._exit(0)
    while status := os.waitpid(pid, os.WUNTRACED)[1]:
        print("now", flush=True)
        if not os.WIFSTOPPED(status):
            break
    else:
        break
"""
"""Creates runs, in a process each that gets a signal at some step on the disk; says so then.

A first run at the first step, the next some steps later, until one is created.
"""


@contextmanager
def creation(info, *arguments):
    """Start it with pipes, and leave nothing of it."""
    with subprocess.Popen(
        [sys.executable, "-c", CREATION, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            process.stdin.write(info.model_dump_json())
            process.stdin.close()
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@needs_posix
def test_a_creation_that_is_killed_leaves_a_run_or_none(tmp_path, info):
    with creation(info, "SIGKILL", 1, 5, tmp_path / "{}" / "run.zarr") as process:
        kills = process.stdout.read().count("now")
        assert process.wait() == 0
    runs = [tmp_path / str(instant) / "run.zarr" for instant in range(1, 5 * kills, 5)]
    there = [run for run in runs if run.exists()]
    assert kills > 20
    assert 0 < len(there) < 0.2 * kills, "it is there from the renaming on"
    for run in runs:
        if run not in there:
            create_run(run, info)
            assert list(run.parent.iterdir()) == [run]
        with RunWriter(Run(run)) as writer:
            assert writer.info == info
            assert not writer.points.taken.any()
        with pytest.raises(RunStoreError, match=r"exists already; go on with --resume \S+run"):
            create_run(run, info)


@needs_posix
def test_a_run_that_another_process_creates_is_left_to_it(tmp_path, info, monkeypatch):
    monkeypatch.setattr("acquisition.creation._LONGEST_WAIT_S", 0.0)
    run = tmp_path / "run.zarr"
    with creation(info, "SIGSTOP", 30, 1, run) as process:
        assert process.stdout.readline() == "now\n"
        with pytest.raises(RunStoreError, match="another process is creating a run at"):
            create_run(run, info)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.wait() == 0
    assert Run(run).info == info
    assert list(tmp_path.iterdir()) == [run]


def test_of_many_that_create_a_run_one_does(tmp_path, info):
    ready = Barrier(4)

    def create(_):
        ready.wait()
        try:
            create_run(tmp_path / "run.zarr", info)
        except RunStoreError as error:
            return str(error)
        return "created"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(create, range(4)))
    assert outcomes.count("created") == 1
    assert sum("run.zarr exists already" in said for said in outcomes) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["run.zarr"]
    assert Run(tmp_path / "run.zarr").info == info


def test_a_run_that_fails_before_its_first_frame_leaves_nothing(tmp_path, info):
    with pytest.raises(KeyboardInterrupt), RunWriter.create(tmp_path / "run.zarr", info):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
