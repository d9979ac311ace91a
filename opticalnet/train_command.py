"""The command that trains: `opticalnet train`."""

from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from configs.drafts import named
from opticalnet.console import open_console, print_json
from opticalnet.train_plans import begun_plan, load_shapes, new_plan
from reconstruction.baselines.training import BaselinePlan, train_baseline
from reconstruction.learning.plan import score_before, train_network_plan
from reconstruction.learning.records import STATE, WEIGHTS
from reconstruction.learning.task import SCORE
from reconstruction.learning.watcher import Row, Watcher
from reconstruction.predictor import choose_device

_OUT: Final = "training"


def train_network(
    options: dict[str, Any], resume: str | None, device: str, devices: int, *, json: bool
) -> None:
    """Train a network, or go on with one, and say what came of it.

    Parameters
    ----------
    options
        Those that were given of model, instrument, shapes, recipe, data, grid, epochs, seed,
        precision, out and overwrite.
    resume
        Folder of the training to go on with.
    device, devices
        auto, cpu or cuda, and how many.
    json
        Whether a script reads stdout.
    """
    where = choose_device(device)
    how: dict[str, Any] = {"make_watcher": partial(TrainingProgress, json)}
    if resume is None:
        folder = named(options.pop("out", _OUT), "out")
        how["overwrite"] = options.pop("overwrite", False)
        plan = new_plan(**options)
    else:
        folder = named(resume, "resume")
        how["resume"] = True
        plan = begun_plan(folder, **options)
    before = None
    if isinstance(plan, BaselinePlan):
        rows = train_baseline(plan, folder, where, devices, **how)
    elif plan.shapes is None:
        rows = train_network_plan(plan, folder, where, devices, **how)
    else:
        say = partial(open_console(json).print, markup=False, soft_wrap=True)
        shapes = load_shapes(Path(plan.shapes), say)
        rows = train_network_plan(plan, folder, where, devices, shapes=shapes, **how)
        before = score_before(plan, shapes, where)
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


def _best(rows: list[Row]) -> Row:
    return max(rows, key=lambda row: row[SCORE])


def _epoch(row: Row) -> str:
    return f"epoch {row['epoch']:,.0f}: balanced accuracy {row[SCORE]:.3f}"


def _print_result(folder: Path, rows: list[Row], before: float | None, *, json: bool) -> None:
    best, weights, after = _best(rows), folder / WEIGHTS, rows[-1][SCORE]
    if json:
        known = {} if before is None else {"before": before, "after": after}
        print_json(weights=str(weights), epochs=len(rows), best=best, **known)
        return
    console = open_console(json)
    console.print(f"best {_epoch(best)}, constant prediction {best['constant_accuracy']:.3f}")
    if before is not None:
        # Not that of the best epoch, which was chosen by these very shapes.
        console.print(
            f"shapes held out: balanced accuracy {before:.3f} before, {after:.3f} after the"
            " last epoch"
        )
    console.print(f"weights: {weights}", markup=False, soft_wrap=True)
