"""What is in a data set: the right light, the right squares, every frame in its place."""

import json

import numpy as np
import pytest
import torch
import zarr
from dataset_bench import (
    BRIGHT,
    PARTS,
    STILL,
    arrays,
    bench,
    make,
    part,
    small_plan,
)

from configs.geometry import SampleGeometry
from configs.optics import Optics
from simulation.clock import VirtualClock
from simulation.datasets.reader import Dataset
from simulation.defocus import FocusSeries
from simulation.forward import ForwardModel
from simulation.samples import Sample
from simulation.world import World

RATE_E_PER_MS = BRIGHT.open_peak_e_per_ms


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small set; nobody changes it."""
    return make(small_plan(), tmp_path_factory.mktemp("small") / "set.zarr")


@pytest.fixture
def mask(tmp_path):
    """A 5 x 7 mask without any symmetry, for cells of 60 nm."""
    cells = np.random.default_rng(2).random((15, 21)) < 0.4
    np.save(tmp_path / "mask.npy", cells.astype(float))
    return tmp_path / "mask.npy"


def electrons(frames):
    return (frames.astype(float) - 100) * 0.46


def assert_same_light(frames, light_e):
    """As like as photon noise allows."""
    error = np.linalg.norm(electrons(frames) - light_e) / np.linalg.norm(light_e)
    assert error < 1.2 * np.sqrt(light_e.sum()) / np.linalg.norm(light_e)


def test_arrays_on_disk(small):
    points = {"scan": "u4", "row": "u2", "column": "u2", "focus_nm": "f8", "power": "f8"}
    for name, frames, shape, per_square in (
        ("train/block", 100, (2, 7, 7), 1),
        ("test/ss", 100, (1, 8, 8), 6),
    ):
        group = zarr.open_group(small / name, mode="r")
        kinds = {key: (array.shape, array.dtype) for key, array in group.arrays()}
        fine = (shape[0], shape[1] * per_square, shape[2] * per_square)
        assert kinds == {
            "frames": ((frames, 16, 16), "u2"),
            **{f"target_{g}": ((frames, g, g), "u1") for g in (3, 5, 7)},
            **{key: ((frames,), dtype) for key, dtype in points.items()},
            "position_um": ((frames, 2), "f8"),
            "coverage": (shape, "f8"),
            "cells": (fine, "f8"),
        }
        assert group["frames"].chunks == (shape[1] + 2, 16, 16)
        assert group["frames"].metadata.dimension_names == ("frame", "y", "x")


def test_frames_are_in_the_order_of_their_scans(small):
    points = Dataset(small)["train/block"].points
    index = np.arange(100)
    assert np.array_equal(points("scan"), index // 81)
    assert np.array_equal(points("row"), index % 81 // 9)
    assert np.array_equal(points("column"), index % 9)


def test_frames_show_the_cells_under_the_beam(tmp_path, mask):
    path = make(
        small_plan(
            instrument=bench(BRIGHT, STILL),
            parts=[part("mask", path=str(mask), cell_nm=60.0)],
        ),
        tmp_path / "set.zarr",
    )
    model = ForwardModel(Optics(roi_px=64), 60.0)
    reach = model.cells // 2
    padded = np.pad(np.load(mask), reach + 2)
    frames = Dataset(path)["train/it"].frames().reshape(7, 9, 16, 16)
    for row, column in ((0, 0), (1, 7), (4, 2), (6, 5)):
        # The middle cell of the square under the beam; the margin is one square.
        top, left = 3 * row + 2 - 2, 3 * column + 2 - 2
        window = padded[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        light = model.frames(torch.from_numpy(window)[None])[0].numpy()
        assert_same_light(frames[row, column], light * 10 * RATE_E_PER_MS / model.open_peak())


def test_a_set_shows_what_the_live_instrument_shows(tmp_path, mask):
    """Orientation, the sign and the pace of drift, the cell under the beam."""
    drifting = STILL.model_copy(update={"drift_nm_per_min": (4000.0, -7000.0)})
    plan = small_plan(
        instrument=bench(BRIGHT, drifting),
        parts=[part("mask", path=str(mask), cell_nm=60.0)],
    )
    data = Dataset(make(plan, tmp_path / "set.zarr"))["train/it"]
    sample = Sample("it", np.load(mask), 3)
    geometry = SampleGeometry(5, 7, 180.0, (100.0, 100.0))
    for index in (0, 17, 40, 62):
        row, column = divmod(index, 9)
        clock, place_um = VirtualClock(), geometry.stage_um(row - 1, column - 1)
        world = World(
            sample=sample,
            geometry=geometry,
            optics=plan.instrument.optics,
            camera=BRIGHT,
            environment=drifting,
            stage_um=lambda place_um=place_um: place_um,
            is_lit=lambda: True,
            clock=clock,
            seed=1,
        )
        clock.sleep((10 + 21 * index) / 1000)  # 10 ms to settle, 10 to expose, 1 to read out
        live = electrons(world.expose(10.0))
        error = np.linalg.norm(electrons(data.frames()[index]) - live) / np.linalg.norm(live)
        assert error < 1.2 * np.sqrt(2 * live.sum()) / np.linalg.norm(live)
        moved_nm = np.array(drifting.drift_nm_per_min) * (15 + 21 * index) / 60_000
        place_nm = 180 * np.array([column - 4, row - 3]) - moved_nm
        assert data.points("position_um")[index] == pytest.approx(place_nm / 1000)


def test_laser_power_is_that_of_the_frames(tmp_path):
    parts = [part("block", squares=4)]
    sums = {}
    for name, noise in (("steady", 0.0), ("restless", 0.2)):
        laser = STILL.model_copy(update={"laser_noise": noise})
        plan = small_plan(instrument=bench(BRIGHT, laser), parts=parts)
        data = Dataset(make(plan, tmp_path / name))["train/it"]
        sums[name] = electrons(data.frames()).sum(axis=(1, 2))
    assert data.points("power").std() == pytest.approx(0.2, rel=0.4)
    assert sums["restless"] / sums["steady"] == pytest.approx(data.points("power"), rel=0.03)


def test_focus_is_that_of_the_frames(tmp_path):
    sinking = STILL.model_copy(update={"focus_drift_nm_per_min": 6e4})
    plan = small_plan(instrument=bench(BRIGHT, sinking), parts=[part("block", squares=4)])
    data = Dataset(make(plan, tmp_path / "set.zarr"))["train/it"]
    # A nanometre a millisecond; a line of 6 points is in focus at its middle.
    middles_ms = 15 + 21 * (6 * np.repeat(np.arange(6), 6) + 2.5)
    assert np.array_equal(data.points("focus_nm"), np.rint(middles_ms))
    series = FocusSeries(Optics(roi_px=64), 180.0)
    padded = torch.from_numpy(np.pad(data.coverage(0), 8))
    for index in (8, 15, 26):
        row, column = divmod(index, 6)
        window = padded[row : row + 15, column : column + 15][None]
        light = series.at(data.points("focus_nm")[index]).frames(window)[0].numpy()
        peak = series.at(0.0).open_peak()
        assert_same_light(data.frames()[index], light * 10 * RATE_E_PER_MS / peak)


@pytest.mark.parametrize("grid", [3, 5, 7])
def test_targets_are_the_squares_around_the_beam(small, grid):
    data = Dataset(small)["test/ss"]
    is_open = data.coverage(0) >= 0.5
    for index, target in enumerate(data.targets(grid)):
        row, column = divmod(index, 10)
        for i in range(grid):
            for j in range(grid):
                r, c = row - 1 + i - grid // 2, column - 1 + j - grid // 2
                inside = 0 <= r < 8 and 0 <= c < 8
                assert target[i, j] == (inside and is_open[r, c])


def test_samples_are_kept_whole(small):
    data = Dataset(small)["test/ss"]
    cells = data.cells(0)
    assert 0 < ((cells > 0) & (cells < 1)).mean() < 0.3  # continuous: some cells are cut
    assert np.allclose(cells.reshape(8, 6, 8, 6).mean(axis=(1, 3)), data.coverage(0))
    block = Dataset(small)["train/block"]
    assert not np.array_equal(block.coverage(0), block.coverage(1))


def test_the_histogram_counts_targets_and_black_ones_too(small):
    data = Dataset(small)
    for one in data.values():
        for grid in (3, 5, 7):
            open_squares = one.targets(grid).sum(axis=(1, 2))
            counts = [int((open_squares == n).sum()) for n in range(grid**2 + 1)]
            assert list(one.info.histogram[str(grid)]) == counts
    assert data["test/ss"].info.histogram["3"][0] > 10


def test_no_two_lines_have_the_same_noise(tmp_path):
    film = {"kind": "block", "squares": 4, "density": 0.0}
    dark = [
        {"split": "train", "name": "a", "sample": film, "scans": 2},
        {"split": "train", "name": "b", "sample": film},
    ]
    data = Dataset(make(small_plan(parts=dark), tmp_path / "set.zarr"))
    frames = np.concatenate([one.frames() for one in data.values()])
    assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) == 3 * 36


def test_all_parts_are_seen_by_one_camera(tmp_path):
    uneven = BRIGHT.model_copy(
        update={"maps": BRIGHT.maps.model_copy(update={"response_nonuniformity": 0.1})}
    )
    clear = part("block", squares=12, density=1.0)
    plan = small_plan(
        instrument=bench(uneven, STILL), parts=[clear, {**clear, "name": "again"}]
    )
    data = Dataset(make(plan, tmp_path / "set.zarr"))
    # Where everything is open, all frames are alike but for the pixels and their noise.
    one, other = (electrons(p.frames()[84:98]).mean(axis=0).ravel() for p in data.values())
    smooth = ForwardModel(Optics(roi_px=64)).frames(torch.ones(1, 15, 15)).numpy().ravel()
    assert np.corrcoef(one / smooth, other / smooth)[0, 1] > 0.9


def test_what_a_set_says_of_itself(small):
    info = Dataset(small).info
    stored = json.loads((small / "zarr.json").read_text())["attributes"]["opticalnet"]
    assert (stored["format"], stored["simulated"]) == ("opticalnet-set-1", True)
    assert stored["plan"]["seed"] == 3
    assert stored["plan"]["instrument"]["optics"]["roi_px"] == 64
    assert set(stored["software"]) >= {"python", "opticalnet", "numpy", "torch", "zarr"}
    assert info.plan == small_plan()
    assert [(one.path, one.scans, one.frames) for one in info.parts] == [
        ("train/block", 2, 100),
        ("test/ss", 1, 100),
    ]


def test_reading_by_line(small):
    data = Dataset(small)["train/block"]
    lines = list(data.lines(5))
    assert [len(frames) for frames, _ in lines] == [9] * 11 + [1]
    assert np.array_equal(np.concatenate([frames for frames, _ in lines]), data.frames())
    assert np.array_equal(np.concatenate([targets for _, targets in lines]), data.targets(5))
    assert len(data) == 100
    assert np.array_equal(data.frames(3, 12), arrays(small)["train/block/frames"][3:12])


def test_a_part_cut_short_has_the_frames_of_the_whole(small, tmp_path):
    whole = make(small_plan(parts=[{**PARTS[0], "frames": None}]), tmp_path / "set.zarr")
    cut, full = arrays(small), arrays(whole)
    assert len(full["train/block/frames"]) == 162
    for name, array in full.items():
        assert np.array_equal(cut[name], array[: len(cut[name])])


def test_seeds(small, tmp_path):
    other = make(small_plan(seed=4), tmp_path / "set.zarr")
    ours, theirs = arrays(small), arrays(other)
    for name in ("train/block/coverage", "test/ss/position_um", "test/ss/frames"):
        assert not np.array_equal(ours[name], theirs[name])
    assert np.array_equal(ours["test/ss/coverage"], theirs["test/ss/coverage"])
