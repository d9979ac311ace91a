"""Frames in, mosaic out: the same object offline and live."""

import hashlib
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.store import RunInfo
from configs.errors import ReconstructionError
from reconstruction.mosaic import Mosaic
from reconstruction.network import FrameNetwork, load_network, relative_amplitude, weights_path


class Predictor(Protocol):
    """Whoever turns frames into a map."""

    mosaic: Mosaic

    def consume(self, indices: NDArray[np.int64], images: NDArray[np.uint16]) -> None:
        """Take the valid frames of one scan line, (batch, y, x), with their scan indices.

        Lines may come in any order; the same lines give the same bits.
        """
        ...


class FramePredictor:
    """Looks at one frame at a time.

    Attributes
    ----------
    mosaic
        The stitched map so far.
    frame_probability
        (scan, grid, grid), what each frame says; NaN where there was none.
    weights_sha256
        Which weights it says so with, in hexadecimal.
    """

    def __init__(
        self,
        info: RunInfo,
        network: FrameNetwork,
        device: torch.device,
        weights_sha256: str = "",
    ) -> None:
        grid = network.architecture.grid
        camera = info.instrument.camera
        self.mosaic = Mosaic(info.plan, grid)
        self.frame_probability = np.full((len(info.plan), grid, grid), np.nan, np.float32)
        self.weights_sha256 = weights_sha256
        self._network = network
        self._device = device
        self._sensor = camera.sensor
        self._open_peak_e = camera.open_peak_e_per_ms * info.plan.exposure_ms

    def consume(self, indices: NDArray[np.int64], images: NDArray[np.uint16]) -> None:
        """Take the valid frames of one scan line, (batch, y, x), with their scan indices."""
        if len(indices) == 0:
            return
        with torch.inference_mode():
            adu = torch.from_numpy(images.astype(np.float32)).to(self._device)
            amplitude = relative_amplitude(adu, self._sensor, self._open_peak_e)
            probability = self._network(amplitude).sigmoid().cpu().numpy()
        self.frame_probability[indices] = probability
        self.mosaic.add(indices, probability)


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


def frame_predictor(info: RunInfo, grid: int, device: torch.device) -> FramePredictor:
    """Return a predictor with the shipped weights for a grid.

    Raises
    ------
    ReconstructionError
        If there are none, or they were trained for other optics.
    """
    path = weights_path(grid)
    network = load_network(
        path,
        grid=grid,
        optics=info.instrument.optics,
        pitch_nm=info.plan.pitch_nm,
        device=device,
    )
    return FramePredictor(info, network, device, hashlib.sha256(path.read_bytes()).hexdigest())
