"""Who simulates the lines of a data set: threads here, or a cluster elsewhere."""

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from configs.errors import ConfigError
from simulation.datasets.lines import Images, LineSimulator
from simulation.datasets.scan import ScanLine
from simulation.threads import one_thread

Results = Generator[tuple[ScanLine, Images], None, None]


class Workers(Protocol):
    """Whoever turns lines into images."""

    def run(self, simulator: LineSimulator, lines: Iterable[ScanLine]) -> Results:
        """Yield every line with its images, (points, y, x), in any order.

        Lines are drawn only as they are needed; close the generator to stop early.
        """
        ...


class LocalWorkers:
    """Threads of this process; torch computes outside Python's lock.

    Parameters
    ----------
    count
        Threads, each of which keeps one core busy; ``None`` takes one per core.
    """

    def __init__(self, count: int | None = None) -> None:
        if count is not None and count < 1:
            raise ConfigError(f"workers: expected 1 or more, got {count}")
        self._count = count or _cores()

    def run(self, simulator: LineSimulator, lines: Iterable[ScanLine]) -> Results:
        """Yield every line with its images, (points, y, x), in any order."""
        in_flight: dict[Future[Images], ScanLine] = {}
        with one_thread(), ThreadPoolExecutor(self._count, "simulate") as pool:
            try:
                for line in lines:
                    in_flight[pool.submit(simulator.frames, line)] = line
                    if len(in_flight) > 2 * self._count:
                        yield from _finished(in_flight)
                while in_flight:
                    yield from _finished(in_flight)
            finally:
                for future in in_flight:
                    future.cancel()


def _finished(
    in_flight: dict[Future[Images], ScanLine],
) -> Iterator[tuple[ScanLine, Images]]:
    done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
    for future in done:
        yield in_flight.pop(future), future.result()


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
