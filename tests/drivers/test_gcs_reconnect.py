"""Connecting a GCS stage again, to the simulated controller over lines that failed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import serial

from configs.errors import DeviceError, DeviceTimeout, ProtocolError
from configs.instrument import GcsStageConfig, SimulatedStageConfig, Travel
from drivers.gcs import SIMULATED_SERIAL_NUMBER, GcsStage
from drivers.gcs_protocol import STOP
from drivers.protocols import Reconnectable
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.line_faults import LineFaults
from simulation.serial_line import DEFAULT_TRANSPORT, SerialLine, Transport

REPLY_TIMEOUT_S = 0.15
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


class Labelled:
    """A controller with another serial number on it, if any; it notes what it hears."""

    def __init__(self, controller: GcsController) -> None:
        self._controller = controller
        self.serial_number = SIMULATED_SERIAL_NUMBER
        self.heard = b""

    def feed(self, data: bytes) -> bytes:
        self.heard += data
        label = SIMULATED_SERIAL_NUMBER.encode(), self.serial_number.encode()
        return self._controller.feed(data).replace(*label)


def stage_on(port: str, clock: VirtualClock) -> GcsStage:
    config = GcsStageConfig(kind="gcs", port=port, reply_timeout_s=REPLY_TIMEOUT_S)
    return GcsStage(config, Travel(), clock)


@contextmanager
def opened(
    transport: Transport = DEFAULT_TRANSPORT, **mechanics: float
) -> Iterator[tuple[GcsStage, Labelled, LineFaults]]:
    clock, faults = VirtualClock(), LineFaults()
    controller = GcsController(clock, Travel(), mechanics=SimulatedStageConfig(**mechanics))
    device = Labelled(controller)
    with SerialLine(device, faults=faults, transport=transport) as line:
        stage = stage_on(line.port, clock)
        yield stage, device, faults
        stage.close()


def take_points(stage: GcsStage) -> None:
    for index in range(3):
        target = (100 + 0.18 * index, 100 - 0.18 * index)
        stage.move_to(*target)
        stage.wait_settled(1.0)
        assert stage.position() == pytest.approx(target, abs=0.02)


@ON_POSIX
def test_a_line_that_was_cut_is_opened_again_and_the_servo_switched_on(tmp_path: Path) -> None:
    # The name of a port stays when its cable is put back; that of a pseudo-terminal may not.
    port = tmp_path / "port"
    clock = VirtualClock()
    with SerialLine(GcsController(clock, Travel())) as line:
        port.symlink_to(line.port)
        stage = stage_on(str(port), clock)
        take_points(stage)
        before = stage.identity, stage.limits
    port.unlink()
    with pytest.raises(DeviceError, match="working serial line"):
        stage.position()
    with pytest.raises(DeviceError, match="ports present"):
        stage.reconnect()

    with SerialLine(GcsController(clock, Travel())) as line:  # its servo is off
        port.symlink_to(line.port)
        stage.reconnect()
        take_points(stage)
        assert (stage.identity, stage.limits) == before
        stage.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [("garbage", ProtocolError), ("drop", DeviceTimeout), ("stale", ProtocolError)],
)
@pytest.mark.parametrize("transport", ["pty", "tcp"] if sys.platform != "win32" else ["tcp"])
def test_after_a_bad_line_all_is_well_again(
    transport: Transport, fault: str, error: type[DeviceError]
) -> None:
    with opened(transport) as (stage, _, faults):
        take_points(stage)
        setattr(faults, fault, 1.0)
        with pytest.raises(error):
            stage.position()
        setattr(faults, fault, 0.0)
        stage.reconnect()
        take_points(stage)


def test_as_long_as_nobody_answers_every_call_fails_and_the_port_is_free() -> None:
    with opened() as (stage, _, faults):
        faults.drop = 1.0
        for _ in range(2):
            with pytest.raises(DeviceTimeout, match=r"answer ERR\? .*check power, cable"):
                stage.reconnect()
            serial.serial_for_url(stage._port, exclusive=True).close()
            for call in (
                stage.position,
                stage.stop,
                partial(stage.move_to, 100.0, 100.0),
                partial(stage.wait_settled, 1.0),
            ):
                with pytest.raises(DeviceError, match="open port"):
                    call()
        faults.drop = 0.0
        stage.reconnect()
        take_points(stage)


def test_another_controller_is_refused_and_left_as_it_is() -> None:
    with opened() as (stage, device, _):
        device.serial_number, device.heard = "120040681", b""
        with pytest.raises(DeviceError, match=r"from before, .*SIMULATED.*got .*120040681"):
            stage.reconnect()
        assert b"SVO" not in device.heard
        assert STOP not in device.heard
        with pytest.raises(DeviceError, match="open port"):
            stage.move_to(100.0, 100.0)
        assert SIMULATED_SERIAL_NUMBER in stage.identity.name

        device.serial_number = SIMULATED_SERIAL_NUMBER
        stage.reconnect()
        take_points(stage)


def test_a_move_that_was_under_way_is_halted() -> None:
    with opened(slew_um_per_s=10.0) as (stage, _, _):
        stage.move_to(150.0, 100.0)
        stage._clock.sleep(1.0)
        stage.reconnect()
        stage.wait_settled(1.0)
        assert stage.position() == pytest.approx((110.0, 100.0), abs=0.05)


def test_a_stage_that_was_closed_stays_closed() -> None:
    with opened() as (stage, device, _):
        assert isinstance(stage, Reconnectable)
        stage.close()
        device.heard = b""
        with pytest.raises(DeviceError, match="one that was closed"):
            stage.reconnect()
        assert device.heard == b""
