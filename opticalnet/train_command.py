"""The command that trains: `opticalnet train`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from configs.errors import ConfigError
from configs.recipe import load_recipe
from configs.toml import load_instrument
from opticalnet.console import given, open_console, print_json
from opticalnet.devices import rehearsal
from reconstruction.baselines.training import BaselinePlan, resume_baseline, train_baseline
from reconstruction.learning.records import STATE, WEIGHTS, read_state
from reconstruction.learning.scans import CELLS_PER_SQUARE
from reconstruction.learning.shapes import Shapes, on_cells
from reconstruction.learning.shipped import (
    EPOCHS,
    FINE_TUNING_EPOCHS,
    ShippedPlan,
    score_before,
    train_shipped,
)
from reconstruction.learning.task import SCORE
from reconstruction.learning.watcher import Row, Watcher
from reconstruction.predictor import choose_device
from simulation.samples import load_sample

_OUT: Final = "training"
_ON_RESUME: Final = {"epochs", "data"}


def train_network(
    options: dict[str, Any], resume: str | None, device: str, devices: int, *, json: bool
) -> None:
    """Train a network, or go on with one, and say what came of it.

    Parameters
    ----------
    options
        Those that were given of model, instrument, recipe, data, grid, epochs, seed,
        precision, out and overwrite.
    resume
        Folder of the training to go on with.
    device, devices
        auto, cpu or cuda, and how many.
    json
        Whether a script reads stdout.
    """
    kind, watch = choose_device(device), partial(TrainingProgress, json)
    before: float | None = None
    if resume is not None:
        folder = Path(resume)
        _refuse(options.keys() - _ON_RESUME)
        rows = _resume(folder, kind, devices, watch, options)
    else:
        folder = Path(options.pop("out", _OUT))
        overwrite = options.pop("overwrite", False)
        if options.get("model") in EPOCHS or "shapes" in options:
            plan = _shipped_plan(**options)
            shapes = _shapes(plan)
            if shapes is not None:
                before = score_before(plan, shapes, kind)
            rows = train_shipped(
                plan,
                folder,
                kind,
                devices,
                shapes=shapes,
                overwrite=overwrite,
                make_watcher=watch,
            )
        else:
            rows = train_baseline(
                _plan(**options), folder, kind, devices, overwrite=overwrite, make_watcher=watch
            )
    _print_result(folder, rows, before, json=json)


def stopped(folder: str | None) -> str:
    """Say what there is of a training after Ctrl-C."""
    folder = folder or _OUT
    if (Path(folder) / STATE).exists():
        return f"stopped; every finished epoch is kept: opticalnet train --resume {folder}"
    return "stopped in the first epoch; nothing was kept"


class TrainingProgress(Watcher):
    """Shows a training: bars in a terminal, a line an epoch elsewhere.

    Parameters
    ----------
    json
        Whether a script reads stdout.
    """

    def __init__(self, json: bool) -> None:
        self._console: Console = open_console(json)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._epochs: TaskID = self._bars.add_task("epochs", total=0, said="")
        self._steps: TaskID = self._bars.add_task("steps", total=0, said="")
        self._planned = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def begin(self, done: int, epochs: int, steps: int) -> None:
        """Set the bars up."""
        self._planned = epochs
        self._bars.update(self._epochs, total=epochs, completed=done)
        self._bars.update(self._steps, total=steps)
        if done:
            self.say(f"{done:,} of {epochs:,} epochs were done")

    def step(self, step: int, loss: float) -> None:
        """Move the lower bar."""
        self._bars.update(self._steps, completed=step, said=f"loss {loss:.4f}")

    def epoch(self, row: Row) -> None:
        """Move the upper bar, or print a line."""
        said = f"{_epoch(row)}, loss {row['loss']:.4f}, {row['seconds']:.1f} s"
        self._bars.update(self._epochs, completed=row["epoch"], said=said)
        self._bars.update(self._steps, completed=0)
        if not self._console.is_terminal:
            self.say(f"{said}; {self._planned:,} in all")


def _resume(
    folder: Path,
    device: torch.device,
    devices: int,
    watch: Callable[[], Watcher],
    options: dict[str, Any],
) -> list[Row]:
    """Go on with a training of either kind."""
    origin = read_state(folder).origin
    try:
        plan = ShippedPlan.model_validate_json(origin)
    except ValidationError:  # the training of a baseline
        return resume_baseline(folder, device, devices, make_watcher=watch, **options)
    if "data" in options:
        raise ConfigError(f"--data: expected none with {plan.model}, which simulates its own")
    plan = ShippedPlan.checked("training", dict(plan) | options)
    return train_shipped(
        plan, folder, device, devices, shapes=_shapes(plan), resume=True, make_watcher=watch
    )


def _shapes(plan: ShippedPlan) -> Shapes | None:
    """Load the shapes of a folder, all files that are samples."""
    if plan.shapes is None:
        return None
    folder = Path(plan.shapes)
    if not folder.is_dir():
        raise ConfigError(f"shapes: expected a folder, got {folder}; check the path")
    files = sorted(f for f in folder.iterdir() if f.suffix in {".png", ".npy", ".toml"})
    samples = [load_sample(str(file)) for file in files]
    return Shapes.split(
        [on_cells(s.cells, s.cells_per_square, CELLS_PER_SQUARE) for s in samples]
    )


def _shipped_plan(
    model: str = "scan", instrument: str | None = None, **options: Any
) -> ShippedPlan:
    if "shapes" in options and model != "scan":
        raise ConfigError(
            f"--shapes: expected none with --model {model}; they fine-tune the scan network"
        )
    for name in ("data", "recipe", "grid"):
        if name in options:
            raise ConfigError(
                f"--{name}: expected none with --model {model}, which simulates its own data"
            )
    epochs = FINE_TUNING_EPOCHS if "shapes" in options else EPOCHS[model]
    options = {"epochs": epochs} | options
    if instrument is not None:
        config = rehearsal(load_instrument(instrument))
        options |= {"optics": config.optics, "camera": config.camera}
    return ShippedPlan.checked("train", options | {"model": model})


def _plan(**options: Any) -> BaselinePlan:
    if "instrument" in options:
        raise ConfigError(
            "--instrument: expected none with a baseline, whose data come from one; leave it"
            " out"
        )
    for name in ("model", "data"):
        if name not in options:
            raise ConfigError(f"--{name}: expected one, got none; see opticalnet train --help")
    changes = given(epochs=options.pop("epochs", None), seed=options.pop("seed", None))
    recipe = load_recipe(options.pop("recipe", "paper")).changed(**changes)
    return BaselinePlan.checked("train", options | {"recipe": recipe})


def _refuse(names: set[str]) -> None:
    """Refuse options that a training has had from its beginning."""
    if names:
        raise ConfigError(
            f"--{min(names)}: expected none with --resume, which goes on as it began;"
            " leave one of them out"
        )


def _best(rows: list[Row]) -> Row:
    return max(rows, key=lambda row: row[SCORE])


def _epoch(row: Row) -> str:
    return f"epoch {row['epoch']:,.0f}: balanced accuracy {row[SCORE]:.3f}"


def _print_result(folder: Path, rows: list[Row], before: float | None, *, json: bool) -> None:
    best, weights = _best(rows), folder / WEIGHTS
    if json:
        known = {} if before is None else {"before": before}
        print_json(weights=str(weights), epochs=len(rows), best=best, **known)
        return
    console = open_console(json)
    console.print(f"best {_epoch(best)}, constant prediction {best['constant_accuracy']:.3f}")
    if before is not None:
        console.print(
            f"shapes held out: balanced accuracy {before:.3f} before, {best[SCORE]:.3f} after"
        )
    console.print(f"weights: {weights}", markup=False, soft_wrap=True)
