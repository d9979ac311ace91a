"""Devices are closed, each by itself, and those that hang do not keep the program."""

import threading

import numpy as np
import pytest

import opticalnet.devices
from configs.errors import AcquisitionError, DeviceError, DeviceTimeout
from configs.instrument import (
    InstrumentConfig,
    SimulatedFocusConfig,
    SimulatedShutterConfig,
)
from opticalnet.devices import open_instrument
from simulation.samples import Sample

NAMES = {"stage": "stage", "camera": "sCMOS", "shutter": "shutter", "focus": "focus piezo"}
CALLS = {
    "stage": lambda stage: stage.position(),
    "camera": lambda camera: camera.configure(64, 1, 1.0),
    "shutter": lambda shutter: shutter.is_open(),
    "focus": lambda focus: focus.position(),
}


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(opticalnet.devices, "_CLOSE_S", 0.05)
    config = InstrumentConfig(
        name="test", shutter=SimulatedShutterConfig(), focus=SimulatedFocusConfig()
    )
    return open_instrument(config, Sample("test", np.ones((4, 4))), seed=0)


@pytest.fixture
def hang():
    """Give a call that hangs until the test has ended."""
    end = threading.Event()
    yield end.wait
    end.set()


def assert_closed(instrument, *but):
    for name in NAMES.keys() - set(but):
        with pytest.raises(DeviceError):
            CALLS[name](getattr(instrument, name))


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_hangs_while_it_closes_holds_nobody_up(opened, hang, name):
    told = rf"^simulated .*{NAMES[name]}: expected it closed within 0\.05 s, got no end"
    with pytest.raises(DeviceTimeout, match=told), opened as instrument:
        getattr(instrument, name).close = hang
    assert_closed(instrument, name)


def test_it_does_not_hide_what_went_wrong_before(opened, hang):
    def fail(instrument):
        instrument.camera.close = instrument.stage.close = hang
        raise AcquisitionError("the scan")

    with pytest.raises(AcquisitionError, match="the scan") as caught, opened as instrument:
        fail(instrument)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == [
        "simulated sCMOS",
        "simulated piezo stage",
    ]
    assert_closed(instrument, "camera", "stage")


def test_one_that_refuses_is_told_too(opened):
    def refuse():
        raise DeviceError("camera: expected it to close, got an error")

    with pytest.raises(DeviceError, match="expected it to close"), opened as instrument:
        instrument.camera.close = refuse
    assert_closed(instrument, "camera")
