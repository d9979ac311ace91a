"""Where frames and squares come from: a set on disk, the paper's folders, or no end of them.

Splits are by sample. What validates a simulated set are scans of the same plan that the set
does not contain; in folders it is a whole sample, the last one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from configs.dataset import DatasetPlan, dataset_presets, load_dataset_plan
from configs.errors import ConfigError
from configs.grid import check_grid
from configs.optics import Optics
from reconstruction.amplitude import relative_amplitude
from simulation.datasets.fresh_frames import FreshFrames
from simulation.datasets.hub import PREFIX
from simulation.datasets.paper_reader import PaperFolder, open_folders
from simulation.datasets.reader import Dataset
from simulation.streams import Stream, derived_seed, numpy_stream

Pair = tuple[torch.Tensor, torch.Tensor]
"""Frames, (batch, y, x), in digital numbers or levels, and squares, (batch, grid, grid)."""
Amplitude = Callable[[torch.Tensor], torch.Tensor]
_WHITE: Final = 255
_SCANS: Final = 0
"""Sets the seeds of fresh scans apart from those of a network's chance."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Frames in memory, as the camera delivered them, and their squares.

    Attributes
    ----------
    frames
        (n, y, x), uint16, or uint8 from folders.
    targets
        (n, grid, grid), uint8, 0 or 1.
    """

    frames: NDArray[np.unsignedinteger]
    targets: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, part: slice | NDArray[np.int64]) -> Pair:
        """Return some of them, float32."""
        frames, targets = self.frames[part], self.targets[part]
        return (
            torch.from_numpy(frames.astype(np.float32)),
            torch.from_numpy(targets.astype(np.float32)),
        )


class FrameSource(Protocol):
    """Batches to train on, and examples of other samples.

    Attributes
    ----------
    held_out
        To validate with.
    amplitude
        What makes relative amplitudes of frames.
    reads_levels
        Whether frames are levels of 8 bit, not digital numbers of a camera.
    optics
        Those of the instrument, where that is known.
    description
        Which frames these are, in a line.
    """

    held_out: Examples
    amplitude: Amplitude
    reads_levels: bool
    optics: Optics | None
    description: str

    def steps(self, batch: int) -> int:
        """Return how many batches make an epoch."""
        ...

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int, ranks: int
    ) -> Iterator[Pair]:
        """Yield the share of one of several processes in each batch of an epoch."""
        ...


class KeptFrames:
    """Frames in memory, all shown in every epoch, in an order of its own.

    Parameters
    ----------
    shown, held_out
        To train and to validate with.
    plan
        What they were simulated by; ``None``: levels of 8 bit, from folders.
    description
        As in ``FrameSource``.
    """

    def __init__(
        self, shown: Examples, held_out: Examples, plan: DatasetPlan | None, description: str
    ) -> None:
        self.held_out = held_out
        self.reads_levels = plan is None
        self.amplitude = level_amplitude if plan is None else _amplitude(plan)
        self.optics = None if plan is None else plan.instrument.optics
        self.description = description
        self._shown = shown

    def steps(self, batch: int) -> int:
        """Return how many whole batches there are."""
        steps = len(self._shown) // batch
        if not steps:
            raise ConfigError(
                f"data: expected a batch of {batch} frames or more to train on, got"
                f" {len(self._shown)}; make a larger set, or batches smaller in the recipe"
            )
        return steps

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int, ranks: int
    ) -> Iterator[Pair]:
        """Yield one process's share of each whole batch."""
        order = numpy_stream(seed, Stream.TRAINING, epoch).permutation(len(self._shown))
        for step in range(self.steps(batch)):
            yield self._shown[order[step * batch : (step + 1) * batch][rank::ranks]]


