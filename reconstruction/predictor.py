"""Frames in, mosaic out: the same object offline and live."""

from typing import Protocol

import numpy as np
import torch

from acquisition.frame import FrameLine
from acquisition.store import RunInfo
from configs.errors import ReconstructionError
from reconstruction.amplitude import relative_amplitude
from reconstruction.frame_network import FrameNetwork, centre
from reconstruction.mosaic import Mosaic
from reconstruction.scan_map import ScanMap, SquareMap
from reconstruction.scan_network import ScanNetwork, ScanStream


class Predictor(Protocol):
    """Whoever turns frames into a map."""

    @property
    def mosaic(self) -> SquareMap:
        """What is known so far."""
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

    Attributes
    ----------
    mosaic
        The stitched map so far.
    frame_probability
        (scan, grid, grid), what each frame says; NaN where there was none.
    """

    def __init__(
        self,
        info: RunInfo,
        network: FrameNetwork,
        grid: int,
        device: torch.device,
        *,
        pooled: bool = False,
    ) -> None:
        self.mosaic = Mosaic(info.plan, grid, pooled=pooled)
        self.frame_probability = np.full((len(info.plan), grid, grid), np.nan, np.float32)
        self._network = network
        self._light = _Light(info, device)
        self._columns = info.plan.columns

    def consume(self, line: FrameLine) -> None:
        """Take the valid frames of one scan line."""
        if len(line.columns) == 0:
            return
        with torch.inference_mode():
            logits = self._network(self._light.amplitude(line))
            probability = centre(logits, self.mosaic.grid).sigmoid().cpu().numpy()
        indices = line.row * self._columns + line.columns
        self.frame_probability[indices] = probability
        self.mosaic.add(indices, probability)

    def finish(self) -> None:
        """Learn that no more lines will come: nothing was waiting for them."""


class ScanPredictor:
    """Looks at a scan line by line; a line is final when the ones that see it are there.

    Attributes
    ----------
    mosaic
        The map so far.
    """

    def __init__(self, info: RunInfo, network: ScanNetwork, device: torch.device) -> None:
        self.mosaic = ScanMap(info.plan)
        self._network = network
        self._light = _Light(info, device)
        self._plan = info.plan
        self._stream = ScanStream(network, info.plan.columns)
        self._waiting: dict[int, torch.Tensor] = {}
        self._entered = self._answered = 0

    @torch.inference_mode()
    def consume(self, line: FrameLine) -> None:
        """Take the valid frames of one scan line; those before it may come later."""
        self.mosaic.see(line)
        self._waiting[line.row] = self._features(line)
        while self._entered in self._waiting:
            self._enter(self._waiting.pop(self._entered))

    @torch.inference_mode()
    def finish(self) -> None:
        """Learn that no more lines will come, and answer for those that are there."""
        nothing = self._no_features()
        while self._entered < self._plan.rows:
            self._enter(self._waiting.pop(self._entered, nothing))
        for answer in self._stream.finish():
            self._answer(answer)

    def _enter(self, features: torch.Tensor) -> None:
        self._entered += 1
        answer = self._stream.add(features)
        if answer is not None:
            self._answer(answer)

    def _answer(self, logits: torch.Tensor) -> None:
        self.mosaic.set_line(self._answered, logits.sigmoid().cpu().numpy())
        self._answered += 1

    def _no_features(self) -> torch.Tensor:
        channels = self._network.enter.in_channels
        return torch.zeros(channels, self._plan.columns, device=self._light.device)

    def _features(self, line: FrameLine) -> torch.Tensor:
        """Describe a line, (channels, columns)."""
        features = self._no_features()
        if len(line.columns):
            off_um = torch.from_numpy(line.off_um).to(self._light.device)
            amplitude = self._light.amplitude(line)
            valid = self._network.features(amplitude, off_um, self._light.open_peak_e)
            features[:, torch.from_numpy(line.columns)] = valid.T
        return features


class _Light:
    """What a camera's numbers mean, on a device."""

    def __init__(self, info: RunInfo, device: torch.device) -> None:
        camera = info.instrument.camera
        self.device = device
        self.open_peak_e = camera.open_peak_e_per_ms * info.plan.exposure_ms
        self._sensor = camera.sensor

    def amplitude(self, line: FrameLine) -> torch.Tensor:
        """Amplitudes of a line's frames, (n, y, x)."""
        adu = torch.from_numpy(line.images.astype(np.float32)).to(self.device)
        return relative_amplitude(adu, self._sensor, self.open_peak_e)


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
