"""How long things take."""

import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def sorted_seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """Return how long some work takes in each of some rounds, after one to warm up."""
    work()
    return sorted(seconds(work) for _ in range(rounds))
