"""Frames in, mosaic out: the same object offline and live."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import nn

from acquisition.frame import FrameLine
from acquisition.store import RunInfo
from configs.errors import ReconstructionError
from reconstruction.amplitude import relative_amplitude
from reconstruction.frame_network import centre
from reconstruction.memory import Memory, Warn, warn_in_python
from reconstruction.mosaic import Mosaic
from reconstruction.scan_map import ScanMap
from reconstruction.scan_network import ScanNetwork, ScanStream
from reconstruction.square_map import SquareMap


class Predictor(Protocol):
    """Whoever turns frames into a map."""

    @property
    def squares(self) -> SquareMap:
        """What is known so far."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network computes; the CPU once other memory did not suffice."""
        ...

    def consume(self, line: FrameLine) -> None:
        """Take the valid frames of one scan line.

        Lines may come in any order; the same lines give the same bits.
        """
        ...

    def finish(self) -> None:
        """Learn that no more lines will come."""
        ...


class FramePredictor:
    """Looks at one frame at a time, and stitches.

    Parameters
    ----------
    info
        Of the run.
    network
        From relative amplitudes, (n, y, x), to logits, (n, squares, squares).
    grid
        Side of the target: the middle of them.
    device
        Where it computes.
    pooled
        Whether frames count by what they know; else all alike.
    warn
        Told where memory is too small.

    Attributes
    ----------
    squares
        The stitched map so far.
    frame_probability
        (scan, grid, grid), what each frame says; NaN where there was none.
    """

    def __init__(
        self,
        info: RunInfo,
        network: nn.Module,
        grid: int,
        device: torch.device,
        *,
        pooled: bool = False,
        warn: Warn = warn_in_python,
    ) -> None:
        self.squares = Mosaic(info.plan, grid, pooled=pooled)
        self.frame_probability = np.full((len(info.plan), grid, grid), np.nan, np.float32)
        self._network = network
        self._memory = Memory(network, device, warn)
        self._light = _Light(info)
        self._columns = info.plan.columns

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self._memory.device

    @torch.inference_mode()
    def consume(self, line: FrameLine) -> None:
        """Take valid frames of one scan line; others of it may come later.

        In other parts, the same frames give the same map but for rounding.
        """
        line = line.merged()
        if len(line.columns) == 0:
            return
        logits = self._memory.run(lambda n: self._logits(line, n), len(line.columns))
        probability = centre(logits, self.squares.grid).sigmoid().numpy()
        indices = line.row * self._columns + line.columns
        self.frame_probability[indices] = probability
        self.squares.add(indices, probability)

    def finish(self) -> None:
        """Learn that no more lines will come: nothing was waiting for them."""

    def _logits(self, line: FrameLine, at_once: int) -> torch.Tensor:
        """Ask the network, (n, squares, squares), about so many frames at once."""
        parts = self._light.amplitudes(line, at_once, self.device)
        return torch.cat([self._network(part).cpu() for part in parts])


class ScanPredictor:
    """Looks at a scan line by line; a line is final when the ones that see it are there.

    Attributes
    ----------
    squares
        The map so far.
    """

    def __init__(
        self,
        info: RunInfo,
        network: ScanNetwork,
        device: torch.device,
        *,
        warn: Warn = warn_in_python,
    ) -> None:
        self.squares = ScanMap(info.plan)
        self._network = network
        self._memory = Memory(network, device, warn)
        self._light = _Light(info)
        self._plan = info.plan
        self._lines: dict[int, torch.Tensor] = {}
        self._begin()

    def _begin(self) -> None:
        """Show the network a scan from its first line on."""
        self._stream = ScanStream(self._network, self._plan.columns)
        self._entered = self._answered = 0
        self._is_outdated = False

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self._memory.device

    @torch.inference_mode()
    def consume(self, line: FrameLine) -> None:
        """Take valid frames of one scan line; those before it may come later.

        What comes later of a line that was there tells in the end, when all lines are looked
        at anew.
        """
        line = line.merged()
        self.squares.see(line)
        features = self._memory.run(lambda n: self._features(line, n), len(line.columns))
        if line.row in self._lines:
            self._lines[line.row][:, line.columns] = features[:, line.columns]
            self._is_outdated |= line.row < self._entered
        else:
            self._lines[line.row] = features
        while self._entered in self._lines:
            self._enter(self._lines[self._entered])

    @torch.inference_mode()
    def finish(self) -> None:
        """Learn that no more lines will come, and answer for those that are there."""
        if self._is_outdated:
            self._begin()
        nothing = self._no_features()
        while self._entered < self._plan.rows:
            self._enter(self._lines.get(self._entered, nothing))
        for answer in self._memory.run(lambda _: self._stream.finish(), 1):
            self._answer(answer)

    def _enter(self, features: torch.Tensor) -> None:
        self._entered += 1
        answer = self._memory.run(lambda _: self._stream.add(features.to(self.device)), 1)
        if answer is not None:
            self._answer(answer)

    def _answer(self, logits: torch.Tensor) -> None:
        self.squares.set_line(self._answered, logits.sigmoid().cpu().numpy())
        self._answered += 1

    def _no_features(self) -> torch.Tensor:
        return torch.zeros(self._network.architecture.channels, self._plan.columns)

    def _features(self, line: FrameLine, at_once: int) -> torch.Tensor:
        """Describe a line, (channels, columns) on the CPU, so many frames at once."""
        features = self._no_features()
        if len(line.columns):
            amplitudes = self._light.amplitudes(line, at_once, self.device)
            off_um = torch.split(torch.from_numpy(line.off_um).to(self.device), at_once)
            valid = [
                self._network.features(amplitude, off, self._light.open_peak_e).cpu()
                for amplitude, off in zip(amplitudes, off_um, strict=True)
            ]
            features[:, torch.from_numpy(line.columns)] = torch.cat(valid).T
        return features


class _Light:
    """What a camera's numbers mean."""

    def __init__(self, info: RunInfo) -> None:
        self.open_peak_e = info.open_peak_e
        self._sensor = info.instrument.camera.sensor

    def amplitudes(
        self, line: FrameLine, at_once: int, device: torch.device
    ) -> Iterator[torch.Tensor]:
        """Amplitudes of a line's frames, (n, y, x) each of so many at most, on a device."""
        adu = torch.from_numpy(line.images.astype(np.float32))
        for part in torch.split(adu, at_once):
            yield relative_amplitude(part.to(device), self._sensor, self.open_peak_e)


def choose_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu`` or ``cuda``; ``auto`` takes a GPU if any."""
    if name not in {"auto", "cpu", "cuda"}:
        raise ReconstructionError(f"device: expected auto, cpu or cuda, got {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ReconstructionError(
            "device: expected a CUDA GPU, torch sees none; use --device cpu or install a"
            " CUDA build of torch"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
