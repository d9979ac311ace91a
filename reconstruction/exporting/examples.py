"""Frames of a small simulated scan, to try an exported network on."""

import torch

from configs.instrument import Sensor, SensorMaps
from configs.optics import Optics
from simulation.forward import ForwardModel
from simulation.sensor import SensorModel

SENSOR = Sensor()
OPEN_PEAK_E = 2000.0
_EXPOSURE_MS = 10.0
_OPEN_SHARE = 0.35


def scan_frames(optics: Optics, rows: int, columns: int) -> torch.Tensor:
    """Scan random squares; the same numbers every time.

    Returns
    -------
    torch.Tensor
        (rows, columns, y, x), float32, digital numbers of ``SENSOR``.
    """
    random = torch.Generator().manual_seed(0)
    light = ForwardModel(optics)
    edge = light.cells - 1
    squares = torch.rand(rows + edge, columns + edge, generator=random) < _OPEN_SHARE
    windows = squares.float().unfold(0, light.cells, 1).unfold(1, light.cells, 1)
    electrons = light.frames(windows.flatten(0, 1)) * OPEN_PEAK_E / light.open_peak()
    sensor = SensorModel(SENSOR, SensorMaps(), optics.image_px, random)
    frames = sensor.expose(electrons, _EXPOSURE_MS, random).float()
    return frames.reshape(rows, columns, *frames.shape[1:])
