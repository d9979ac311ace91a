"""What a training keeps in its folder; every file takes its place when it is complete.

``last.safetensors``: network, optimiser and log after the last epoch, to resume from.
``weights.safetensors``: the network of the best epoch. ``log.csv``, and ``tensorboard``
where that is installed: the log.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors.torch
import torch

from configs.drafts import in_place
from configs.errors import RunStoreError
from configs.software import versions
from reconstruction.learning.task import SCORE, Task
from reconstruction.learning.watcher import Row
from reconstruction.trained import TrainingFacts
from reconstruction.weights_file import Tensors, read_fact, read_metadata, read_tensors

STATE: Final = "last.safetensors"
WEIGHTS: Final = "weights.safetensors"
LOG: Final = "log.csv"
_FORMAT: Final = "opticalnet-training-1"
_SOFTWARE: Final = ("opticalnet", "torch", "monai", "lightning-fabric", "numpy")


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
        Weights of the network, moments of the optimiser.
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

    Attributes
    ----------
    folder, task, rows
        As given; rows grow in the process that writes.
    """

    def __init__(self, folder: Path, task: Task, origin: str, rows: list[Row]) -> None:
        self.rows = rows
        self.folder = folder
        self.task = task
        self._origin = origin
        self._remedy = f"make room, then go on with --resume {folder}"

    def add(self, row: Row, optimiser: torch.optim.Optimizer) -> None:
        """Keep an epoch; the state comes last but for the log, which follows from it."""
        is_best = all(row[SCORE] > earlier[SCORE] for earlier in self.rows)
        network = self.task.network.state_dict()
        if is_best:
            self._write(WEIGHTS, dict(network), self._weights_metadata(row))
        tensors = {f"network.{name}": tensor for name, tensor in network.items()}
        for number, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
        rows = json.dumps([*self.rows, row])
        self._write(STATE, tensors, {"format": _FORMAT, "origin": self._origin, "rows": rows})
        self.rows.append(row)
        self._write_rows()

    def kept(self) -> str:
        """Say which epoch's weights are there; other processes see what the first wrote."""
        path = self.folder / WEIGHTS
        if not path.exists():
            return "nothing was kept"
        facts = read_fact(TrainingFacts, "training", read_metadata(path), path)
        return f"epoch {facts.epoch} is kept"

    def finish(self) -> None:
        """Note beside the best weights how many epochs there have been by now."""
        path = self.folder / WEIGHTS
        if not path.exists():
            return
        tensors, metadata = read_tensors(path, RunStoreError)
        facts = read_fact(TrainingFacts, "training", metadata, path)
        now = facts.changed(
            epochs_done=max(facts.epoch, len(self.rows)), epochs_planned=self.task.epochs
        )
        self._write(WEIGHTS, tensors, metadata | {"training": now.model_dump_json()})

    def _weights_metadata(self, row: Row) -> dict[str, str]:
        apart = {"epoch", "loss", "learning_rate", "seconds"}
        facts = TrainingFacts(
            epoch=int(row["epoch"]),
            epochs_done=int(row["epoch"]),
            epochs_planned=self.task.epochs,
            steps_per_epoch=self.task.steps,
            batch=self.task.batch,
            seed=self.task.seed,
            software=versions(_SOFTWARE),
            validation={name: row[name] for name in row if name not in apart},
        )
        return self.task.metadata | {"training": facts.model_dump_json()}

    def _write(self, name: str, tensors: Tensors, metadata: dict[str, str]) -> None:
        ours = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        with in_place(self.folder / name, self._remedy) as draft:
            draft.write_bytes(safetensors.torch.save(ours, metadata))

    def _write_rows(self) -> None:
        with (
            in_place(self.folder / LOG, self._remedy) as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder with something in it.

    Raises
    ------
    RunStoreError
        If there is something and nobody said ``overwrite``, or it is no folder.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not overwrite:
            raise RunStoreError(
                f"{folder} exists already; go on with --resume {folder}, choose another --out,"
                " or add --overwrite"
            )
    except OSError as error:
        raise _no_folder(folder, error) from error


def clear_folder(folder: Path) -> None:
    """Remove an earlier training from a folder, and nothing else.

    Raises
    ------
    RunStoreError
        If it cannot be removed.
    """
    try:
        for name in (STATE, WEIGHTS, LOG):
            (folder / name).unlink(missing_ok=True)
        for path in (folder / "tensorboard").glob("events.out.tfevents.*"):
            path.unlink()
    except OSError as error:
        raise _no_folder(folder, error) from error


def _no_folder(folder: Path, error: OSError) -> RunStoreError:
    return RunStoreError(
        f"{folder}: expected a folder to train in, got: {error}; choose another --out"
    )


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


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
