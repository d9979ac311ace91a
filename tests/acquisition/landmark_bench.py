"""Places of a simulated sample, to learn landmarks from."""

import numpy as np
import torch

from acquisition.landmark_model import LandmarkModel
from configs.instrument import Sensor, SensorMaps
from configs.optics import Optics
from simulation.defocus import FocusSeries
from simulation.sensor import SensorModel

SENSOR = Sensor()
SERIES = FocusSeries(Optics(), 180.0)
PEAK_E = 2000.0  # of an open sample: 200 per ms, for 10 ms
STEPS_UM = 0.03 * np.arange(-2, 3)
GRID_UM = np.stack(np.meshgrid(STEPS_UM, STEPS_UM), axis=-1).reshape(-1, 2)


class Place:
    """A place of a sample of random squares, seen by one camera."""

    def __init__(self, squares, laser_noise=0.005):
        self._squares = np.pad(
            np.random.default_rng(squares).random((21, 21)) < 0.35, 2
        ).astype(np.float32)
        self._random = np.random.default_rng(squares + 100)
        self._noise = torch.Generator().manual_seed(squares)
        self._sensor = SensorModel(SENSOR, SensorMaps(), 64, self._noise)
        self._laser_noise = laser_noise

    def light(self, offset_um, focus_nm=0.0):
        """Photo-electrons of one frame with the beam at an offset from the middle."""
        model = SERIES.at(focus_nm)
        column, row = np.rint(np.asarray(offset_um) / 0.18).astype(int)
        top, left = (25 - model.cells) // 2 + row, (25 - model.cells) // 2 + column
        window = self._squares[None, top : top + model.cells, left : left + model.cells]
        displaced = 0.18 * np.array([[column, row]]) - offset_um
        frames = model.frames(torch.from_numpy(window), torch.from_numpy(displaced).float())
        return frames[0].numpy() * (PEAK_E / SERIES.at(0.0).open_peak())

    def shoot(self, light, frames=8, power=1.0, stray_e=0.5):
        """Frames of a light, (..., y, x): (..., frames, y, x)."""
        light = np.asarray(light)[..., None, :, :]
        flicker = self._random.standard_normal((*light.shape[:-3], frames, 1, 1))
        electrons = light * power * (1 + self._laser_noise * flicker) + stray_e
        adu = self._sensor.expose(
            torch.from_numpy(electrons.astype(np.float32)), 10.0, self._noise
        )
        return adu.numpy().astype(np.uint16)

    def dither(self, frames=8, power=1.0):
        light = np.stack([self.light(offset) for offset in GRID_UM])
        return LandmarkModel.fit(self.shoot(light, frames, power), GRID_UM, SENSOR)
