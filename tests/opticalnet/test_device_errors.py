"""Devices that are absent, wrong or die: one clear line, and every device is closed."""

from pathlib import Path

import numpy as np
import pytest
import serial
from command_bench import (
    Command,
    check_refused,
)

import opticalnet
from acquisition.frame import Frame
from acquisition.observer import SilentObserver
from acquisition.store import Run
from configs.instrument import Travel
from drivers.clock import WallClock
from simulation.clock import VirtualClock
from simulation.gcs_controller import GcsController
from simulation.serial_line import SerialLine

pytestmark = pytest.mark.usefixtures("devices_are_closed")


def write_instrument(
    place: Path, *, port: str = "simulated", library: str = "DemoCamera", device: str = "DCam"
) -> None:
    """Settings of a camera that is not simulated by us, and a stage on a serial line."""
    (place / "own.toml").write_text(
        f"name = 'own'\n[camera]\nkind = 'micromanager'\nlibrary = '{library}'\n"
        f"device = '{device}'\n"
        "[camera.properties]\nPixelType = '16bit'\nBitDepth = '16'\n"
        + ("Mode = 'Noise'\n" if device == "DCam" else "")
        + f"[stage]\nkind = 'gcs'\nport = '{port}'\n"
    )


def check_free(port: str) -> None:
    """Open a port as its only user, which fails while anybody else has it open."""
    own = {} if "://" in port else {"exclusive": True}
    serial.serial_for_url(port, **own).close()


def test_a_missing_serial_port(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, port="/dev/no-such-port")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected a serial port '/dev/no-such-port'", "ports present", "correct port"
    check_refused(command, place, arguments, *said)


def test_an_absent_adapter(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, library="NoSuchLibrary")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected one of", "DemoCamera", "got 'NoSuchLibrary'", "install"
    check_refused(command, place, arguments, *said)


def test_an_absent_device_of_an_adapter(command: Command, place: Path, mask: Path) -> None:
    write_instrument(place, device="NoSuchCamera")
    arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
    said = "expected one of", "DCam", "got 'NoSuchCamera'", "correct it"
    check_refused(command, place, arguments, *said)


def test_the_wrong_generation_of_controller(command: Command, place: Path, mask: Path) -> None:
    with SerialLine(GcsController(VirtualClock(), Travel(), generation=1)) as line:
        write_instrument(place, port=line.port)
        arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
        said = "expected a controller with GCS 2.0", "E-516", "through Micro-Manager"
        check_refused(command, place, arguments, *said)
        check_free(line.port)


def test_a_stage_is_closed_when_its_camera_is_absent(
    command: Command, place: Path, mask: Path
) -> None:
    with SerialLine(GcsController(VirtualClock(), Travel())) as line:
        write_instrument(place, port=line.port, library="NoSuchLibrary")
        arguments = ["acquire", "--sample", mask, "--instrument", "own.toml"]
        check_refused(command, place, arguments, "NoSuchLibrary")
        check_free(line.port)


def test_a_line_that_dies_in_mid_scan(place: Path, mask: Path) -> None:
    class HangsUp(SilentObserver):
        def frame(self, frame: Frame) -> None:
            if frame.point.index == 11:
                line.close()

    with SerialLine(GcsController(WallClock(), Travel())) as line:
        write_instrument(place, port=line.port)
        with pytest.raises(
            opticalnet.OpticalNetError,
            match=r"expected at most 5\.0% of the points to be invalid",
        ):
            opticalnet.acquire(
                str(mask), instrument="own.toml", exposure_ms=1, observer=HangsUp()
            )
    run = Run(place / "run.zarr")
    assert np.array_equal(np.flatnonzero(run.points().valid), np.arange(12))
