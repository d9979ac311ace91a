"""One order of summation: torch on a single thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch


class _Nesting:
    """How many blocks want a single thread now, and what torch had before them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.before = 0


_NESTING: Final = _Nesting()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread meanwhile, so that the same sums give the same bits.

    The number is that of the process: blocks in several threads may overlap, and the
    last to end restores it. A thread whose block ended earlier keeps one until ``settle``.
    """
    with _NESTING.lock:
        if _NESTING.depth == 0:
            _NESTING.before = torch.get_num_threads()
        _NESTING.depth += 1
    try:
        # In every thread that computes: OpenMP keeps the number per thread.
        torch.set_num_threads(1)
        yield
    finally:
        with _NESTING.lock:
            _NESTING.depth -= 1
            if _NESTING.depth == 0:
                torch.set_num_threads(_NESTING.before)


def settle() -> None:
    """Give this thread, whose blocks another has outlasted, what torch had before them.

    For whoever has waited for the other thread.
    """
    with _NESTING.lock:
        if _NESTING.depth == 0:
            torch.set_num_threads(_NESTING.before)
