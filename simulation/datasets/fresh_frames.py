"""Frames that are simulated as they are asked for, without end."""

from collections.abc import Iterator
from itertools import count
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from configs.dataset import DatasetPlan, Split
from configs.errors import ConfigError
from configs.grid import LARGEST_GRID, check_grid
from simulation.datasets.lines import LineSimulator
from simulation.datasets.scan import Scan, draw_scan
from simulation.datasets.sizes import part_sizes
from simulation.streams import Stream, numpy_stream

_SHUFFLED_FRAMES: Final = 4096

Example = tuple[torch.Tensor, torch.Tensor]


class FreshFrames(IterableDataset[Example]):
    """Endless frames of a plan, with their squares.

    Scans follow one after another, each with a seed that no scan of the set has: random
    squares, modules, errors of fabrication and all noise are new. What chance does not draw,
    such as a star, is the same in every scan and in the set; so the plan must keep its splits
    apart as for a set. Frames of a scan come in random order. The seed of the plan fixes
    everything; each worker of a ``DataLoader`` takes scans of its own.

    Parameters
    ----------
    plan
        Instrument and samples.
    split
        Which parts of the plan to draw, in turn.
    grid
        Squares along a side of a target: 3, 5 or 7.

    Yields
    ------
    tuple
        Frame, (y, x), digital numbers, and target, (grid, grid), 0 or 1, both float32.

    Raises
    ------
    ConfigError
        If the plan has no such part or cannot be carried out, or there is no such grid.
    """

    def __init__(
        self, plan: DatasetPlan, *, split: Split = "train", grid: int = LARGEST_GRID
    ) -> None:
        self._parts = [n for n, part in enumerate(plan.parts) if part.split == split]
        if not self._parts:
            raise ConfigError(f"data set {plan.name}: expected parts to {split} with, got none")
        part_sizes(plan)  # nothing of one split is in the other
        self._plan = plan
        self._grid = check_grid(grid)

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        simulator = LineSimulator(self._plan)
        for number in count(first, step):
            for part in self._parts:
                scan = draw_scan(self._plan, part, self._plan.parts[part].scans + number)
                yield from self._frames(simulator, scan)

    def _frames(self, simulator: LineSimulator, scan: Scan) -> Iterator[Example]:
        """Yield the frames of a scan in random order, some lines at a time."""
        random = numpy_stream(self._plan.seed, Stream.SHUFFLE, scan.part, scan.number)
        targets = scan.targets(self._grid).reshape(scan.rows, scan.columns, *2 * (self._grid,))
        lines = list(simulator.lines(scan))
        order = random.permutation(scan.rows)
        for some in np.array_split(order, -(-scan.rows * scan.columns // _SHUFFLED_FRAMES)):
            frames = np.concatenate([simulator.frames(lines[row]) for row in some])
            squares = np.concatenate(targets[some])
            for index in random.permutation(len(frames)):
                yield _example(frames[index]), _example(squares[index])


def _example(array: NDArray[np.integer]) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))
