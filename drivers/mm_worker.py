"""The thread on which the calls of a Micro-Manager device run."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """A thread that runs one action after another and may be given up.

    The executors of the standard library are joined when the interpreter exits: for
    ever, where a device hangs.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, action: Callable[[], T]) -> Future[T]:
        """Queue an action; its result or exception appears in the future."""
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(action())
            except BaseException as error:  # belongs to whoever waits, not to this thread
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def end(self, *, join: bool) -> None:
        """End the thread after the last action."""
        self._jobs.put(None)
        if join:
            self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it holds an image
