"""What serial lines do to replies, on purpose and with a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

_MOST_GARBAGE: Final = 8


@dataclass(slots=True, kw_only=True)
class LineFaults:
    """Probabilities, per reply, of the ways in which a line goes wrong.

    A reply is what a device sends back for one piece of input, also where that held
    several queries.

    Attributes
    ----------
    split
        Every byte goes out by itself.
    coalesce
        The reply is held back and goes out together with the next one.
    drop
        The reply is lost.
    garbage
        Bytes that no controller sends stand somewhere in the reply.
    stale
        The reply before this one comes once more, first.
    nul
        A zero byte comes first.
    delay, delay_s
        The reply waits ``delay_s`` seconds on the wall; every byte of it does, where split.
    seed
        Fixes which replies it hits.
    """

    split: float = 0.0
    coalesce: float = 0.0
    drop: float = 0.0
    garbage: float = 0.0
    stale: float = 0.0
    nul: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.0
    seed: int = 0
    _random: np.random.Generator = field(init=False, repr=False)
    _previous: bytes = field(default=b"", init=False, repr=False)
    _held: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def pieces(self, reply: bytes) -> Iterator[tuple[float, bytes]]:
        """Yield what goes out for a reply: (seconds to wait before it, bytes), in order."""
        previous, self._previous = self._previous, reply
        if self._hit(self.drop):
            return
        if self._hit(self.garbage):
            place = int(self._random.integers(len(reply)))
            noise = self._random.integers(0x80, 0xA0, self._random.integers(1, _MOST_GARBAGE))
            reply = reply[:place] + noise.astype(np.uint8).tobytes() + reply[place:]
        if self._hit(self.stale):
            reply = previous + reply
        if self._hit(self.nul):
            reply = b"\0" + reply
        reply, self._held = self._held + reply, b""
        if self._hit(self.coalesce):
            self._held = reply
            return
        wait_s = self.delay_s if self._hit(self.delay) else 0.0
        size = 1 if self._hit(self.split) else len(reply)
        for start in range(0, len(reply), size):
            yield wait_s, reply[start : start + size]

    def _hit(self, probability: float) -> bool:
        return bool(self._random.random() < probability)
