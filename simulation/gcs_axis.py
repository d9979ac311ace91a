"""One axis of the simulated GCS controller."""

import numpy as np

from configs.instrument import SimulatedStageConfig
from simulation.piezo import PiezoAxis


class GcsAxis:
    """Mechanics and servo of one axis.

    Parameters
    ----------
    mechanics
        Settling, slew and noise.
    travel_um
        Where the axis may be sent.
    reach_um
        Where the ceramic gets to.
    random
        Fixes the noise.
    """

    def __init__(
        self,
        mechanics: SimulatedStageConfig,
        travel_um: tuple[float, float],
        reach_um: tuple[float, float],
        random: np.random.Generator,
    ) -> None:
        self.travel_um = travel_um
        self.servo = False
        self.piezo = PiezoAxis(
            settling_ms=mechanics.settling_ms,
            slew_um_per_s=mechanics.slew_um_per_s,
            noise_nm=mechanics.noise_nm,
            reach_um=reach_um,
            start_um=min(max(sum(travel_um) / 2, reach_um[0]), reach_um[1]),
            random=random,
        )

    def on_target(self, now_s: float) -> bool:
        """Inside the window for the settling time, under servo."""
        return self.servo and now_s >= self.piezo.settled_s()

    def overflow(self, now_s: float) -> bool:
        """Whether the closed loop asks for more than the ceramic has."""
        return self.servo and self.piezo.saturated(now_s)

    def set_servo(self, on: bool, now_s: float) -> None:
        """Close the loop where the axis is, or leave its voltage as it is."""
        if on != self.servo:
            self.piezo.hold(now_s)
            self.piezo.stop(now_s)
            self.servo = on
