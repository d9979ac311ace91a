"""Rehearsing a scan: simulated devices in place of real ones, and things that go wrong."""

from dataclasses import replace
from pathlib import Path

from acquisition.disk import Disk
from acquisition.instrument import Instrument
from configs.errors import ConfigError
from configs.faults import Faults
from configs.instrument import (
    InstrumentConfig,
    SimulatedCameraConfig,
    SimulatedFocusConfig,
    SimulatedShutterConfig,
    SimulatedStageConfig,
)
from configs.toml import read_toml
from simulation.fate import Fate
from simulation.faults import FaultyCamera, FaultyFocus, FaultyShutter, FaultyStage


def simulated_like(config: InstrumentConfig) -> InstrumentConfig:
    """Return an instrument of simulated devices with the same optics, limits and timing."""
    camera, stage = config.camera, config.stage
    if not isinstance(camera, SimulatedCameraConfig):
        camera = SimulatedCameraConfig(
            sensor=camera.sensor, open_peak_e_per_ms=camera.open_peak_e_per_ms
        )
    if not isinstance(stage, SimulatedStageConfig):
        stage = SimulatedStageConfig(
            x_direction=stage.x_direction, y_direction=stage.y_direction
        )
    shutter = None if config.shutter is None else SimulatedShutterConfig()
    focus = config.focus
    if focus is not None and not isinstance(focus, SimulatedFocusConfig):
        focus = SimulatedFocusConfig(range_um=focus.range_um)
    return config.changed(camera=camera, stage=stage, shutter=shutter, focus=focus)


def load_faults(path: str) -> Faults:
    """Read a schedule of faults from a TOML file; ``ConfigError`` says what is wrong."""
    if Path(path).suffix != ".toml":
        raise ConfigError(f"faults: expected the path of a .toml file, got {path!r}")
    return Faults.checked(path, read_toml("faults", Path(path)))


def with_faults(instrument: Instrument, fate: Fate) -> Instrument:
    """Return an instrument whose devices go wrong.

    Raises
    ------
    ConfigError
        If the schedule has faults of a device that there is none of.
    """
    shutter, focus = instrument.shutter, instrument.focus
    for name, device in (("shutter", shutter), ("focus", focus)):
        if device is None and getattr(fate.faults, name).model_fields_set:
            raise ConfigError(
                f"faults: expected an instrument with a {name}, as [{name}] stands there, got"
                f" one without; leave [{name}] out, or add one to the instrument"
            )
    return replace(
        instrument,
        stage=FaultyStage(instrument.stage, fate),
        camera=FaultyCamera(instrument.camera, fate),
        shutter=None if shutter is None else FaultyShutter(shutter, fate),
        focus=None if focus is None else FaultyFocus(focus, fate),
    )


class FaultyDisk(Disk):
    """A disk that has no room now and then."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._full_left = 0

    def replace(self, path: Path, data: memoryview) -> None:
        """Write a file anew, or nothing of it."""
        self._check()
        super().replace(path, data)

    def append(self, path: Path, end: int, data: bytes) -> None:
        """Write behind the first ``end`` bytes of a file, or half of it."""
        try:
            self._check()
        except OSError:
            super().append(path, end, data[: len(data) // 2])
            raise
        super().append(path, end, data)

    def _check(self) -> None:
        faults = self._fate.faults.disk
        if not self._full_left and self._fate.hits("disk full", faults.full):
            self._full_left = faults.full_writes
        if self._full_left:
            self._full_left -= 1
            raise OSError("no space left, as rehearsed")
