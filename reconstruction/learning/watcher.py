"""Whoever wants to know how a training goes."""

from typing import Self

Row = dict[str, float]
"""An epoch of the log: epoch, loss, learning_rate, seconds, and the scores."""


class Watcher:
    """Is told how a training goes; this one keeps it to itself. A context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Hear something that people should know."""

    def begin(self, done: int, epochs: int, steps: int) -> None:
        """Hear how many epochs are done, of how many, with how many steps each."""

    def step(self, step: int, loss: float) -> None:
        """Hear how many steps of the epoch are done, and its mean loss so far."""

    def epoch(self, row: Row) -> None:
        """Hear what became of an epoch, once it is kept."""
