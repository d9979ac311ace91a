"""A scan that is watched and acted on, with a camera that says how warm it is."""

from acquisition.observer import SilentObserver
from simulation.instant import PositionCamera


class Notes(SilentObserver):
    """Keeps what a scan says, and does something at some frame."""

    def __init__(self, at=None, action=None):
        self.warnings, self.pauses, self.checks, self.count = [], [], [], 0
        self._at, self._action = at, action

    def checked(self, checks):
        self.checks = checks

    def frame(self, frame):
        self.count += 1
        if self.count == self._at:
            self._action()

    def warning(self, message):
        self.warnings.append(message)

    def paused(self, reason):
        self.pauses.append(reason)
        return False


class WarmCamera(PositionCamera):
    """Takes its time, and says how warm it is."""

    def __init__(self, stage, clock):
        super().__init__(stage)
        self._clock, self.degrees_c = clock, iter(())
        self.now_c = 20.0

    def snap(self, timeout_s):
        self._clock.sleep(0.01)
        return super().snap(timeout_s)

    def temperature_c(self):
        self.now_c = next(self.degrees_c, self.now_c)
        return self.now_c
