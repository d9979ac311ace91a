"""Lines simulated on a Dask cluster that is there already.

Lines bring all that their frames depend on but the light and the camera, which every
worker computes once. A line that is lost with its worker is simulated again elsewhere,
to the same bits. Nothing is written anywhere but by whoever takes the results.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import import_module, metadata
from itertools import islice
from typing import Any, Final, Self
from urllib.parse import urlsplit

from configs.dataset import DatasetPlan
from configs.errors import ConfigError, RunStoreError
from simulation.datasets.lines import SOFTWARE, Images, LineSimulator
from simulation.datasets.scan import ScanLine
from simulation.datasets.workers import Results

_CONNECT_S: Final = 10
_RETRIES: Final = 3
_LINES_PER_THREAD: Final = 3

Software = tuple[tuple[str, str], ...]
"""Packages and their versions."""


class Cluster:
    """The workers of a Dask scheduler; use it as a context manager.

    Parameters
    ----------
    address
        Such as ``tcp://host:8786``.

    Raises
    ------
    ConfigError
        If dask.distributed is not installed, nothing answers at the address, or a worker
        has other software than this process.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = _connect(address)
        try:
            self._check_software()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def run(self, simulator: LineSimulator, lines: Iterable[ScanLine]) -> Results:
        """Yield every line with its images, (points, y, x), in any order."""
        task = partial(simulate_line, simulator.plan.model_dump_json(), _software())
        waiting = iter(lines)
        in_flight: dict[str, ScanLine] = {}
        completed = _distributed().as_completed(loop=self._client.loop)
        most = _LINES_PER_THREAD * sum(self._client.nthreads().values())
        while True:
            for line in islice(waiting, most - len(in_flight)):
                with self._loss_explained():
                    future = self._client.submit(task, line, pure=False, retries=_RETRIES)
                in_flight[future.key] = line
                completed.add(future)
            if not in_flight:
                return
            with self._loss_explained():
                future = next(completed)
                images = future.result()
            yield in_flight.pop(future.key), images

    def _check_software(self) -> None:
        """Compare what frames depend on, with functions that every worker has."""
        for package, expected in _software():
            answers = self._client.run(metadata.version, package, on_error="return")
            if not answers:
                raise ConfigError(
                    f"scheduler {self._address}: expected workers, got none; start some with"
                    f" dask worker {self._address}"
                )
            for worker, version in answers.items():
                if version != expected:
                    got = version if isinstance(version, str) else "none"
                    raise ConfigError(
                        f"scheduler {self._address}: expected {package} {expected} on every"
                        f" worker, got {got} on {worker}; install it there"
                    )

    @contextmanager
    def _loss_explained(self) -> Iterator[None]:
        dask = _distributed()
        try:
            yield
        except (OSError, dask.CancelledError, dask.KilledWorker) as error:
            raise RunStoreError(
                f"scheduler {self._address}: lost the cluster: {error}; nothing was kept:"
                " simulate again"
            ) from error


def simulate_line(plan: str, software: Software, line: ScanLine) -> Images:
    """Simulate a line of a plan, given as JSON, on a worker."""
    return _simulator(plan, software).frames(line)


@lru_cache(maxsize=1)
def _simulator(plan: str, software: Software) -> LineSimulator:
    if software != _software():  # a worker that came after the others were asked
        raise ConfigError(f"cluster: expected {software} on every worker, got {_software()}")
    return LineSimulator(DatasetPlan.model_validate_json(plan))


def _software() -> Software:
    return tuple((package, metadata.version(package)) for package in SOFTWARE)


def _distributed() -> Any:
    """Return the library, of which most is not typed."""
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "scheduler: expected dask.distributed, it is not installed; install opticalnet with"
            " its extra [cluster]"
        ) from error


def _connect(address: str) -> Any:
    dask = _distributed()
    try:
        # Ask first: a client that meets something else would wait for ever. In a thread,
        # because notebooks have an event loop of their own in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _find_scheduler(address)).result()
        return dask.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, MemoryError) as error:
        reason = str(error) or f"no answer within {_CONNECT_S} s"
        raise ConfigError(
            f"scheduler: expected a Dask scheduler at {address}, got: {reason}; start one"
            " there, or leave --scheduler out"
        ) from error


async def _find_scheduler(address: str) -> None:
    dask, parts = _distributed(), urlsplit(address)
    if parts.scheme not in {"tcp", "tls"} or not parts.hostname or not parts.port:
        raise ValueError("an address is tcp://HOST:PORT")
    async with asyncio.timeout(_CONNECT_S):
        socket.create_connection((parts.hostname, parts.port), _CONNECT_S).close()
        secret = dask.Security().get_connection_args("client")
        async with dask.rpc(address, connection_args=secret) as remote:
            identity = await remote.identity()
    if identity.get("type") != "Scheduler":
        raise ValueError(f"a {identity.get('type')}")
