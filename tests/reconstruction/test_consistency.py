"""Whether maps explain frames: right ones do, and wrong instruments show."""

import numpy as np
import pytest
import torch

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from configs.instrument import SimulatedCameraConfig
from configs.optics import GaussianBeam, Optics
from reconstruction.consistency import LARGEST_UNEXPLAINED, ConsistencyCheck
from reconstruction.load import scan_predictor
from simulation.forward import ForwardModel
from simulation.sensor import SensorModel

PLAN = ScanPlan(rows=14, columns=12, centre_um=(100.0, 100.0), landmark=None)
CAMERA = SimulatedCameraConfig()


@pytest.fixture
def truth():
    return (np.random.default_rng(0).random(PLAN.sample_shape) < 0.4).astype(float)


def lines(truth, optics=None, power=1.0, exposure_ms=10.0):
    """Frames of a scan over a sample, as an instrument with some optics takes them."""
    optics = optics or Optics()
    model = ForwardModel(optics)
    reach = PLAN.margin + model.cells // 2
    padded = torch.from_numpy(np.pad(truth, reach).astype(np.float32))
    windows = padded.unfold(0, model.cells, 1).unfold(1, model.cells, 1)
    random = torch.Generator().manual_seed(0)
    sensor = SensorModel(CAMERA.sensor, CAMERA.maps, 64, random)
    scale = CAMERA.open_peak_e_per_ms * exposure_ms / ForwardModel(Optics()).open_peak()
    for row, line in enumerate(windows):
        light = model.frames(line) * scale * power + 0.05 * exposure_ms
        adu = sensor.expose(light, exposure_ms, random).numpy().astype(np.uint16)
        yield FrameLine(row, np.arange(len(adu)), adu, np.zeros((len(adu), 2)))


def look(make_info, coverage, frames, exposure_ms=10.0):
    plan = PLAN.model_copy(update={"exposure_ms": exposure_ms})
    check = ConsistencyCheck(make_info(plan, camera=CAMERA), coverage)
    for line in frames:
        check.add(line)
    return check.result()


def read_and_look(make_info, frames):
    """What the check says of the map that the network makes of frames."""
    predictor = scan_predictor(make_info(PLAN, camera=CAMERA), torch.device("cpu"))[0]
    frames = list(frames)
    for line in frames:
        predictor.consume(line)
    predictor.finish()
    return look(make_info, predictor.squares.coverage, frames)


def shone_on(line, adu):
    """The line, had the camera seen the same number in all pixels, and noise."""
    noise = np.random.default_rng(line.row).normal(adu, 3, line.images.shape)
    images = noise.round().clip(0, 65535).astype(np.uint16)
    return FrameLine(line.row, line.columns, images, line.off_um)


@pytest.mark.parametrize("exposure_ms", [1.0, 10.0])
@pytest.mark.parametrize("power", [0.8, 1.0])
def test_the_truth_explains_its_frames(make_info, truth, exposure_ms, power):
    frames = lines(truth, power=power, exposure_ms=exposure_ms)
    result = look(make_info, truth, frames, exposure_ms)
    assert abs(result.unexplained) < 0.1 * LARGEST_UNEXPLAINED
    assert (result.saturated, result.frames, result.warning) == (0, len(PLAN), "")


def test_another_sample_is_not_explained(make_info, truth):
    assert look(make_info, 1 - truth, lines(truth)).unexplained > 10 * LARGEST_UNEXPLAINED


def test_the_network_explains_what_it_knows(make_info, truth):
    assert read_and_look(make_info, lines(truth)).warning == ""


@pytest.mark.parametrize(
    "optics",
    [
        Optics(defocus_wavelengths=9.0),
        Optics(defocus_wavelengths=11.0),
        Optics(beam=GaussianBeam(fwhm_nm=650.0)),
        Optics(roi_px=64, binning=1),
    ],
    ids=["nearer", "farther", "wider", "another window"],
)
def test_another_instrument_is_not_explained_by_the_network(make_info, truth, optics):
    result = read_and_look(make_info, lines(truth, optics))
    assert result.unexplained > LARGEST_UNEXPLAINED
    assert f"explain {result.unexplained:.2%} of the light" in result.warning
    assert "compare focus, window, beam and laser" in result.warning


def test_a_laser_that_fails_is_noticed_by_the_network(make_info, truth):
    half = [line if line.row < 7 else shone_on(line, 100) for line in lines(truth)]
    assert "does not explain" in read_and_look(make_info, half).warning
    dead = [shone_on(line, 100) for line in half]
    assert read_and_look(make_info, dead).warning == (
        f"none of {len(PLAN)} frames looked at has light; was the laser on?"
    )


def test_saturated_frames_are_counted(make_info, truth):
    frames = [line if line.row else shone_on(line, 65600) for line in lines(truth)]
    result = read_and_look(make_info, frames)
    assert result.saturated == PLAN.columns
    assert f"{PLAN.columns} of {len(PLAN)} frames looked at are saturated" in result.warning


def test_without_frames_nothing_is_said(make_info, truth):
    result = look(make_info, truth, [])
    assert result.unexplained is None
    assert result.warning == ""
