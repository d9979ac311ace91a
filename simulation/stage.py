"""A simulated closed-loop piezo stage with two axes."""

from typing import Final

import numpy as np

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import SimulatedStageConfig, Travel
from drivers.protocols import Clock, Identity, check_travel
from simulation.piezo import ON_TARGET_DWELL_S, ON_TARGET_WINDOW_UM, PiezoAxis

_IDENTITY: Final = Identity(name="simulated piezo stage", origin="simulated")


class SimulatedStage:
    """An ``XYStage`` of two ``PiezoAxis``; it starts at the centre of its travel.

    Parameters
    ----------
    config
        Settling, slew and noise of both axes.
    travel
        Where the stage may go, which is also as far as it reaches.
    clock
        Moves are a function of its time; waiting sleeps on it.
    seed
        Fixes the noise.
    """

    def __init__(
        self, config: SimulatedStageConfig, travel: Travel, clock: Clock, seed: int
    ) -> None:
        self._travel = travel
        self._clock = clock
        self._open = True
        x_random, y_random = np.random.default_rng(seed).spawn(2)
        self._x = _axis(config, travel.x_um, x_random)
        self._y = _axis(config, travel.y_um, y_random)

    @property
    def limits(self) -> Travel:
        """Where the stage may go."""
        return self._travel

    @property
    def identity(self) -> Identity:
        """Simulated, and says so."""
        return _IDENTITY

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        self._check_open()
        check_travel(self._travel, x_um, y_um)
        now_s = self._clock.now()
        self._x.command(x_um, now_s)
        self._y.command(y_um, now_s)

    def wait_settled(self, timeout_s: float) -> None:
        """Let time pass until both axes have been on target for the dwell.

        Raises
        ------
        DeviceTimeout
            After ``timeout_s``, if that comes first.
        """
        self._check_open()
        missing_s = max(self._x.settled_s(), self._y.settled_s()) - self._clock.now()
        self._clock.sleep(min(missing_s, timeout_s))
        if missing_s > timeout_s:
            raise DeviceTimeout(
                f"simulated stage: expected to be within {ON_TARGET_WINDOW_UM * 1000:g} nm of"
                f" the target for {ON_TARGET_DWELL_S * 1000:g} ms within {timeout_s:g} s,"
                f" got a move that takes {missing_s:.3g} s; raise the timeout or the slew rate"
            )

    def position(self) -> tuple[float, float]:
        """Position that the sensors read, (x, y): the mechanics and noise."""
        self._check_open()
        now_s = self._clock.now()
        return self._x.measured_um(now_s), self._y.measured_um(now_s)

    def stop(self) -> None:
        """Halt any motion; the stage stays usable."""
        self._check_open()
        now_s = self._clock.now()
        self._x.stop(now_s)
        self._y.stop(now_s)

    def close(self) -> None:
        """Halt, and refuse every later call."""
        if self._open:
            self.stop()
            self._open = False

    def true_position_um(self) -> tuple[float, float]:
        """Where the mechanics are now, (x, y): for the world, which no driver may ask."""
        now_s = self._clock.now()
        return self._x.actual_um(now_s), self._y.actual_um(now_s)

    def _check_open(self) -> None:
        if not self._open:
            raise DeviceError(
                "simulated stage: expected an open stage, got one that was closed;"
                " open the instrument again"
            )


def _axis(
    config: SimulatedStageConfig, travel_um: tuple[float, float], random: np.random.Generator
) -> PiezoAxis:
    return PiezoAxis(
        settling_ms=config.settling_ms,
        slew_um_per_s=config.slew_um_per_s,
        noise_nm=config.noise_nm,
        reach_um=travel_um,
        start_um=sum(travel_um) / 2,
        random=random,
    )
