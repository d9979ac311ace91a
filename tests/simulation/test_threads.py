"""Torch on a single thread, in one thread of the process and in several."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch

from simulation.threads import one_thread, settle


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    """Torch as it is on a machine with three cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_blocks_within_blocks() -> None:
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_a_block_that_another_thread_outlasts() -> None:
    entered, leave = Event(), Event()

    def outlast() -> int:
        with one_thread():
            entered.set()
            leave.wait()
            return torch.get_num_threads()

    with ThreadPoolExecutor(1) as other:
        outlasting = other.submit(outlast)
        entered.wait()
        with one_thread():
            pass
        settle()  # too early: the other would compute with more
        assert torch.get_num_threads() == 1
        leave.set()
        assert outlasting.result() == 1
        settle()
        assert torch.get_num_threads() == 3
        assert other.submit(torch.get_num_threads).result() == 3
