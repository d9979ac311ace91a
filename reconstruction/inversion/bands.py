"""Inversion of a scan band by band, as its lines come."""

from collections import deque
from typing import Final

import torch

from acquisition.frame import FrameLine
from acquisition.store import RunInfo
from reconstruction.inversion.inversion_map import InversionMap
from reconstruction.inversion.inverter import Inverter, first_map
from reconstruction.inversion.tiles import tiles
from reconstruction.memory import Warn, warn_in_python

_MOST_LINES: Final = 17
"""Of a band: a quarter of the usual scan, with twice as many frames as it decides squares."""


class BandPredictor:
    """Inverts the lines that are there, from nothing, as soon as all that see a band are.

    Parameters
    ----------
    info
        Of the run.
    device
        Where it computes.
    warn
        Told when it goes on on the CPU.

    Attributes
    ----------
    squares
        The map so far. The band that a square belongs to is inverted once, with the frames
        around it; what it says is final.
    bands_done
        How many are inverted.
    """

    def __init__(
        self,
        info: RunInfo,
        device: torch.device,
        *,
        warn: Warn = warn_in_python,
    ) -> None:
        self.squares = InversionMap(info.plan, info.instrument.optics.image_px)
        self._inverter = Inverter(info, device, warn=warn)
        self._bands = deque(tiles(info.plan, self._inverter.around, _MOST_LINES))
        self.bands_done = 0
        self._lines: dict[int, FrameLine] = {}
        self._start = first_map(info.plan, None)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._inverter.device

    def consume(self, line: FrameLine) -> None:
        """Take the valid frames of one scan line; those before it may come later."""
        self._lines[line.row] = line
        while self._bands and self._lines.keys() >= set(self._bands[0].seen_rows):
            self._invert_next()

    def finish(self) -> None:
        """Learn that no more lines will come, and invert what is there."""
        while self._bands:
            self._invert_next()

    def _invert_next(self) -> None:
        band = self._bands.popleft()
        there = (self._lines[row] for row in band.seen_rows if row in self._lines)
        lines = [line.within(band.seen_columns) for line in there]
        found = self._inverter.invert(band, lines, self._start)
        self.bands_done += 1
        if found is not None:
            self.squares.put(band, found)
        if self._bands:
            first = self._bands[0].seen_rows.start
            self._lines = {row: line for row, line in self._lines.items() if row >= first}
