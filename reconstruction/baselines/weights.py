"""Baselines on disk: weights, what they were trained for, and for how long."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from torch import nn

from configs.errors import ReconstructionError
from configs.optics import Optics
from configs.recipe import Recipe
from configs.value import PositiveInt, Value
from reconstruction.baselines.registry import make_baseline
from reconstruction.trained import TrainingFacts
from reconstruction.weights_file import filled, read_fact, read_tensors

FORMAT: Final = "opticalnet-baseline-1"


class BaselineInfo(Value):
    """What a baseline is, and what it was trained on; kept with it as ``baseline``."""

    model: str
    grid: int
    image_px: PositiveInt
    amplitude: Literal["electrons", "levels"]
    """Root of the light relative to an open sample's, or of levels of 8 bit to white."""
    optics: Optics | None
    """``None``: trained on folders, which do not tell."""
    data: str
    recipe: Recipe

    def metadata(self) -> dict[str, str]:
        """Return what is kept in the weights' file."""
        return {"format": FORMAT, "baseline": self.model_dump_json()}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trained baseline.

    Attributes
    ----------
    network
        From relative amplitudes, (batch, y, x), to logits, (batch, grid, grid); in
        evaluation mode.
    info
        What it is.
    training
        How long it was trained, and how well it did.
    """

    network: nn.Module
    info: BaselineInfo
    training: TrainingFacts


def load_baseline(path: str | Path) -> Baseline:
    """Read a baseline that ``opticalnet train`` kept.

    Raises
    ------
    ReconstructionError
        If the file is none, or does not hold what it says.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ReconstructionError(
            f"weights {path}: expected format {FORMAT}, got {metadata.get('format')};"
            " train them with opticalnet train"
        )
    info = read_fact(BaselineInfo, "baseline", metadata, path)
    network = filled(lambda: make_baseline(info.model, info.grid, info.image_px), tensors, path)
    return Baseline(network, info, read_fact(TrainingFacts, "training", metadata, path))
