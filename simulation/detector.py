"""From light on the camera to digital numbers: laser power, stray light, dust, sensor."""

import numpy as np
import torch
from numpy.typing import NDArray

from configs.instrument import Environment, SimulatedCameraConfig
from simulation.environment import dust_transmission
from simulation.sensor import SensorModel
from simulation.streams import Stream, torch_stream


class Detector:
    """One camera: its pixels and the dust on it are drawn once.

    Parameters
    ----------
    camera, environment
        The sensor and the light that it gets; stray light and dust.
    image_px
        Side of the delivered image.
    open_peak
        Brightest pixel of an all-open sample in nominal focus, fraction of the incident
        power: what ``open_peak_e_per_ms`` of the camera refers to.
    seed
        Of pixels and dust; the noise of the frames has its own generators.
    """

    def __init__(
        self,
        camera: SimulatedCameraConfig,
        environment: Environment,
        image_px: int,
        open_peak: float,
        seed: int,
    ) -> None:
        maps = torch_stream(seed, Stream.SENSOR_MAPS)
        self._sensor = SensorModel(camera.sensor, camera.maps, image_px, maps)
        self._glass = torch.from_numpy(dust_transmission(environment, image_px, seed))
        self._full_power_e_per_ms = camera.open_peak_e_per_ms / open_peak
        self._background_e_per_ms = environment.background_e_per_ms

    def record(
        self,
        light: torch.Tensor,
        power: NDArray[np.float64],
        exposure_ms: float,
        noise: torch.Generator,
    ) -> NDArray[np.uint16]:
        """Return images, (n, y, x).

        Parameters
        ----------
        light
            (n, y, x), fraction of the incident power per pixel.
        power
            (n,), relative laser power.
        exposure_ms
            Of every frame.
        noise
            Source of photon and read noise.
        """
        scale = torch.from_numpy(self._full_power_e_per_ms * power).to(light.dtype)
        electrons_per_ms = light * scale[:, None, None] + self._background_e_per_ms
        electrons = electrons_per_ms * self._glass * exposure_ms
        adu = self._sensor.expose(electrons, exposure_ms, noise)
        return adu.numpy().astype(np.uint16)
