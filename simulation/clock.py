"""A clock that only moves when somebody waits."""


class VirtualClock:
    """Simulated time: a scan of minutes passes in the seconds it takes to compute."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Advance at once."""
        self._now += max(seconds, 0.0)
