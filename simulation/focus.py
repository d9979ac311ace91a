"""A simulated closed-loop piezo that moves the sample along the beam."""

from typing import Final

import numpy as np

from configs.errors import DeviceError, DeviceTimeout
from configs.instrument import SimulatedFocusConfig
from drivers.protocols import Clock, Identity, check_focus
from simulation.piezo import ON_TARGET_DWELL_S, ON_TARGET_WINDOW_UM, PiezoAxis

_IDENTITY: Final = Identity(name="simulated focus piezo", origin="simulated")


class SimulatedFocus:
    """A ``Focus`` of one ``PiezoAxis``; it starts at the middle of its range.

    There the sample has the nominal defocus, and a rising position takes it away from the
    camera.

    Parameters
    ----------
    config
        Range, settling, slew and noise.
    clock
        Moves are a function of its time; waiting sleeps on it.
    random
        Draws the noise.
    """

    def __init__(
        self, config: SimulatedFocusConfig, clock: Clock, random: np.random.Generator
    ) -> None:
        self._limits_um = config.range_um
        self._clock = clock
        self._open = True
        self._start_um = sum(config.range_um) / 2
        self._axis = PiezoAxis(
            settling_ms=config.settling_ms,
            slew_um_per_s=config.slew_um_per_s,
            noise_nm=config.noise_nm,
            reach_um=config.range_um,
            start_um=self._start_um,
            random=random,
        )

    @property
    def limits_um(self) -> tuple[float, float]:
        """Where the drive may go, (lowest, highest)."""
        return self._limits_um

    @property
    def identity(self) -> Identity:
        """Simulated, and says so."""
        return _IDENTITY

    def move_to(self, z_um: float) -> None:
        """Start a move; ``LimitError`` outside the limits, and then nothing moves."""
        self._check_open()
        check_focus(self._limits_um, z_um)
        self._axis.command(z_um, self._clock.now())

    def wait_settled(self, timeout_s: float) -> None:
        """Let time pass until the drive has been on target for the dwell.

        Raises
        ------
        DeviceTimeout
            After ``timeout_s``, if that comes first.
        """
        self._check_open()
        missing_s = self._axis.settled_s() - self._clock.now()
        self._clock.sleep(min(missing_s, timeout_s))
        if missing_s > timeout_s:
            raise DeviceTimeout(
                f"simulated focus: expected to be within {ON_TARGET_WINDOW_UM * 1000:g} nm of"
                f" the target for {ON_TARGET_DWELL_S * 1000:g} ms within {timeout_s:g} s,"
                f" got a move that takes {missing_s:.3g} s; raise the timeout or the slew rate"
            )

    def position(self) -> float:
        """Position that the sensor reads: the mechanics and noise."""
        self._check_open()
        return self._axis.measured_um(self._clock.now())

    def stop(self) -> None:
        """Halt any motion; the drive stays usable."""
        self._check_open()
        self._axis.stop(self._clock.now())

    def close(self) -> None:
        """Halt, and refuse every later call."""
        if self._open:
            self.stop()
            self._open = False

    def defocus_um(self) -> float:
        """By how much it adds to the defocus now: for the world, which needs no driver."""
        return self._axis.actual_um(self._clock.now()) - self._start_um

    def _check_open(self) -> None:
        if not self._open:
            raise DeviceError(
                "simulated focus: expected an open drive, got one that was closed;"
                " open the instrument again"
            )
