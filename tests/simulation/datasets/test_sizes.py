"""What is known before anything is simulated."""

import numpy as np
import pytest
from dataset_bench import part, small_plan

from configs.dataset import load_dataset_plan
from configs.errors import ConfigError
from simulation.datasets.sizes import part_sizes


def test_the_paper_is_table_1_of_the_paper():
    plan = load_dataset_plan("paper")
    sizes = part_sizes(plan)
    assert {part.path: size.frames for part, size in zip(plan.parts, sizes, strict=True)} == {
        "train/block": 12_068,
        "test/block": 1_000,
        "test/light": 4_356,
        "test/ss": 4_356,
    }
    assert [part.scans for part in plan.parts] == [3, 1, 1, 1]
    assert {(size.rows, size.columns) for size in sizes} == {(66, 66)}
    # What is continuous is not simulated on the squares that it is read on.
    assert [size.cells_per_square for size in sizes] == [1, 1, 6, 6]


def split(train: dict, test: dict):
    """Return a plan that trains on one sample and tests with another."""
    parts = [part(**train), part(**test, split="test")]
    return small_plan(parts=parts)


STAR = {"kind": "star", "squares": 12, "spokes": 5, "radius_um": 0.8}
LEAKS = {
    "shifted by a square": (STAR, {"centre_um": [0.18, 0.0]}),
    "shifted by half a square": (STAR, {"centre_um": [0.09, 0.0]}),
    "on a larger field": (STAR, {"squares": 14}),
    "of another size": (STAR, {"radius_um": 0.6}),
    "on other cells": (STAR, {"cell_nm": 20.0}),
    "hardly moved": (STAR, {"fabrication": {"position_jitter_nm": 0.001}}),
    "badly made": (STAR, {"fabrication": {"missing": 0.4, "overetch_nm": 30.0}}),
    "turned by a spoke": (STAR, {"rotation_deg": 72.0}),
    "a glyph of another size": ({"kind": "light", "squares": 12}, {"squares": 20}),
    "a grating on a larger field": ({"kind": "grating", "squares": 8}, {"squares": 12}),
    "a text of another size": (
        {"kind": "text", "text": "ab", "squares": 12},
        {"squares": 20, "fabrication": {"corner_radius_nm": 20.0}},
    ),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_what_is_trained_on_is_not_tested_with(kind):
    train, change = LEAKS[kind]
    with pytest.raises(ConfigError) as raised:
        part_sizes(split(train, train | change))
    said = str(raised.value)
    assert "expected no sample in both splits, got the same one in train/it and test/it" in said
    assert "\n" not in said


def test_a_mask_is_known_by_its_content(tmp_path):
    glyph = np.random.default_rng(0).random((6, 6)) < 0.5
    for name, mask in {
        "mask": glyph,
        "same": glyph,
        "moved": np.pad(glyph, ((2, 0), (0, 3))),
        "other": ~glyph,
    }.items():
        np.save(tmp_path / f"{name}.npy", mask.astype(float))
    train = {"kind": "mask", "path": str(tmp_path / "mask.npy")}
    finer = {"path": str(tmp_path / "same.npy"), "cell_nm": 90.0}
    for change in (finer, {"path": str(tmp_path / "moved.npy")}):
        with pytest.raises(ConfigError, match="no sample in both splits"):
            part_sizes(split(train, train | change))
    part_sizes(split(train, train | {"path": str(tmp_path / "other.npy")}))


@pytest.mark.parametrize(
    ("train", "change"),
    [
        ({"kind": "block", "squares": 12}, {}),
        ({"kind": "qr", "squares": 60}, {}),
        (STAR, {"spokes": 6}),
        (STAR, {"rotation_deg": 36.0}),
        ({"kind": "text", "text": "ab", "squares": 12}, {"text": "cd"}),
    ],
)
def test_what_differs_may_be_tested_with(train, change):
    assert len(part_sizes(split(train, train | change))) == 2


def test_faint_masks_without_an_open_square_are_told_apart(tmp_path):
    for number in (1, 2):
        np.save(tmp_path / f"{number}.npy", np.full((3, 3), number / 10))
    one, other = ({"kind": "mask", "path": str(tmp_path / f"{n}.npy")} for n in (1, 2))
    assert len(part_sizes(split(one, other))) == 2
