"""A small scan whose frames are known but for their noise."""

import numpy as np
import pytest
import torch

from configs.instrument import SimulatedCameraConfig
from configs.optics import Optics
from reconstruction.inversion.normal_equations import Beam
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel
from simulation.sensor import SensorModel

CAMERA = SimulatedCameraConfig()
OPEN_PEAK_E = 2000.0


@pytest.fixture(scope="session")
def model():
    return ForwardModel(Optics())


@pytest.fixture(scope="session")
def beam(model):
    def make(frames, stray_e=0.0):
        return Beam(OPEN_PEAK_E / model.open_peak(), torch.ones(frames), stray_e)

    return make


@pytest.fixture(scope="session")
def take(model, beam):
    """Frames of squares, (rows, columns), one a point, beyond which there is film."""

    def take(squares, off_um=None, *, stray_e=0.5, seed=0):
        rows, columns = squares.shape
        random = torch.Generator().manual_seed(seed)
        padded = torch.from_numpy(np.pad(squares, model.cells // 2).astype(np.float32))
        windows = padded.unfold(0, model.cells, 1).unfold(1, model.cells, 1).flatten(0, 1)
        off_um = torch.zeros(len(windows), 2) if off_um is None else off_um
        power = 1 + 0.005 * torch.randn(len(windows), generator=random)
        light = model.frames(windows, -off_um)
        expected_e = beam(len(windows)).electrons * power[:, None, None] * light + stray_e
        sensor = SensorModel(CAMERA.sensor, CAMERA.maps, light.shape[-1], random)
        adu = sensor.expose(expected_e, 10.0, random).float()
        at = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        return Photons(
            rows=at[:, 0],
            columns=at[:, 1],
            off_um=off_um,
            electrons=CAMERA.sensor.electrons(adu).flatten(1),
            added_e2=CAMERA.sensor.added_variance_e2,
        )

    return take
