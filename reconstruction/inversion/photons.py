"""What the camera measured in a part of a scan, as photo-electrons."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch

from acquisition.frame import FrameLine
from configs.instrument import Sensor

RESPONSE_SPREAD: Final = 0.01
"""Relative standard deviation of the pixels' response, where no map of it is known."""
_LEAST_E: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Photons:
    """The valid frames of a rectangle of scan points.

    Attributes
    ----------
    rows, columns
        (n,), scan points of the frames.
    off_um
        (n, 2), by how much (x, y) the beam was off the middle of its square, as far as the
        stage says, else zero.
    electrons
        (n, pixels), photo-electrons; noise takes some below zero.
    added_e2
        Variance that the sensor adds to that of the light.
    place_spread_um
        Standard deviation, along an axis, of where the beam was from where the stage says;
        zero: it was there.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    off_um: torch.Tensor
    electrons: torch.Tensor
    added_e2: float
    place_spread_um: float = 0.0

    @classmethod
    def of(cls, lines: Iterable[FrameLine], sensor: Sensor, device: torch.device) -> Self:
        """Take what was measured in some scan lines, one at least."""
        rows, columns, off_um, electrons = [], [], [], []
        for line in lines:
            adu = torch.from_numpy(line.images.astype(np.float32)).flatten(1)
            rows.append(torch.full((len(adu),), line.row))
            columns.append(torch.from_numpy(line.columns))
            off_um.append(torch.from_numpy(np.nan_to_num(line.off_um)).float())
            electrons.append(sensor.electrons(adu))
        return cls(
            rows=torch.cat(rows).to(device),
            columns=torch.cat(columns).to(device),
            off_um=torch.cat(off_um).to(device),
            electrons=torch.cat(electrons).to(device),
            added_e2=sensor.added_variance_e2,
        )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.rows)

    def weight(self, expected_e: torch.Tensor) -> torch.Tensor:
        """Inverse variance of electrons, where so many are expected, of any shape."""
        return 1 / (expected_e + self.added_e2)

    def deviance(self, expected_e: torch.Tensor, frames: slice) -> torch.Tensor:
        """Negative logarithm of the likelihood, up to what is the same whatever is expected.

        With the sensor's variance added, electrons are nearly Poisson numbers of that
        much more. Source: Huang et al., Nature Methods 10, 653 (2013).
        """
        expected = expected_e + self.added_e2
        seen = self.electrons[frames] + self.added_e2
        # Noise takes dark pixels below zero; to cut it off there would make them brighter.
        least = torch.where(seen > _LEAST_E, seen, self.added_e2)
        return expected - seen + seen * torch.log(least / expected)

    def chi_squared(self, expected_e: torch.Tensor) -> torch.Tensor:
        """Return squared differences over their variance, (n, pixels), per degree of freedom.

        Every pixel has the response that suits what is expected, (n, pixels), best.
        """
        weight = self.weight(expected_e)
        weighted = weight * expected_e
        told = (weighted * expected_e).sum(0)
        slack = told + RESPONSE_SPREAD**-2
        response = 1 + (weighted * (self.electrons - expected_e)).sum(0) / slack
        left = self.electrons - expected_e * response
        freedom = 1 - told / slack / len(self)
        return left.square() * weight / freedom
