"""Weights, and the instruments that they know."""

import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ReconstructionError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.weights_file import (
    TrainedFor,
    halve,
    read_weights,
    shipped_weights,
    weights_metadata,
)

SMALL = FrameArchitecture(components=8, width=16, blocks=1)
TRAINED = TrainedFor(Optics(), {"defocus_wavelengths": 0.05, "beam.fwhm_nm": 0.03}, 180.0)


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_file(FrameNetwork(SMALL).state_dict(), path, weights_metadata("frame", SMALL, TRAINED))
    return path


def test_weights_survive_the_file(path):
    torch.manual_seed(0)
    expected = FrameNetwork(SMALL)
    weights = read_weights(path, "frame")
    again = FrameNetwork(FrameArchitecture(**weights.architecture))
    weights.fill(again, "cpu")
    frames = torch.rand(5, 64, 64)
    assert torch.equal(again(frames), expected(frames))
    halve(path, path.with_name("half.safetensors"))
    half = read_weights(path.with_name("half.safetensors"), "frame")
    assert (half.architecture, half.trained_for) == (weights.architecture, TRAINED)
    half.fill(again, "cpu")
    torch.testing.assert_close(again(frames), expected(frames), rtol=1e-2, atol=1e-2)
    assert half.path.stat().st_size < 0.6 * path.stat().st_size
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
            read_weights(tmp_path / name, "frame")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(
        ReconstructionError, match="expected format opticalnet-weights-1, got None"
    ):
        read_weights(tmp_path / "other", "frame")
    with pytest.raises(ReconstructionError, match="expected model scan, got frame"):
        read_weights(path, "scan")


@pytest.mark.parametrize(
    ("key", "value"), [("optics", None), ("optics", "{"), ("architecture", "x")]
)
def test_damaged_facts_are_refused(path, key, value):
    metadata = weights_metadata("frame", SMALL, TRAINED)
    metadata = {k: v for k, v in (metadata | {key: value}).items() if v is not None}
    save_file(FrameNetwork(SMALL).state_dict(), path, metadata)
    with pytest.raises(ReconstructionError, match="what they were trained for"):
        read_weights(path, "frame")


def test_tensors_of_another_size_are_refused(path):
    with pytest.raises(ReconstructionError, match="tensors of the stated sizes"):
        read_weights(path, "frame").fill(FrameNetwork(FrameArchitecture()), "cpu")


def test_what_ships_is_small():
    assert sum(shipped_weights(m).stat().st_size for m in ("frame", "scan")) < 30_000_000
