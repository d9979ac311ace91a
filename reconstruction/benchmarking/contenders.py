"""Who is compared: the networks that ship, and any that were trained."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import nn

from configs.errors import ConfigError, ReconstructionError
from configs.geometry import SQUARE_NM
from configs.grid import GRIDS
from configs.optics import Optics
from configs.recipe import load_recipe
from reconstruction.baselines.weights import FORMAT as BASELINE
from reconstruction.baselines.weights import load_baseline
from reconstruction.frame_network import FrameArchitecture, FrameNetwork
from reconstruction.learning.records import TrainingFacts, parse_facts, read_tensors
from reconstruction.learning.scans import TOLERANCE
from reconstruction.scan_network import ScanArchitecture, ScanNetwork
from reconstruction.weights_file import TrainedFor, WeightsFile, read_weights, shipped_weights

PAPER_EPOCHS: Final = load_recipe("paper").epochs


@dataclass(frozen=True, slots=True)
class Contender:
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
    levels
        Whether those are levels of 8 bit rather than light.
    trained_for
        The instrument; ``None``: folders of images, which do not tell.
    training
        How long, where the file says.
    data
        That it was trained on.
    most_epochs
        A full training.
    source
        What tells it from another of the same name.
    """

    name: str
    grid: int | None
    network: nn.Module
    image_px: int
    levels: bool
    trained_for: TrainedFor | None
    training: TrainingFacts | None
    data: str
    most_epochs: int = 0
    source: str = ""

    @property
    def label(self) -> str:
        """Name, target, and source where there is another such one."""
        target = f", {self.grid} x {self.grid}" if self.grid else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.name}{target}{source}"

    @property
    def marked(self) -> str:
        """The label, with the length of a training that was not a full one."""
        return f"{self.label} [{self.length}]" if self.is_short else self.label

    @property
    def parameters(self) -> int:
        """Number of them."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def length(self) -> str:
        """Epochs that the training had, of those planned."""
        if self.training is None:
            return "not stated"
        done, planned = self.training.epochs_done, self.training.epochs_planned
        full = f"; paper: {self.most_epochs}" if planned < self.most_epochs else ""
        return f"{done} of {planned} epochs{full}"

    @property
    def is_short(self) -> bool:
        """Whether it was trained for less than planned, or than the paper does."""
        facts = self.training
        return facts is not None and facts.epochs_done < max(
            facts.epochs_planned, self.most_epochs
        )

    def check(self, optics: Optics) -> None:
        """Raise ``ReconstructionError`` if it cannot read frames of these optics."""
        if self.trained_for is not None:
            self.trained_for.check(self.label, optics, SQUARE_NM)


def open_contenders(paths: Sequence[Path], device: torch.device) -> list[Contender]:
    """Open the networks that ship, and those of some files, on a device.

    Raises
    ------
    ConfigError
        If a file is named twice.
    ReconstructionError
        If a file is missing or holds no network.
    """
    files = [("scan", shipped_weights("scan"), ""), ("frame", shipped_weights("frame"), "")]
    opened = [one for file in files for one in _of_network(*file)]
    for path in paths:
        opened += _of_file(path)
    names = Counter(replace(one, source="").label for one in opened)
    for label, count in Counter(one.label for one in opened).items():
        if count > 1:
            raise ConfigError(f"models: expected {label} once, got it {count} times")
    for one in opened:
        one.network.to(device)
    return [
        replace(one, source="") if names[replace(one, source="").label] == 1 else one
        for one in opened
    ]


def _of_file(path: Path) -> list[Contender]:
    _, metadata = read_tensors(path, ReconstructionError)
    if metadata.get("format") == BASELINE:
        return [_baseline(path)]
    kind = "scan" if metadata.get("model") == "scan" else "frame"
    return _of_network(kind, path, str(path))


def _baseline(path: Path) -> Contender:
    baseline = load_baseline(path)
    info = baseline.info
    trained_for = None
    if info.optics is not None:
        trained_for = TrainedFor(info.optics, TOLERANCE, SQUARE_NM)
    return Contender(
        name=info.model,
        grid=info.grid,
        network=baseline.network,
        image_px=info.image_px,
        levels=info.amplitude == "levels",
        trained_for=trained_for,
        training=baseline.training,
        data=info.data,
        most_epochs=PAPER_EPOCHS,
        source=str(path),
    )


def _of_network(model: str, path: Path, source: str) -> list[Contender]:
    """Return a scan network, or a frame network for each of its targets."""
    weights = read_weights(path, model)
    network = _network(model, weights)
    grids = (None,) if model == "scan" else GRIDS
    return [
        Contender(
            name=f"{model} network",
            grid=grid,
            network=network,
            image_px=weights.architecture["image_px"],
            levels=False,
            trained_for=weights.trained_for,
            training=_facts(path),
            data="fresh random patterns",
            source=source,
        )
        for grid in grids
    ]


def _network(model: str, weights: WeightsFile) -> nn.Module:
    network: nn.Module
    if model == "scan":
        network = ScanNetwork(ScanArchitecture(**weights.architecture))
    else:
        network = FrameNetwork(FrameArchitecture(**weights.architecture))
    weights.fill(network, "cpu")
    return network


def _facts(path: Path) -> TrainingFacts | None:
    _, metadata = read_tensors(path, ReconstructionError)
    return parse_facts(metadata, path) if "training" in metadata else None
