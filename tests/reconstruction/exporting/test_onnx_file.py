"""ONNX files, read by others."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_bench import FACTS, OPTICS, frame_network, scan_network

from acquisition.frame import FrameLine
from configs.errors import ReconstructionError
from configs.instrument import Sensor, SimulatedCameraConfig
from reconstruction.amplitude import relative_amplitude
from reconstruction.exporting.onnx_file import write_onnx
from reconstruction.exporting.raw_models import RawFrames, RawLevels, RawScan
from reconstruction.frame_network import centre
from reconstruction.predictor import ScanPredictor

ROOT = Path(__file__).parents[3]
SENSOR = Sensor(offset_adu=300.0, gain_e_per_adu=1.7)
PEAK_E = 500.0
CPU = torch.device("cpu")


def adu(*shape):
    return np.random.default_rng(1).integers(250, 900, (*shape, 16, 16)).astype(np.float32)


def sensor(peak_e=PEAK_E):
    values = {
        "offset_adu": SENSOR.offset_adu,
        "gain_e_per_adu": SENSOR.gain_e_per_adu,
        "open_peak_e": peak_e,
    }
    return {name: np.float32(value)[()] for name, value in values.items()}


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(array) for name, array in inputs.items()})


def shapes(values):
    return {
        value.name: [
            length.dim_param or length.dim_value for length in value.type.tensor_type.shape.dim
        ]
        for value in values
    }


@pytest.mark.parametrize("grid", [3, 7])
def test_frames(tmp_path, grid):
    path, network = tmp_path / "frame.onnx", frame_network()
    difference = write_onnx(RawFrames(network, grid, OPTICS, FACTS), path)
    assert 0 <= difference < 1e-5
    for batch in (1, 6):
        frames = adu(batch)
        amplitude = relative_amplitude(torch.from_numpy(frames), SENSOR, PEAK_E)
        expected = centre(network(amplitude), grid).sigmoid().numpy()
        (said,) = run(path, frames=frames, **sensor())
        np.testing.assert_allclose(said, expected, atol=1e-5)
        assert expected.std() > 0.01
    graph = onnx.load(path).graph
    scalars = {name: [] for name in sensor()}
    assert shapes(graph.input) == {"frames": ["batch", 16, 16], **scalars}
    assert shapes(graph.output) == {"probability": ["batch", grid, grid]}


def test_levels_need_no_sensor(tmp_path):
    path, network = tmp_path / "levels.onnx", frame_network()
    write_onnx(RawLevels(network, 7, OPTICS, FACTS), path)
    levels = np.random.default_rng(2).integers(0, 256, (2, 16, 16)).astype(np.float32)
    (said,) = run(path, frames=levels)
    expected = network(torch.from_numpy(levels / 255).sqrt()).sigmoid()
    np.testing.assert_allclose(said, expected.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.onnx"
    assert write_onnx(RawScan(scan_network(), OPTICS, FACTS), path) < 1e-5
    return path


def test_scans_as_the_predictor_sees_them(scan_path, small_plan, make_info):
    camera = SimulatedCameraConfig(sensor=SENSOR, open_peak_e_per_ms=PEAK_E / 10)
    info = make_info(small_plan, camera=camera, optics=OPTICS)
    rows, columns = small_plan.rows, small_plan.columns
    frames, random = adu(rows, columns), np.random.default_rng(3)
    valid = random.random((rows, columns)) < 0.8
    off_um = 0.02 * random.normal(size=(rows, columns, 2)).astype(np.float32)
    off_um[2] = np.nan
    predictor = ScanPredictor(info, scan_network(), CPU)
    for row in range(rows):
        there = np.flatnonzero(valid[row])
        images = frames[row, there].astype(np.uint16)
        predictor.consume(FrameLine(row, there, images, off_um[row, there]))
    predictor.finish()
    frames[~valid] = np.nan  # what stands there does not matter
    said = run(scan_path, frames=frames, valid=valid, off_um=off_um, **sensor())
    inside = slice(small_plan.margin, -small_plan.margin)
    expected = predictor.squares.probability, predictor.squares.coverage
    for ours, theirs in zip(said, expected, strict=True):
        np.testing.assert_allclose(ours[inside, inside], theirs, atol=1e-5)
        assert theirs.std() > 0.01


def test_the_file_says_what_it_is_and_nothing_of_this_machine(scan_path):
    model = onnx.load(scan_path)
    assert {fact.key: fact.value for fact in model.metadata_props} == FACTS
    assert str(ROOT).encode() not in scan_path.read_bytes()
    assert shapes(model.graph.input)["off_um"] == ["rows", "columns", 2]
    plane = ["rows", "columns"]
    assert shapes(model.graph.output) == {"probability": plane, "coverage": plane}
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds
    assert onnx.TensorProto.FLOAT16 not in kinds


class Other(RawLevels):
    """Says one thing in torch and another when it is written."""

    def forward(self, frames):
        return super().forward(frames) * (0.99 if torch.compiler.is_exporting() else 1.0)


class Branching(RawLevels):
    """Goes where no file can follow."""

    def forward(self, frames):
        return super().forward(frames if frames.sum() > 0 else -frames)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(Other, "within 0.0001, got a difference of 0.0"), (Branching, "as ONNX")],
)
def test_what_does_not_agree_is_refused(tmp_path, kind, said):
    model = kind(frame_network(), 3, OPTICS, FACTS)
    with pytest.raises(ReconstructionError, match=said) as refusal:
        write_onnx(model, tmp_path / "frame.onnx")
    assert "\n" not in str(refusal.value)
