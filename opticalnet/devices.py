"""From a configuration to open devices, and back to closed ones."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Final

from acquisition.instrument import Instrument
from configs.errors import DeviceError, DeviceTimeout
from configs.geometry import SQUARE_NM, SampleGeometry
from configs.instrument import (
    SIMULATED_PORT,
    GcsStageConfig,
    InstrumentConfig,
    MicroManagerFocusConfig,
    MicroManagerShutterConfig,
    MicroManagerStageConfig,
    SimulatedCameraConfig,
    SimulatedFocusConfig,
    SimulatedShutterConfig,
    SimulatedStageConfig,
)
from drivers.clock import WallClock
from drivers.gcs import GcsStage
from drivers.micromanager import MicroManagerCamera, MicroManagerStage
from drivers.mm_focus import MicroManagerFocus
from drivers.mm_shutter import MicroManagerShutter
from drivers.protocols import Camera, Clock, Focus, Shutter, XYStage
from simulation.camera import SimulatedCamera
from simulation.clock import VirtualClock
from simulation.focus import SimulatedFocus
from simulation.gcs_controller import GcsController
from simulation.samples import Sample
from simulation.serial_line import SerialLine
from simulation.shutter import SimulatedShutter
from simulation.stage import SimulatedStage
from simulation.streams import Stream, numpy_stream
from simulation.world import World

_CLOSE_S: Final = 30.0
"""Drivers wait less for their devices, but at the end of a long exposure."""

TruePosition = Callable[[], tuple[float, float]]


@contextmanager
def open_instrument(
    config: InstrumentConfig, sample: Sample, *, seed: int
) -> Iterator[Instrument]:
    """Open the devices of an instrument, and close them whatever happens.

    Parameters
    ----------
    config
        What to open.
    sample
        What lies under a simulated beam, centred on the travel; real ones bring theirs.
    seed
        Of everything random in simulated devices.

    Raises
    ------
    DeviceError
        If a device is absent or refuses; those already open are closed again.
    """
    simulated = config.stage.kind == "simulated" and config.camera.kind == "simulated"
    clock: Clock = VirtualClock() if simulated else WallClock()
    with ExitStack() as devices:
        stage, stage_um = _open_stage(config, clock, seed, devices)
        devices.push(partial(_close, stage))
        shutter, is_lit = _open_shutter(config)
        if shutter is not None:
            devices.push(partial(_close, shutter))
        focus, defocus_um = _open_focus(config, clock, seed)
        if focus is not None:
            devices.push(partial(_close, focus))
        camera = _open_camera(config, clock, seed, sample, stage_um, is_lit, defocus_um)
        devices.push(partial(_close, camera))
        yield Instrument(stage, camera, clock, shutter, focus)


def _close(
    device: XYStage | Camera | Shutter | Focus,
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _traceback: TracebackType | None,
) -> None:
    """Close a device; a failure adds to what has already gone wrong, and hides nothing."""
    try:
        _close_in_time(device)
    except DeviceError as failure:
        if error is None:
            raise
        error.add_note(str(failure))


def _close_in_time(device: XYStage | Camera | Shutter | Focus) -> None:
    """Close a device on a thread of its own, which is left behind if it hangs there."""
    failures: list[Exception] = []

    def close() -> None:
        try:
            device.close()
        except Exception as failure:  # raised where it is waited for
            failures.append(failure)

    thread = Thread(target=close, name="closing", daemon=True)
    thread.start()
    thread.join(_CLOSE_S)
    if thread.is_alive():
        raise DeviceTimeout(
            f"{device.identity.name}: expected it closed within {_CLOSE_S:g} s, got no end of"
            " it; switch it off and on before the next scan"
        )
    if failures:
        raise failures[0]


def _open_stage(
    config: InstrumentConfig, clock: Clock, seed: int, devices: ExitStack
) -> tuple[XYStage, TruePosition | None]:
    """Open the stage; a simulated one also says where it really is."""
    match config.stage:
        case SimulatedStageConfig() as stage:
            simulated = SimulatedStage(stage, config.travel, clock, seed)
            return simulated, simulated.true_position_um
        case GcsStageConfig(port=port) as stage if port == SIMULATED_PORT:
            axes = (stage.x_axis, stage.y_axis)
            controller = GcsController(clock, config.travel, axes=axes, seed=seed)
            line = devices.enter_context(SerialLine(controller))
            on_line = stage.changed(port=line.port)
            return GcsStage(on_line, config.travel, clock), controller.true_position_um
        case GcsStageConfig() as stage:
            return GcsStage(stage, config.travel, clock), None
        case MicroManagerStageConfig() as stage:
            return MicroManagerStage(stage, config.travel, clock), None


def _open_shutter(config: InstrumentConfig) -> tuple[Shutter | None, Callable[[], bool]]:
    """Open the shutter, if there is one; it also says whether simulated light passes."""
    match config.shutter:
        case None:
            return None, lambda: True
        case SimulatedShutterConfig():
            simulated = SimulatedShutter()
            return simulated, simulated.lets_light_through
        case MicroManagerShutterConfig() as shutter:
            return MicroManagerShutter(shutter), lambda: True


def _open_focus(
    config: InstrumentConfig, clock: Clock, seed: int
) -> tuple[Focus | None, Callable[[], float]]:
    """Open the focus drive, if there is one; a simulated one also says what it adds."""
    match config.focus:
        case None:
            return None, lambda: 0.0
        case SimulatedFocusConfig() as focus:
            simulated = SimulatedFocus(focus, clock, numpy_stream(seed, Stream.FOCUS_DRIVE))
            return simulated, simulated.defocus_um
        case MicroManagerFocusConfig() as focus:
            return MicroManagerFocus(focus, clock), lambda: 0.0


def _open_camera(
    config: InstrumentConfig,
    clock: Clock,
    seed: int,
    sample: Sample,
    stage_um: TruePosition | None,
    is_lit: Callable[[], bool],
    defocus_um: Callable[[], float],
) -> Camera:
    if not isinstance(config.camera, SimulatedCameraConfig):
        return MicroManagerCamera(config.camera, clock)
    assert stage_um is not None, "InstrumentConfig gives simulated cameras simulated stages"
    assert config.environment is not None, "and an environment"
    rows, columns = sample.coverage.shape
    directions = config.stage.x_direction, config.stage.y_direction
    geometry = SampleGeometry(rows, columns, SQUARE_NM, config.travel.centre_um, directions)
    world = World(
        sample=sample,
        geometry=geometry,
        optics=config.optics,
        camera=config.camera,
        environment=config.environment,
        stage_um=stage_um,
        is_lit=is_lit,
        clock=clock,
        seed=seed,
        defocus_um=defocus_um,
    )
    return SimulatedCamera(config.camera, config.optics, world, clock)
