"""The scan network: the frames of a whole scan to the square under each of its points.

A square is seen by about a hundred frames. So the scan itself is taken for an image: each
scan point carries what its frame shows, projected on some components, and a small
convolutional network looks at the points around. Points that are missing are channels of
zeros. Rows and columns are those of the scan.
"""

from typing import Final

import torch
from torch import nn

from configs.value import PositiveInt, Value

_POSITION_UNIT_UM: Final = 0.02
_LIGHT_UNIT_E: Final = 2000.0
_CONDITIONS: Final = 4
"""Channels beside the components: that the point is there, (x, y) off its square, light."""


class ScanArchitecture(Value):
    """Sizes of a scan network."""

    image_px: PositiveInt = 64
    """Side of a frame."""
    components: PositiveInt = 96
    """That frames are projected on."""
    width: PositiveInt = 128
    """Channels of a block."""
    blocks: PositiveInt = 6
    reach: PositiveInt = 3
    """Points to every side that a block looks at."""

    @property
    def channels(self) -> int:
        """What describes a point."""
        return self.components + _CONDITIONS

    @property
    def off_channels(self) -> slice:
        """Which of them say, (x, y), by how much the beam was off its square."""
        return slice(self.components + 1, self.components + 3)

    @property
    def delay(self) -> int:
        """Lines after which the answer for a line is final."""
        return self.blocks * self.reach


class _ChannelNorm(nn.LayerNorm):
    """Normalises the channels of (batch, channels, rows, columns)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """Looks around, then thinks: a depthwise convolution and two pointwise ones."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 2 * reach + 1, groups=width)
        self.norm = _ChannelNorm(width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.contract = nn.Conv2d(2 * width, width, 1)
        nn.init.zeros_(self.contract.weight)
        assert self.contract.bias is not None
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, width, rows, columns) to the rows that have all others around."""
        reach = self.look.kernel_size[0] // 2
        seen = self.look(nn.functional.pad(x, (reach, reach, 0, 0)))
        change: torch.Tensor = self.contract(nn.functional.gelu(self.expand(self.norm(seen))))
        return x[:, :, reach : x.shape[2] - reach] + change


class ScanNetwork(nn.Module):
    """Logits that the square under each scan point is open, and of its milled fraction."""

    def __init__(self, architecture: ScanArchitecture) -> None:
        super().__init__()
        self.architecture = size = architecture
        self.projection = nn.Linear(size.image_px**2, size.components)
        self.enter = nn.Conv2d(size.channels, size.width, 1)
        self.blocks = nn.ModuleList(_Block(size.width, size.reach) for _ in range(size.blocks))
        self.norm = _ChannelNorm(size.width)
        self.head = nn.Conv2d(size.width, 2, 1)

    def features(
        self, amplitude: torch.Tensor, off_um: torch.Tensor, open_peak_e: float | torch.Tensor
    ) -> torch.Tensor:
        """Describe valid points.

        Parameters
        ----------
        amplitude
            (n, y, x), of ``relative_amplitude``.
        off_um
            (n, 2), by how much (x, y) the beam was off its square, as far as the stage says;
            NaN where it does not.
        open_peak_e
            Photo-electrons at the brightest pixel of an all-open sample.

        Returns
        -------
        torch.Tensor
            (n, channels); of a missing point it would be zero.
        """
        projected = self.projection(amplitude.flatten(1))
        off = off_um.to(projected).nan_to_num(0.0) / _POSITION_UNIT_UM
        there = torch.ones_like(off[:, :1])
        light = torch.log10(there * open_peak_e / _LIGHT_UNIT_E)
        return torch.cat([projected, there, off, light], dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map a scan, (batch, channels, rows, columns), to logits, (batch, 2, rows, columns).

        The first of the two is of an open square, the second of its milled fraction.
        """
        reach = self.architecture.reach
        x = self.enter(features)
        for block in self.blocks:
            x = block(nn.functional.pad(x, (0, 0, reach, reach)))
        return self.answer(x)

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        """Turn what the last block says into logits."""
        logits: torch.Tensor = self.head(self.norm(x))
        return logits


def lay_out(features: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Lay what describes points, (points, channels), on their scan.

    Parameters
    ----------
    features
        Of all points; what is said of missing ones is ignored.
    valid
        (rows, columns), bool: points that are not missing.

    Returns
    -------
    torch.Tensor
        (channels, rows, columns), zero at missing points.
    """
    there = torch.where(valid.flatten()[:, None], features, 0.0)
    return there.reshape(*valid.shape, -1).movedim(-1, 0)


class ScanStream:
    """A scan network that takes a scan line by line.

    Every layer keeps the few lines that it looks at, so a line costs the same however long
    the scan is. As the lines of a scan are always computed one by one, the answers are the
    same bits whenever they come.
    """

    def __init__(self, network: ScanNetwork, columns: int) -> None:
        self._network = network
        size = network.architecture
        line = torch.zeros(1, size.width, 1, columns)
        self._nothing = line
        self._seen = [[line] * size.reach for _ in range(size.blocks)]

    def add(self, features: torch.Tensor) -> torch.Tensor | None:
        """Take the next line, (channels, columns).

        Returns
        -------
        torch.Tensor or None
            (2, columns), logits of the line ``delay`` lines before, once there is one.
        """
        seen = [*self._seen]
        answer = self._pass(self._network.enter(features[None, :, None]), 0, seen)
        self._seen = seen  # only now: what failed can be tried again
        return answer

    def finish(self) -> list[torch.Tensor]:
        """Return the logits, (2, columns) each, of all lines that are still due."""
        seen, reach = [*self._seen], self._network.architecture.reach
        due = [
            self._pass(self._nothing, first, seen)
            for first in range(len(seen))
            for _ in range(reach)
        ]
        return [answer for answer in due if answer is not None]

    def _pass(
        self, line: torch.Tensor, first: int, seen: list[list[torch.Tensor]]
    ) -> torch.Tensor | None:
        """Hand a line to one block, what it says to the next, and so on."""
        size = 2 * self._network.architecture.reach + 1
        device = self._network.head.weight.device  # may change between lines
        for number in range(first, len(seen)):
            lines = [each.to(device) for each in (*seen[number], line)]
            if len(lines) < size:
                seen[number] = lines
                return None
            seen[number] = lines[1:]
            line = self._network.blocks[number](torch.cat(lines, dim=2))
        return self._network.answer(line)[0, :, 0]
