"""Chance that repeats: what goes wrong, when, and how often it has."""

import threading
import time
from collections import Counter
from typing import Final

import numpy as np

from configs.errors import DeviceTimeout
from configs.faults import Faults
from drivers.protocols import Clock
from simulation.streams import Stream, numpy_stream

_LONGEST_HANG_S: Final = 600.0
"""Beyond every deadline of a scan; a watchdog acts long before."""


class Fate:
    """Decides what goes wrong, and counts it.

    Every fault has random numbers of its own, which follow from the seed and its name: what
    happens to one device does not depend on how often, or when, another one was asked.

    Parameters
    ----------
    faults
        Probabilities, and the seed.
    clock
        Latency is time on it.

    Attributes
    ----------
    counts
        How often each fault has happened.
    hangs
        What hung, and from when on, on the clock of ``time.monotonic``.
    """

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self.faults, self.clock = faults, clock
        self.counts: Counter[str] = Counter()
        self.hangs: list[tuple[str, float]] = []
        self._streams: dict[str, np.random.Generator] = {}
        self._let_go = threading.Event()

    def random(self, name: str) -> np.random.Generator:
        """Return the random numbers of a fault."""
        if name not in self._streams:
            self._streams[name] = numpy_stream(self.faults.seed, Stream.FAULTS, *name.encode())
        return self._streams[name]

    def hits(self, name: str, probability: float) -> bool:
        """Say whether a fault happens now."""
        hit = bool(self.random(name).random() < probability)
        if hit:
            self.counts[name] += 1
        return hit

    def delay(self, device: str) -> None:
        """Let a call take longer."""
        if self.faults.latency_s:
            late_s = self.random(f"{device} latency").exponential(self.faults.latency_s)
            self.clock.sleep(late_s)

    def hang(self, name: str, probability: float) -> None:
        """Do not return, now and then, in real time, until something is told to stop."""
        if not self.hits(name, probability):
            return
        self._let_go.clear()
        self.hangs.append((name, time.monotonic()))
        self._let_go.wait(_LONGEST_HANG_S)
        raise DeviceTimeout(f"{name}: let go of, as rehearsed")

    def let_go(self) -> None:
        """End a call that hangs, whichever device it is in."""
        self._let_go.set()
