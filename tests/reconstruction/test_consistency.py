"""Whether maps explain frames: right ones do, and wrong instruments show."""

import numpy as np
import pytest
import torch

from acquisition.frame import FrameLine
from acquisition.plan import ScanPlan
from configs.instrument import SimulatedCameraConfig
from configs.optics import GaussianBeam, Optics
from reconstruction.consistency import LARGEST_UNEXPLAINED, ConsistencyCheck
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


def check(make_info, coverage, frames, exposure_ms=10.0):
    plan = PLAN.model_copy(update={"exposure_ms": exposure_ms})
    looked = ConsistencyCheck(make_info(plan, camera=CAMERA), coverage)
    for line in frames:
        looked.add(line)
    return looked.result()


@pytest.mark.parametrize("exposure_ms", [1.0, 10.0])
@pytest.mark.parametrize("power", [0.8, 1.0])
def test_the_truth_explains_its_frames(make_info, truth, exposure_ms, power):
    frames = lines(truth, power=power, exposure_ms=exposure_ms)
    result = check(make_info, truth, frames, exposure_ms)
    assert abs(result.unexplained) < 0.2 * LARGEST_UNEXPLAINED
    assert (result.dark, result.frames, result.warning) == (0, len(PLAN), "")


@pytest.mark.parametrize(
    "optics",
    [
        Optics(defocus_wavelengths=8.0),
        Optics(defocus_wavelengths=12.0),
        Optics(beam=GaussianBeam(fwhm_nm=650.0)),
    ],
    ids=["nearer", "farther", "wider"],
)
def test_another_instrument_is_not_explained(make_info, truth, optics):
    result = check(make_info, truth, lines(truth, optics))
    assert result.unexplained > LARGEST_UNEXPLAINED
    assert f"explain {result.unexplained:.1%} of the light" in result.warning
    assert "compare focus, window and beam" in result.warning


def test_another_sample_is_not_explained(make_info, truth):
    assert check(make_info, 1 - truth, lines(truth)).unexplained > 4 * LARGEST_UNEXPLAINED


def test_another_window_is_noticed(make_info, truth):
    assert check(make_info, truth, lines(truth, Optics(roi_px=64, binning=1))).warning


def test_a_beam_that_was_cut_is_noticed(make_info, truth):
    half = [
        line if line.row < 7 else FrameLine(line.row, line.columns, dark(line), line.off_um)
        for line in lines(truth)
    ]
    result = check(make_info, truth, half)
    assert result.dark > 20
    assert f"{result.dark} of {len(PLAN)} frames are dark" in result.warning
    assert abs(result.unexplained) < 0.2 * LARGEST_UNEXPLAINED


def dark(line):
    noise = np.random.default_rng(line.row).normal(100, 3, line.images.shape)
    return noise.round().astype(np.uint16)


def test_without_frames_nothing_is_said(make_info, truth):
    result = check(make_info, truth, [])
    assert result.unexplained is None
    assert result.warning == ""
