"""Weights, and the instruments that they know."""

import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ReconstructionError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.load import load_network
from reconstruction.trained import TrainedFor
from reconstruction.weights_file import halve, shipped_weights, weights_metadata

SMALL = FrameArchitecture(components=8, width=16, blocks=1)
TRAINED = TrainedFor(
    optics=Optics(),
    tolerance={"defocus_wavelengths": 0.05, "beam.fwhm_nm": 0.03},
    pitch_nm=180.0,
)


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_file(FrameNetwork(SMALL).state_dict(), path, weights_metadata("frame", SMALL, TRAINED))
    return path


def test_weights_survive_the_file(path):
    torch.manual_seed(0)
    expected = FrameNetwork(SMALL)
    again, weights = load_network(path, "frame")
    frames = torch.rand(5, 64, 64)
    assert torch.equal(again(frames), expected(frames))
    halve(path, path.with_name("half.safetensors"))
    again, half = load_network(path.with_name("half.safetensors"), "frame")
    assert (again.architecture, half.trained_for) == (SMALL, TRAINED)
    assert {tensor.dtype for tensor in again.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(again(frames), expected(frames), rtol=1e-2, atol=1e-2)
    assert half.path.stat().st_size < 0.6 * path.stat().st_size
    path.with_name("any").touch()
    assert half.path.stat().st_mode == path.with_name("any").stat().st_mode
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert weights.trained_for == TRAINED


@pytest.mark.parametrize(
    "optics",
    [
        Optics(),
        Optics(defocus_wavelengths=9.6),
        Optics(beam=GaussianBeam(fwhm_nm=550.0)),
    ],
)
def test_instruments_near_the_trained_ones_fit(optics):
    TRAINED.check("w", optics, 180.0)


@pytest.mark.parametrize(
    ("optics", "pitch_nm", "said"),
    [
        (Optics(), 200.0, "pitch_nm expected 180, got 200"),
        (
            Optics(defocus_wavelengths=9.0),
            180.0,
            r"optics\.defocus_wavelengths expected 10\.0 within 5%, got 9\.0",
        ),
        (Optics(roi_px=128), 180.0, r"optics\.roi_px expected 256, got 128"),
        (Optics(beam=FocusedBeam(kind="focused")), 180.0, r"optics\.beam\.\w+ expected"),
        (
            Optics(collection_zernike_waves=(0.0, 0.1)),
            180.0,
            r"optics\.collection_zernike_waves",
        ),
    ],
)
def test_other_instruments_are_refused(optics, pitch_nm, said):
    with pytest.raises(ReconstructionError, match=f"weights w do not fit: {said}"):
        TRAINED.check("w", optics, pitch_nm)


def test_files_that_are_no_weights_are_refused(path, tmp_path):
    for name, content in (("missing", None), ("garbage", b"garbage")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ReconstructionError, match=r"readable safetensors file.*check the"):
            load_network(tmp_path / name, "frame")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(
        ReconstructionError, match="expected format opticalnet-weights-1, got None"
    ):
        load_network(tmp_path / "other", "frame")
    with pytest.raises(ReconstructionError, match="expected model scan, got frame"):
        load_network(path, "scan")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optics", None, r"got instrument\.optics"),
        ("optics", "{", "got instrument: Invalid JSON"),
        ("optics", '{"roi_px": 256, "colour": "red"}', r"instrument\.optics\.colour: Extra"),
        ("tolerance", "[0.05]", r"instrument\.tolerance: Input should be an object"),
        ("tolerance", '{"beam.fwhm_nm": [0.05]}', r"tolerance\.beam\.fwhm_nm: .* number"),
        ("tolerance", '{"beam.fwhm_nm": -0.05}', r"tolerance\.beam\.fwhm_nm: .* greater"),
        ("pitch_nm", "0", r"instrument\.pitch_nm: .* greater than 0"),
        ("architecture", None, "architecture: Invalid JSON"),
        ("architecture", "x", "architecture: Invalid JSON"),
        ("architecture", "[64]", "architecture: Input should be an object"),
        ("architecture", '{"depth": 3}', r"architecture\.depth: Extra inputs"),
        ("architecture", '{"width": -16}', r"architecture\.width: .* greater than 0"),
        ("architecture", '{"width": [16]}', r"architecture\.width: .* valid integer"),
        ("architecture", '{"width": 16.5}', r"architecture\.width: .* integer"),
        ("architecture", '{"width": 1000000000}', "tensors of the stated sizes, got: "),
        ("architecture", '{"width": 4000000000000}', "sizes that torch can count"),
        ("architecture", f'{{"width": {10**20}}}', "sizes that torch can count"),
        (
            "architecture",
            '{"components": 8, "width": 24, "blocks": 1}',
            "tensors of the stated sizes, got: size mismatch",
        ),
        ("training", "{}", r"training\.epoch: Field required"),
    ],
)
def test_damaged_facts_are_refused(path, key, value, said):
    metadata = weights_metadata("frame", SMALL, TRAINED)
    metadata = {k: v for k, v in (metadata | {key: value}).items() if v is not None}
    save_file(FrameNetwork(SMALL).state_dict(), path, metadata)
    with pytest.raises(ReconstructionError, match=said) as caught:
        load_network(path, "frame")
    assert str(caught.value).startswith(f"weights {path}: expected ")
    assert str(caught.value).endswith("; train them again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(path, value):
    tensors = FrameNetwork(SMALL).half().state_dict()
    tensors["norm.bias"][3] = value
    save_file(tensors, path, weights_metadata("frame", SMALL, TRAINED))
    with pytest.raises(ReconstructionError, match=r"finite numbers, got others in norm\.bias"):
        load_network(path, "frame")


def test_a_network_for_other_frames_than_those_of_its_optics_is_refused(path):
    other = SMALL.changed(image_px=32)
    metadata = weights_metadata("frame", other, TRAINED)
    save_file(FrameNetwork(other).state_dict(), path, metadata)
    with pytest.raises(ReconstructionError, match=r"frames of 64 px, .* for 32 px"):
        load_network(path, "frame")


def test_what_ships_is_small():
    assert sum(shipped_weights(m).stat().st_size for m in ("frame", "scan")) < 30_000_000
