"""What the light of an instrument does at one place of a sample."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from configs.defaults import DEFAULT_EXPOSURE_MS
from configs.errors import ConfigError
from configs.geometry import SQUARE_NM, SQUARE_UM
from configs.instrument import Environment, InstrumentConfig, SimulatedCameraConfig
from configs.optics import Optics
from configs.toml import load_instrument
from opticalnet.light_measures import (
    beam_intensity,
    caught_light,
    component_shares,
    contour_widths,
    mode_strengths,
    noise_floor,
)
from opticalnet.rehearsal import simulated_like
from simulation.beam import beam_field, light_outside
from simulation.detector import Detector
from simulation.forward import ForwardModel
from simulation.light import Light
from simulation.samples import Sample, load_sample
from simulation.streams import Stream, torch_stream
from simulation.window import beam_window

Float64 = NDArray[np.float64]

FAR_SQUARES: Final = 3
"""How far to the right of the beam's axis the second of the changed squares lies."""
_FINEST_UM: Final = 0.01


@dataclass(frozen=True, slots=True)
class BeamView:
    """The beam on the sample.

    Attributes
    ----------
    intensity
        (n, n), squared field, relative to its largest.
    fwhm_nm
        Smallest and largest width at half maximum, over all directions.
    shares
        Of the components in the squared field: (1,) of scalar light, or x, y and z.
    inner_share
        Fraction of the light on the inner 3 x 3 squares.
    """

    intensity: Float64
    fwhm_nm: tuple[float, float]
    shares: tuple[float, ...]
    inner_share: float

    @classmethod
    def of(cls, light: Light, x_um: Float64) -> Self:
        """Look at a beam at points (n,) along both axes."""
        intensity = beam_intensity(light, x_um)
        return cls(
            intensity=intensity / intensity.max(),
            fwhm_nm=contour_widths(intensity, x_um),
            shares=component_shares(light),
            inner_share=1 - light_outside(light, 1.5 * SQUARE_UM),
        )

    @property
    def fwhm(self) -> str:
        """How wide it is, in words: once if it is round."""
        narrow, wide = (round(width) for width in self.fwhm_nm)
        return f"{narrow} nm" if wide - narrow <= 1 else f"{narrow} x {wide} nm"


@dataclass(frozen=True, slots=True)
class CameraView:
    """What the camera gets of it in one exposure, in photo-electrons per pixel.

    Attributes
    ----------
    expected_e, recorded_e
        (y, x), frame without noise; and as the sensor gives it, dark current, stray light
        and dust included.
    noise_e
        (y, x), standard deviation: photons, stray light, read noise, rounding.
    change_e
        (2, y, x), frame with a square open less frame with it closed: the one on the
        beam's axis, and one ``FAR_SQUARES`` to its right.
    caught_side_um, caught, caught_open
        (n,) each: fraction of the beam's light on the inner part of the camera window, by
        the side of that part; here, and with everything open.
    """

    expected_e: Float64
    recorded_e: Float64
    noise_e: Float64
    change_e: Float64
    caught_side_um: Float64
    caught: Float64
    caught_open: Float64

    @property
    def change_sigma(self) -> tuple[float, float]:
        """How far apart open and closed are, in standard deviations of a single frame."""
        middle, far = np.sqrt(((self.change_e / self.noise_e) ** 2).sum(axis=(1, 2)))
        return float(middle), float(far)


@dataclass(frozen=True, slots=True)
class LightView:
    """Light on its way from a laser to a camera, past one square of a sample.

    Row down is +y and column right is +x in all images.

    Attributes
    ----------
    instrument, sample
        What was looked at.
    square
        (row, column) of the square whose middle is on the beam's axis.
    edges_um
        Where the images of the sample begin and end, along both axes, from that middle.
    beam, camera
        Before and behind the sample.
    exit_amplitude
        (n, n), of the light that leaves the sample, relative to the beam's largest.
    strength
        (modes,), singular values of the way from sample to camera, relative to the first.
    noise_floor
        Strength below which random squares change a frame less than its photon noise.
    """

    instrument: InstrumentConfig
    sample: Sample
    square: tuple[int, int]
    edges_um: tuple[float, float]
    beam: BeamView
    exit_amplitude: Float64
    strength: Float64
    noise_floor: float
    camera: CameraView

    @property
    def modes_above_noise(self) -> int:
        """How many modes a frame can tell from its noise."""
        return int((self.strength > self.noise_floor).sum())

    def as_dict(self) -> dict[str, Any]:
        """Return what it comes down to, for a script."""
        camera = self.camera
        return {
            "instrument": self.instrument.name,
            "sample": self.sample.name,
            "square": self.square,
            "fwhm_nm": self.beam.fwhm_nm,
            "inner_share": self.beam.inner_share,
            "caught": float(camera.caught[-1]),
            "caught_open": float(camera.caught_open[-1]),
            "modes": len(self.strength),
            "modes_above_noise": self.modes_above_noise,
            "change_sigma": camera.change_sigma,
        }

    def save_figure(self, path: str | Path) -> None:
        """Draw it all into a picture file (PNG, PDF, SVG)."""
        from opticalnet.light_figure import save_figure

        save_figure(Path(path), self)


