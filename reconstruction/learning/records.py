"""What a training keeps in its folder; every file takes its place when it is complete.

``last.safetensors``: network, optimiser and log after the last epoch, to resume from.
``weights.safetensors``: the network of the best epoch. ``log.csv``, and ``tensorboard``
where that is installed: the log.
"""

import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError

from configs.errors import ReconstructionError, RunStoreError
from configs.software import versions
from configs.value import PositiveInt, Value
from reconstruction.learning.task import SCORE, Task
from reconstruction.learning.watcher import Row

STATE: Final = "last.safetensors"
WEIGHTS: Final = "weights.safetensors"
LOG: Final = "log.csv"
_FORMAT: Final = "opticalnet-training-1"
_SOFTWARE: Final = ("opticalnet", "torch", "monai", "lightning-fabric", "numpy")

Tensors = dict[str, torch.Tensor]


class TrainingFacts(Value):
    """How weights came about; kept with them as ``training``."""

    epoch: PositiveInt
    """The weights are those after this one."""
    epochs_done: PositiveInt
    epochs_planned: PositiveInt
    seed: int
    software: dict[str, str]
    validation: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A training after an epoch.

    Attributes
    ----------
    origin
        What it takes to make its task again, for whoever made it.
    rows
        Its log.
    tensors
        Of network and optimiser.
    """

    origin: str
    rows: list[Row]
    tensors: Tensors

    def restore_network(self, task: Task) -> None:
        """Give a network its weights back."""
        task.network.load_state_dict(_below(self.tensors, "network."))

    def restore_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        """Give an optimiser its moments back."""
        state: dict[int, Tensors] = {}
        for name, tensor in _below(self.tensors, "optimiser.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})


class Records:
    """Writes into the folder of a training.

    Parameters
    ----------
    folder
        Made when there is something to keep.
    task
        Whose training it is.
    origin
        As in ``TrainingState``.
    rows
        The log so far.
    """

    def __init__(self, folder: Path, task: Task, origin: str, rows: list[Row]) -> None:
        self.rows = rows
        self._folder = folder
        self._task = task
        self._origin = origin

    def add(self, row: Row, optimiser: torch.optim.Optimizer) -> None:
        """Keep an epoch; the state comes last but for the log, which follows from it."""
        is_best = all(row[SCORE] > earlier[SCORE] for earlier in self.rows)
        network = self._task.network.state_dict()
        if is_best:
            self._write(WEIGHTS, dict(network), self._weights_metadata(row))
        tensors = {f"network.{name}": tensor for name, tensor in network.items()}
        for number, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
        rows = json.dumps([*self.rows, row])
        self._write(STATE, tensors, {"format": _FORMAT, "origin": self._origin, "rows": rows})
        self.rows.append(row)
        _in_place(self._folder / LOG, self._write_rows)

    def finish(self) -> None:
        """Note beside the best weights how many epochs there have been by now."""
        path = self._folder / WEIGHTS
        if not path.exists():
            return
        tensors, metadata = read_tensors(path, RunStoreError)
        facts = parse_facts(metadata, path)
        now = facts.model_copy(
            update={
                "epochs_done": max(facts.epoch, len(self.rows)),
                "epochs_planned": self._task.epochs,
            }
        )
        self._write(WEIGHTS, tensors, metadata | {"training": now.model_dump_json()})

    def _weights_metadata(self, row: Row) -> dict[str, str]:
        apart = {"epoch", "loss", "learning_rate", "seconds"}
        facts = TrainingFacts(
            epoch=int(row["epoch"]),
            epochs_done=int(row["epoch"]),
            epochs_planned=self._task.epochs,
            seed=self._task.seed,
            software=versions(_SOFTWARE),
            validation={name: row[name] for name in row if name not in apart},
        )
        return self._task.metadata | {"training": facts.model_dump_json()}

    def _write(self, name: str, tensors: Tensors, metadata: dict[str, str]) -> None:
        ours = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        _in_place(
            self._folder / name,
            lambda draft: safetensors.torch.save_file(ours, draft, metadata),
        )

    def _write_rows(self, draft: Path) -> None:
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


def claim_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder with something in it, or remove an earlier training from it.

    Raises
    ------
    RunStoreError
        If there is something and nobody said ``overwrite``, or it cannot be removed.
    """
    try:
        if not overwrite and folder.exists() and any(folder.iterdir()):
            raise RunStoreError(
                f"{folder} exists already; go on with --resume {folder}, choose another --out,"
                " or add --overwrite"
            )
        for name in (STATE, WEIGHTS, LOG):
            (folder / name).unlink(missing_ok=True)
        for path in (folder / "tensorboard").glob("events.out.tfevents.*"):
            path.unlink()
    except OSError as error:
        raise RunStoreError(
            f"{folder}: expected a folder to train in, got: {error}; choose another --out"
        ) from error


def read_state(folder: Path) -> TrainingState:
    """Read what there is to resume from.

    Raises
    ------
    RunStoreError
        If there is none, or one that another version wrote.
    """
    path = folder / STATE
    if not path.exists():
        raise RunStoreError(f"{folder}: expected a training, found no {STATE}; check the path")
    tensors, metadata = read_tensors(path, RunStoreError)
    if metadata.get("format") != _FORMAT:
        raise RunStoreError(
            f"{path}: expected format {_FORMAT}, got {metadata.get('format')};"
            " resume it with the version that began it"
        )
    return TrainingState(metadata["origin"], json.loads(metadata["rows"]), tensors)


def read_tensors(
    path: Path, error_kind: type[RunStoreError | ReconstructionError]
) -> tuple[Tensors, dict[str, str]]:
    """Read a safetensors file and its metadata; what goes wrong is of a kind, in a line."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise error_kind(
            f"{path}: expected a readable safetensors file, got: {error}; check the path"
        ) from error


def parse_facts(metadata: dict[str, str], path: Path) -> TrainingFacts:
    """Read how weights came about."""
    try:
        return TrainingFacts.model_validate_json(metadata.get("training", ""))
    except ValidationError as error:
        raise ReconstructionError(
            f"weights {path}: expected to read there how they were trained, got"
            f" {error.errors()[0]['msg']}; train them again"
        ) from error


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _in_place(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place, under one name, then move it there."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        os.replace(draft, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunStoreError(
            f"cannot write {path}: {error}; make room, then go on with --resume {path.parent}"
        ) from error
