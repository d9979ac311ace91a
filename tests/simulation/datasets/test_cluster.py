"""Sets made by a real Dask cluster: a scheduler and workers, each a process of its own."""

import os
import re
import socket
import subprocess
import sys
import threading

import pytest
import tomli_w
from dataset_bench import BLOCK, BRIGHT, PARTS, arrays, bench, contents, make, small_plan

import opticalnet
from configs.errors import ConfigError, RunStoreError
from simulation.datasets.cluster import Cluster
from simulation.datasets.maker import make_dataset

dask = pytest.importorskip("dask", reason="needs the extra [cluster]")
pytest.importorskip("distributed", reason="needs the extra [cluster]")

# 44 lines, with light enough that a last bit of it would show.
PLAN = small_plan(
    instrument=bench(BRIGHT),
    parts=[{**BLOCK, "sample": {"kind": "block", "squares": 30}}, PARTS[1]],
)
WITHOUT_OPTICALNET = """
from importlib.metadata import Distribution, PackageNotFoundError

def without(cls, name, find=Distribution.from_name.__func__):
    if name == "opticalnet":
        raise PackageNotFoundError(name)
    return find(cls, name)

Distribution.from_name = classmethod(without)
"""


class Bench:
    """Starts Dask processes, and ends them."""

    def __init__(self, folder):
        self._folder = folder
        self._started = []
        self._commands = []

    def start(self, what, *arguments, ready, **variables):
        """Start a process and return it, with what it said when it was ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            env=os.environ | {"OMP_NUM_THREADS": "2"} | variables,
        )
        assert process.stderr is not None
        self._started.append((process, threading.Thread(target=process.stderr.read)))
        for line in process.stderr:
            if found := re.search(ready, line):
                self._started[-1][1].start()
                return process, found.group(0)
        raise AssertionError(f"dask {what} ended before it was ready")

    def scheduler(self):
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        return self.start("scheduler", *options, ready=r"tcp://127.0.0.1:\d+")

    def worker(self, address, **variables):
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
        return self.start("worker", address, *options, ready=r"Registered to", **variables)[0]

    def command(self, *arguments, folder):
        process = subprocess.Popen(
            [sys.executable, "-c", "from opticalnet.cli import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self._commands.append(process)
        return process

    def end(self):
        for process in self._commands:
            process.kill()
            process.communicate()
        for process, listener in reversed(self._started):
            process.kill()
            process.wait()
            if listener.ident is not None:
                listener.join()
            process.stderr.close()


@pytest.fixture(scope="module")
def bench_of_processes(tmp_path_factory):
    started = Bench(tmp_path_factory.mktemp("dask"))
    yield started
    started.end()


@pytest.fixture
def scheduler(bench_of_processes):
    """Address of a scheduler without workers."""
    process, address = bench_of_processes.scheduler()
    yield address
    process.kill()


def refused(out, address, said):
    with pytest.raises(ConfigError) as raised, Cluster(address) as cluster:
        make(PLAN, out, cluster)
    for part in (address, *said):
        assert part in str(raised.value)
    assert not out.parent.exists()


def test_a_worker_dies_and_the_set_is_the_same(bench_of_processes, scheduler, tmp_path):
    workers = [bench_of_processes.worker(scheduler) for _ in range(2)]
    killed = []

    def kill(what, done, frames):
        if done > frames / 3 and not killed:
            workers[0].kill()
            killed.append(workers[0].wait())

    toml = tomli_w.dumps(PLAN.model_dump(mode="json", exclude_none=True))
    (tmp_path / "plan.toml").write_text(toml)
    opticalnet.simulate(
        str(tmp_path / "plan.toml"),
        out=tmp_path / "cluster.zarr",
        scheduler=scheduler,
        progress=kill,
    )
    assert killed
    local = make(PLAN, tmp_path / "local.zarr")
    ours, theirs = arrays(local), arrays(tmp_path / "cluster.zarr")
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.tobytes() == theirs[name].tobytes(), name
    assert contents(local) == contents(tmp_path / "cluster.zarr")


def test_a_scheduler_that_dies_leaves_nothing(bench_of_processes, tmp_path):
    process, address = bench_of_processes.scheduler()
    bench_of_processes.worker(address)

    def kill(done, frames):
        process.kill()

    out = tmp_path / "sub" / "set.zarr"
    quick = {"distributed.comm.timeouts.connect": "1s"}
    with dask.config.set(quick), Cluster(address) as cluster:  # noqa: SIM117
        with pytest.raises(RunStoreError, match="lost the cluster"):
            make_dataset(PLAN, out, cluster, kill)
    assert not list(tmp_path.iterdir())


def test_the_command_says_in_one_line_that_the_scheduler_died(bench_of_processes, tmp_path):
    process, address = bench_of_processes.scheduler()
    bench_of_processes.worker(address)
    toml = tomli_w.dumps(PLAN.model_dump(mode="json", exclude_none=True))
    (tmp_path / "plan.toml").write_text(toml)
    command = bench_of_processes.command(
        *("simulate", "--preset", "plan.toml", "--scheduler", address), folder=tmp_path
    )
    assert "frames" in command.stdout.readline()
    process.kill()
    _, said = command.communicate()
    assert command.returncode == 1
    assert said.startswith(f"error: scheduler {address}: lost the cluster: ")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_workers_that_vanish_for_good_leave_nothing(bench_of_processes, scheduler, tmp_path):
    workers = [bench_of_processes.worker(scheduler) for _ in range(2)]

    def kill(done, frames):
        for worker in workers:
            worker.kill()

    with Cluster(scheduler, without_workers_s=1.0) as cluster:  # noqa: SIM117
        with pytest.raises(RunStoreError, match="expected workers, got none for 1 s"):
            make_dataset(PLAN, tmp_path / "sub" / "set.zarr", cluster, kill)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_comes_late_takes_over(bench_of_processes, scheduler, tmp_path):
    workers = [bench_of_processes.worker(scheduler)]

    def replace(done, frames):
        if len(workers) == 1:
            workers[0].kill()
            workers[0].wait()
            workers.append(bench_of_processes.worker(scheduler))

    with Cluster(scheduler) as cluster:
        make_dataset(PLAN, tmp_path / "cluster.zarr", cluster, replace)
    local = make(PLAN, tmp_path / "local.zarr")
    assert contents(local) == contents(tmp_path / "cluster.zarr")


def test_workers_with_another_version(bench_of_processes, scheduler, tmp_path):
    info = tmp_path / "other" / "opticalnet-9.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: opticalnet\nVersion: 9.9.9\n")
    bench_of_processes.worker(scheduler, PYTHONPATH=str(info.parent))
    refused(tmp_path / "sub" / "set.zarr", scheduler, ["expected opticalnet", "got 9.9.9 on"])


def test_workers_without_opticalnet(bench_of_processes, scheduler, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_OPTICALNET)
    bench_of_processes.worker(scheduler, PYTHONPATH=str(tmp_path))
    refused(tmp_path / "sub" / "set.zarr", scheduler, ["got none on tcp://127", "install it"])


def test_no_workers(scheduler, tmp_path):
    refused(tmp_path / "sub" / "set.zarr", scheduler, ["expected workers, got none"])


def test_a_worker_is_no_scheduler(bench_of_processes, scheduler, tmp_path):
    _, address = bench_of_processes.start(
        *("worker", scheduler, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"),
        ready=r"tcp://127.0.0.1:\d+",
    )
    refused(tmp_path / "sub" / "set.zarr", address, ["expected a Dask scheduler", "a Worker"])


@pytest.mark.parametrize("address", ["here", "tcp://here", "http://127.0.0.1:80", "tcp://x:y"])
def test_what_is_no_address(tmp_path, address):
    refused(tmp_path / "sub" / "set.zarr", address, ["expected a Dask scheduler at"])


def test_nobody_there(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    refused(tmp_path / "sub" / "set.zarr", address, ["expected a Dask scheduler at", "refused"])


def test_somebody_else_there(tmp_path):
    def answer():
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        refused(tmp_path / "sub" / "set.zarr", address, ["expected a Dask scheduler at"])
        thread.join()