class EndlessFrames:
    """Frames of a plan that are simulated as they are asked for.

    Parameters
    ----------
    plan
        Instrument and samples; its training parts are drawn.
    grid
        Side of the targets.
    steps
        Batches that count as an epoch.
    held_out
        Number of frames to validate with.
    workers
        Processes that simulate; with none it is the one that trains. Batches depend on it.
    """

    def __init__(
        self, plan: DatasetPlan, grid: int, steps: int, held_out: int, workers: int
    ) -> None:
        self.held_out = _unseen(plan, grid, held_out)
        self.amplitude = _amplitude(plan)
        self.reads_levels = False
        self.optics: Optics | None = plan.instrument.optics
        self.description = f"fresh frames of {plan.name}, seed {plan.seed}"
        self._plan = plan
        self._grid = grid
        self._steps = steps
        self._workers = workers

    def steps(self, batch: int) -> int:
        """Return how many batches count as an epoch."""
        return self._steps

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int, ranks: int
    ) -> Iterator[Pair]:
        """Yield batches of scans that no other epoch or process draws."""
        fresh = derived_seed(seed, Stream.TRAINING, epoch, rank, _SCANS)
        plan = self._plan.changed(seed=fresh)
        frames = FreshFrames(plan, grid=self._grid)
        loader = DataLoader(frames, batch // ranks, num_workers=self._workers)
        yield from islice(loader, self._steps)


def level_amplitude(levels: torch.Tensor) -> torch.Tensor:
    """Root of the light in pixels of 8 bit, relative to white."""
    return (levels / _WHITE).sqrt()


def open_source(
    data: str, grid: int, *, steps: int | None, held_out: int, workers: int
) -> FrameSource:
    """Open a set, folders, or a plan.

    Parameters
    ----------
    data
        Path of a set; folder, or hub name, in the layout of the paper's authors; with
        ``steps`` a set whose plan is meant, or the name or TOML file of a plan.
    grid
        Side of the targets.
    steps
        Per epoch of endless frames; ``None`` shows the frames that are there.
    held_out
        Number of frames to validate with, where they are simulated.
    workers
        Processes that simulate endless frames.

    Raises
    ------
    ConfigError, RunStoreError
        If the data cannot be read, or not be trained on in this way.
    """
    check_grid(grid)
    is_plan = data in dataset_presets() or data.endswith(".toml")
    if steps is not None:
        plan = load_dataset_plan(data) if is_plan else _plan_of_set(data)
        return EndlessFrames(plan, grid, steps, held_out, workers)
    if is_plan:
        raise ConfigError(
            f"data: expected a set or folders, got the plan {data}; make a set of it with"
            f" opticalnet simulate --preset {data}, or take --recipe fresh"
        )
    if _is_folders(data):
        return _kept_folders(data, open_folders(data, grid))
    return _kept_set(Dataset(data), grid, held_out)


def _is_folders(data: str) -> bool:
    path = Path(data)
    is_set = path.suffix == ".zarr" or (path / "zarr.json").exists()
    return data.startswith(PREFIX) or (path.is_dir() and not is_set)


def _plan_of_set(data: str) -> DatasetPlan:
    if _is_folders(data):
        raise ConfigError(
            f"data: expected a set, or a plan, whose frames can be simulated, got folders"
            f" {data}; take a recipe without steps_per_epoch"
        )
    return Dataset(data).info.plan


def _kept_set(data: Dataset, grid: int, held_out: int) -> KeptFrames:
    parts = [part for part in data.values() if part.info.split == "train"]
    if not parts:
        raise ConfigError(f"data: expected parts to train on in {data.path}, got none")
    shown = Examples(
        np.concatenate([part.frames() for part in parts]),
        np.concatenate([part.targets(grid) for part in parts]),
    )
    plan = data.info.plan
    return KeptFrames(
        shown,
        _unseen(plan, grid, held_out),
        plan,
        f"{len(shown)} frames of {plan.name}, seed {plan.seed}",
    )


def _kept_folders(data: str, folders: dict[str, PaperFolder]) -> KeptFrames:
    samples = [folder for folder in folders.values() if folder.split == "train"]
    if len(samples) < 2:
        raise ConfigError(
            f"data: expected two samples or more to train on in {data}, one of them to hold"
            f" out, got {len(samples)}"
        )
    for sample in samples:
        if sample.image_px != samples[0].image_px:
            raise ConfigError(
                f"data: expected images of {samples[0].image_px} px as in {samples[0].path},"
                f" got {sample.image_px} px in {sample.path}; train on one size"
            )
    *shown, last = samples
    examples = Examples(
        np.concatenate([sample.frames() for sample in shown]),
        np.concatenate([sample.targets() for sample in shown]),
    )
    return KeptFrames(
        examples,
        Examples(last.frames(), last.targets()),
        None,
        f"{len(examples)} images in {len(shown)} folders, {last.name} held out",
    )


def _unseen(plan: DatasetPlan, grid: int, count: int) -> Examples:
    """Draw frames of scans that follow those of the plan's set."""
    pairs = list(islice(FreshFrames(plan, grid=grid), count))
    frames, targets = (torch.stack(column).numpy() for column in zip(*pairs, strict=True))
    return Examples(frames.astype(np.uint16), targets.astype(np.uint8))


def _amplitude(plan: DatasetPlan) -> Amplitude:
    sensor = plan.camera.sensor
    return partial(relative_amplitude, sensor=sensor, open_peak_e=plan.open_peak_e)
