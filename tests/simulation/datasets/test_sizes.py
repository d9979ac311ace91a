"""Sizes that are known before anything is simulated."""

from configs.dataset import load_dataset_plan
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
