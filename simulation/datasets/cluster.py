"""Lines simulated on a Dask cluster that is there already.

Lines bring all that their frames depend on but the light and the camera, which every
worker computes once. A line that is lost with its worker is simulated again elsewhere,
to the same bits. Nothing is written anywhere but by whoever takes the results.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from importlib import import_module, metadata
from itertools import islice
from time import monotonic
from typing import Any, Final, Self
from urllib.parse import urlsplit

from configs.dataset import DatasetPlan
from configs.errors import ConfigError, RunStoreError
from simulation.datasets.lines import SOFTWARE, Images, LineSimulator
from simulation.datasets.scan import ScanLine
from simulation.datasets.workers import Results

_CONNECT_S: Final = 10
_WITHOUT_WORKERS_S: Final = 60.0
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
    without_workers_s
        How long lines wait for a worker to come when the last one has gone.

    Raises
    ------
    ConfigError
        If dask.distributed is not installed, nothing answers at the address, or a worker
        has other software than this process.
    """

    def __init__(self, address: str, without_workers_s: float = _WITHOUT_WORKERS_S) -> None:
        self._address = address
        self._without_workers_s = without_workers_s
        with ExitStack() as stack:
            stack.enter_context(_silent_dask())
            self._client = _connect(address)
            stack.callback(self._client.close)
            self._check_software()
            self._end = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def run(self, simulator: LineSimulator, lines: Iterable[ScanLine]) -> Results:
        """Yield every line with its images, (points, y, x), in any order.

        Raises
        ------
        RunStoreError
            If the scheduler goes, or all workers do and none comes in time.
        """
        task = partial(simulate_line, simulator.plan.model_dump_json(), _software())
        waiting = iter(lines)
        in_flight: dict[str, ScanLine] = {}
        completed = _distributed().as_completed(loop=self._client.loop)
        most = _LINES_PER_THREAD * max(1, sum(self._client.nthreads().values()))
        while True:
            for line in islice(waiting, most - len(in_flight)):
                with self._loss_explained():
                    future = self._client.submit(task, line, pure=False, retries=_RETRIES)
                in_flight[future.key] = line
                completed.add(future)
            if not in_flight:
                return
            with self._loss_explained():
                key, images = self._client.sync(self._next, completed)
            yield in_flight.pop(key), images

    async def _next(self, completed: Any) -> tuple[str, Images]:
        """Wait for a line as long as there is a worker, or one may come."""
        line = asyncio.ensure_future(self._gather(completed))
        line.add_done_callback(_take_error)
        last_seen_s = monotonic()
        while not line.done():
            await asyncio.wait({line}, timeout=self._without_workers_s / 10)
            if line.done() or await self._client.nthreads():
                last_seen_s = monotonic()
            elif monotonic() > last_seen_s + self._without_workers_s:
                raise RunStoreError(
                    f"scheduler {self._address}: expected workers, got none for"
                    f" {self._without_workers_s:g} s; nothing was kept: start some and"
                    " simulate again"
                )
        return line.result()

    async def _gather(self, completed: Any) -> tuple[str, Images]:
        future = await anext(completed)
        return future.key, await self._client.gather(future, asynchronous=True)

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
        losses = (dask.CancelledError, dask.KilledWorker, dask.client.ClosedClientError)
        try:
            yield
        except (OSError, *losses) as error:
            raise RunStoreError(
                f"scheduler {self._address}: lost the cluster:"
                f" {getattr(error, 'reason', error)}; nothing was kept: simulate again"
            ) from error


def _take_error(line: asyncio.Future[tuple[str, Images]]) -> None:
    """Keep asyncio from complaining that nobody waited until the client was closed."""
    if not line.cancelled():
        line.exception()


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


@contextmanager
def _silent_dask() -> Iterator[None]:
    """Keep Dask from logging what is explained here; its client has a level of its own."""
    _distributed()  # sets its levels when it is imported
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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
