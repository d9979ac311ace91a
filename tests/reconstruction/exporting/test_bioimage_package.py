"""Packages for bioimage.io, tested by its own tools."""

import gc
import hashlib
import io
import zipfile

import numpy as np
import pytest
import torch
from bioimageio import core
from export_bench import FACTS, OPTICS, frame_network, scan_network
from PIL import Image

from configs.errors import ReconstructionError
from reconstruction.exporting.bioimage_package import _check, write_package
from reconstruction.exporting.raw_models import RawFrames, RawScan
from reconstruction.exporting.silence import silence

MODELS = {
    "frame": RawFrames(frame_network(), 5, OPTICS, FACTS),
    "scan": RawScan(scan_network(), OPTICS, FACTS),
}
AXES = {
    "frame": {
        "frames": ("batch", "y", "x"),
        "probability": ("batch", "y", "x"),
    },
    "scan": {
        "frames": ("rows", "columns", "y", "x"),
        "valid": ("rows", "columns"),
        "off_um": ("rows", "columns", "channel"),
        "probability": ("rows", "columns"),
        "coverage": ("rows", "columns"),
    },
}


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def package(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp(kind) / "model.zip"
    assert write_package(MODELS[kind], path) < 1e-5
    return path


def read(package, name):
    with zipfile.ZipFile(package) as archive:
        return archive.read(name)


def array(package, name):
    return np.load(io.BytesIO(read(package, f"{name}.npy")))


@pytest.fixture(scope="module")
def description(package):
    folder = package.parent / "unpacked"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    with silence():
        return core.load_model_description(folder / "bioimageio.yaml", format_version="latest")


def test_it_passes_their_test(package):
    with silence():
        summary = core.test_model(package)
        gc.collect()  # they leave the file open
    assert summary.status == "passed", summary.format()
    assert any("Reproduce test outputs" in detail.name for detail in summary.details)


def test_axes_are_what_they_are(kind, description):
    tensors = {tensor.id: tensor for tensor in [*description.inputs, *description.outputs]}
    for name, axes in AXES[kind].items():
        assert tuple(axis.id for axis in tensors[name].axes) == axes
    for name in ("offset_adu", "gain_e_per_adu", "open_peak_e"):
        assert tensors[name].axes[0].channel_names == [name]
    pixels, squares = (tensors[name].axes[-1] for name in ("frames", "probability"))
    assert (pixels.size, pixels.scale) == (16, pytest.approx(4 * 0.0417))
    assert (squares.unit, squares.scale) == ("micrometer", 0.18)
    if kind == "frame":
        assert squares.size == 5
    else:
        assert (squares.size.tensor_id, squares.size.axis_id) == ("frames", "columns")


def test_what_people_want_to_know_is_there(kind, package, description):
    assert [author.name for author in description.authors] == ["The OpticalNet authors"]
    assert (description.license, description.name) == (
        "BSD-3-Clause",
        "OpticalNet small network",
    )
    assert "diffraction" in description.tags
    assert dict(description.config.opticalnet) == FACTS
    card = read(package, "README.md").decode()
    assert "## Validation" in card
    assert all(name in card for name in MODELS[kind].inputs)
    cover = Image.open(io.BytesIO(read(package, "cover.png")))
    assert cover.size == (512, 256)
    assert min(np.std(half) for half in np.split(np.asarray(cover), 2, axis=1)) > 5


def test_tensors_are_those_of_a_simulated_scan(kind, package):
    model = MODELS[kind]
    inputs = tuple(torch.from_numpy(array(package, name)) for name in model.inputs)
    assert 100 < float(inputs[0].mean()) < float(inputs[0].max()) < 6000
    for name, output in zip(model.outputs, model.run(inputs), strict=True):
        np.testing.assert_array_equal(array(package, name), output.numpy())


def test_one_that_does_not_give_what_it_says_is_refused(package, tmp_path):
    other = io.BytesIO()
    np.save(other, np.flip(array(package, "probability")))
    digests = [
        hashlib.sha256(content).hexdigest().encode()
        for content in (read(package, "probability.npy"), other.getvalue())
    ]
    wrong = tmp_path / "wrong.zip"
    with zipfile.ZipFile(package) as archive, zipfile.ZipFile(wrong, "w") as copy:
        for name in archive.namelist():
            copied = archive.read(name).replace(*digests)
            copy.writestr(name, other.getvalue() if name == "probability.npy" else copied)
    with (
        silence(),
        pytest.raises(ReconstructionError, match=r"that bioimage\.io accepts, got: "),
    ):
        _check(wrong)
