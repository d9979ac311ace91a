"""Who is compared: the networks that ship, and any that were trained."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from configs.errors import ConfigError
from configs.geometry import SQUARE_NM
from configs.grid import GRIDS
from configs.optics import Optics
from configs.recipe import load_recipe
from reconstruction.baselines.weights import FORMAT as BASELINE
from reconstruction.baselines.weights import load_baseline
from reconstruction.learning import frame_network_task, scan_task
from reconstruction.learning.plan import EPOCHS
from reconstruction.load import load_network
from reconstruction.scan_network import ScanNetwork
from reconstruction.trained import TrainedFor, TrainingFacts
from reconstruction.weights_file import Model, read_metadata, shipped_weights

_EPOCH: Final = {
    "scan": scan_task.STEPS * scan_task.SCANS,
    "frame": frame_network_task.STEPS * frame_network_task.BATCH,
}
"""Examples of an epoch, as the networks that ship are trained."""
_COUNTED_SIDE: Final = 16
"""Of a scan."""


@dataclass(frozen=True, slots=True)
class FullTraining:
    """What a network is trained for at full length.

    Attributes
    ----------
    epochs, examples
        How many, an epoch's examples again in the next.
    """

    epochs: int
    examples: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network, and what is known of it.

    Attributes
    ----------
    name
        Of the network.
    grid
        Squares along a side that a frame tells of; ``None``: it looks at whole scans.
    network
        In evaluation mode.
    image_px
        Side of the frames.
    reads_levels
        Whether those are levels of 8 bit rather than light.
    trained_for
        The instrument; ``None``: folders of images, which do not tell.
    training
        How long, where the file says.
    full
        A full training; ``None``: as long as it was planned.
    data
        That it was trained on.
    source
        What tells it from another of the same name.
    """

    name: str
    grid: int | None
    network: nn.Module
    image_px: int
    reads_levels: bool
    trained_for: TrainedFor | None
    training: TrainingFacts | None
    full: FullTraining | None
    data: str
    source: str = ""

    @property
    def label(self) -> str:
        """Name, target, and source where there is another such one."""
        target = f", {self.grid} x {self.grid}" if self.grid else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.name}{target}{source}"

    @property
    def label_with_length(self) -> str:
        """The label, with the length of a training that was not a full one."""
        return f"{self.label} [{self.length}]" if self.is_short else self.label

    @property
    def parameters(self) -> int:
        """Number of them."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def multiplications(self) -> int:
        """Number of them, with an addition each, that a frame takes."""
        network, side = self.network, self.image_px
        if not isinstance(network, ScanNetwork):
            return _multiplications(network, side, side)
        scan = network.architecture.channels, _COUNTED_SIDE, _COUNTED_SIDE
        of_frame = _multiplications(network.projection, side**2)
        return of_frame + _multiplications(network, *scan) // _COUNTED_SIDE**2

    @property
    def length(self) -> str:
        """Epochs that the training had, of those planned, and its share of a full one."""
        if self.training is None:
            return "not stated"
        done, planned = self.training.epochs_done, self.training.epochs_planned
        said, share = f"{done} of {planned} epochs", self._share(self.training)
        # Where the plan was a full training, the epochs say it all.
        if share >= Fraction(done, planned):
            return said
        return f"{said}, {float(share):.1%} of a full training"

    @property
    def is_short(self) -> bool:
        """Whether it was trained for less than planned, or than a full training."""
        facts = self.training
        if facts is None:
            return False
        return facts.epochs_done < facts.epochs_planned or self._share(facts) < 1

    def check(self, optics: Optics) -> None:
        """Raise ``ReconstructionError`` if it cannot read frames of these optics."""
        if self.trained_for is not None:
            self.trained_for.check(self.label, optics, SQUARE_NM)

    def _share(self, facts: TrainingFacts) -> Fraction:
        """Examples that it has seen, of those of a full training."""
        if self.full is None:
            return Fraction(facts.epochs_done, facts.epochs_planned)
        if facts.examples_done is None:
            return Fraction(facts.epochs_done, self.full.epochs)
        return Fraction(facts.examples_done, self.full.examples)


def open_candidates(paths: Sequence[Path]) -> list[Candidate]:
    """Open the networks that ship, and those of some files, on the CPU.

    Raises
    ------
    ConfigError
        If a file is named twice.
    ReconstructionError
        If a file is missing or holds no network.
    """
    opened = [
        *_of_network("scan", shipped_weights("scan"), ""),
        *_of_network("frame", shipped_weights("frame"), ""),
    ]
    for path in paths:
        opened += _of_file(path)
    for label, count in Counter(one.label for one in opened).items():
        if count > 1:
            raise ConfigError(f"weights: expected {label} once, got it {count} times")
    alone = [replace(one, source="") for one in opened]
    times = Counter(one.label for one in alone)
    return [
        short if times[short.label] == 1 else one
        for short, one in zip(alone, opened, strict=True)
    ]


def _multiplications(network: nn.Module, *shape: int) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    return int(counter.get_total_flops()) // 2


def _of_file(path: Path) -> list[Candidate]:
    metadata = read_metadata(path)
    if metadata.get("format") == BASELINE:
        return [_baseline(path)]
    model: Model = "scan" if metadata.get("model") == "scan" else "frame"
    return _of_network(model, path, str(path))


def _baseline(path: Path) -> Candidate:
    baseline = load_baseline(path)
    info, trained_for = baseline.info, None
    if info.optics is not None:
        # One instrument simulated its data: it knows no other.
        trained_for = TrainedFor(optics=info.optics, tolerance={}, pitch_nm=SQUARE_NM)
    return Candidate(
        name=info.model,
        grid=info.grid,
        network=baseline.network,
        image_px=info.image_px,
        reads_levels=info.amplitude == "levels",
        trained_for=trained_for,
        training=baseline.training,
        full=_as_the_paper(),
        data=info.data,
        source=str(path),
    )


def _of_network(model: Model, path: Path, source: str) -> list[Candidate]:
    """Return a scan network, or a frame network for each of its targets."""
    network, weights = load_network(path, model)
    grids = (None,) if model == "scan" else GRIDS
    data: str = "fresh random patterns"
    full: FullTraining | None = FullTraining(EPOCHS[model], EPOCHS[model] * _EPOCH[model])
    if weights.start is not None:
        data, full = f"shapes of its own, from {weights.start}", None
    return [
        Candidate(
            name=f"{model} network",
            grid=grid,
            network=network,
            image_px=network.architecture.image_px,
            reads_levels=False,
            trained_for=weights.trained_for,
            training=weights.training,
            full=full,
            data=data,
            source=source,
        )
        for grid in grids
    ]


def _as_the_paper() -> FullTraining:
    """Return the length of the paper's recipe on as many frames as its set has."""
    recipe = load_recipe("fresh")
    assert recipe.steps_per_epoch is not None, "frames without end"
    steps = recipe.epochs * recipe.steps_per_epoch
    return FullTraining(recipe.epochs, steps * recipe.batch)