def view_light(instrument: str = "simulated", sample: str = "ss") -> LightView:
    """Look at the light of an instrument, a third of the way into a sample.

    Parameters
    ----------
    instrument
        Name of a preset, or path of a TOML file. Simulated devices with the same optics
        and sensor stand in for real ones.
    sample
        As for ``acquire``; ``block`` of the default density.

    Raises
    ------
    ConfigError
        If one of them is not usable.
    """
    config = simulated_like(load_instrument(instrument))
    light = Light.of(config.optics)
    place = _Place(load_sample(sample), config.optics)
    frames = place.frames()
    strength = mode_strengths(place.model)
    if not len(strength):
        raise ConfigError(
            "film_amplitude: expected a film that differs from an opening, got"
            f" {config.optics.film_amplitude:g}; such a sample cannot be seen"
        )
    return LightView(
        instrument=config,
        sample=place.sample,
        square=place.square,
        edges_um=place.edges_um,
        beam=BeamView.of(light, place.points_um),
        exit_amplitude=place.exit_amplitude(light),
        strength=strength / strength[0],
        noise_floor=noise_floor(_electrons(config, frames.open_peak)) / strength[0],
        camera=_camera(config, frames),
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    """Fractions of the incident power per pixel: (y, x), and (2, y, x) of changes."""

    here: Float64
    everything_open: Float64
    change: Float64

    @property
    def open_peak(self) -> float:
        """Brightest pixel with everything open."""
        return float(self.everything_open.max())


class _Place:
    """Cells of a sample, (side, side), around a square with the beam on its middle."""

    def __init__(self, sample: Sample, optics: Optics) -> None:
        n = sample.cells_per_square
        self.sample = sample
        self._cell_um = SQUARE_UM / n
        side = max(beam_window(optics, SQUARE_NM / n), 2 * (FAR_SQUARES + 1) * n + 1)
        self.model = ForwardModel(optics, SQUARE_NM / n, cells=side, dtype=torch.float64)
        rows, columns = sample.coverage.shape
        self.square = rows // 3, columns // 3
        top, left = (square * n + n // 2 - side // 2 + side for square in self.square)
        self._cells = np.pad(sample.cells, side)[top : top + side, left : left + side]
        # The middle of an even number of cells is where two meet.
        self._shift_um = 0.0 if n % 2 else self._cell_um / 2
        self._fine = math.ceil(self._cell_um / _FINEST_UM)
        reach_um = side * self._cell_um / 2
        self.edges_um = self._shift_um - reach_um, self._shift_um + reach_um

    @property
    def points_um(self) -> Float64:
        """Points along an axis, (n,), some in every cell."""
        edges = np.linspace(*self.edges_um, len(self._cells) * self._fine + 1)
        points: Float64 = (edges[1:] + edges[:-1]) / 2
        return points

    def exit_amplitude(self, light: Light) -> Float64:
        """Amplitude behind the sample, (n, n), relative to the beam's largest."""
        points = torch.from_numpy(self.points_um)
        beam = beam_field(light, points, points).abs().square().sum(dim=0).sqrt().numpy()
        film = complex(light.film)
        cells = self._cells.repeat(self._fine, axis=0).repeat(self._fine, axis=1)
        amplitude: Float64 = beam / beam.max() * np.abs(film + cells * (1 - film))
        return amplitude

    def frames(self) -> _Frames:
        """Light on the camera, as the sample is and with squares changed."""
        masks = [self._cells, np.ones_like(self._cells)]
        masks += [self._changed(right, to) for right in (0, FAR_SQUARES) for to in (1, 0)]
        coverage = torch.from_numpy(np.stack(masks))
        offset_um = torch.full((len(masks), 2), self._shift_um)
        frames = self.model.frames(coverage, offset_um).numpy()
        return _Frames(frames[0], frames[1], frames[2::2] - frames[3::2])

    def _changed(self, right: int, to: float) -> Float64:
        """Cells with one square, some to the right of the middle, open or closed."""
        n = self.sample.cells_per_square
        first = len(self._cells) // 2 - n // 2
        cells = self._cells.copy()
        cells[first : first + n, first + right * n : first + (right + 1) * n] = to
        return cells


def _electrons(config: InstrumentConfig, open_peak: float) -> float:
    """Photo-electrons of one exposure that all of the beam's light would make."""
    return config.camera.open_peak_e_per_ms * DEFAULT_EXPOSURE_MS / open_peak


def _camera(config: InstrumentConfig, frames: _Frames) -> CameraView:
    camera, environment = config.camera, config.environment or Environment()
    assert isinstance(camera, SimulatedCameraConfig)
    electrons = _electrons(config, frames.open_peak)
    detector = Detector(camera, environment, len(frames.here), frames.open_peak, seed=0)
    adu = detector.record(
        torch.from_numpy(frames.here)[None],
        np.ones(1),
        DEFAULT_EXPOSURE_MS,
        torch_stream(0, Stream.SENSOR_NOISE),
    )[0].astype(np.float64)
    sensor = camera.sensor
    stray_e = environment.background_e_per_ms * DEFAULT_EXPOSURE_MS
    side_um, caught = caught_light(frames.here, config.optics)
    return CameraView(
        expected_e=frames.here * electrons,
        recorded_e=sensor.electrons(adu),
        noise_e=np.sqrt(frames.here * electrons + stray_e + sensor.added_variance_e2),
        change_e=frames.change * electrons,
        caught_side_um=side_um,
        caught=caught,
        caught_open=caught_light(frames.everything_open, config.optics)[1],
    )
