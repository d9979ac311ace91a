"""What became of hostile inputs."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_SLOWEST_S: Final = 1.0
"""CPU time for one input; more is a hang."""
_SHOWN: Final = 5


class WrongValue(Exception):
    """A parser took what it should refuse, refused what it should take, or misread it."""


@dataclass
class Tally:
    """What became of some inputs; accepted where nothing of one was refused."""

    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    wrong: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    found: list[str] = field(default_factory=list)

    def note(self, check: Callable[[], bool], made: object) -> None:
        """Count what becomes of one input."""
        began_s = time.thread_time()
        try:
            accepted = check()
            self.accepted += accepted
            self.refused += not accepted
        except WrongValue as wrong:
            self.wrong += 1
            self._keep(f"wrong value: {wrong}", made)
        except Exception:
            self.crashes += 1
            self._keep(traceback.format_exc(), made)
        taken_s = time.thread_time() - began_s
        self.slowest_s = max(self.slowest_s, taken_s)
        if taken_s > _SLOWEST_S:
            self._keep(f"took {taken_s:.1f} s", made)

    def _keep(self, what: str, made: object) -> None:
        if len(self.found) < _SHOWN:
            self.found.append(f"{what}\n  of {repr(made)[:2000]}")


def demand(condition: bool, why: str) -> None:
    """Raise ``WrongValue`` unless something holds."""
    if not condition:
        raise WrongValue(why)
