"""What to train, from the options of `opticalnet train`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from configs.drafts import named
from configs.errors import ConfigError, RunStoreError
from configs.recipe import Recipe, load_recipe
from configs.toml import load_instrument
from opticalnet.console import given
from opticalnet.rehearsal import simulated_like
from reconstruction.baselines.registry import BASELINES
from reconstruction.baselines.training import BaselinePlan
from reconstruction.learning.plan import EPOCHS, FINE_TUNING_EPOCHS, NetworkPlan
from reconstruction.learning.records import read_state
from reconstruction.learning.scans import CELLS_PER_SQUARE
from reconstruction.learning.shapes import Shapes, on_cells
from simulation.samples import load_sample

Plan = NetworkPlan | BaselinePlan
_KEPT: Final[TypeAdapter[Plan]] = TypeAdapter(Annotated[Plan, Field(discriminator="kind")])
_ON_RESUME: Final = {"epochs", "data"}
_SET: Final = "set.zarr"
_PLAN: Final = "paper"
_SHAPES: Final = {".png", ".npy", ".toml"}


def new_plan(**options: Any) -> Plan:
    """Plan a training; options are those of the command that were given."""
    model, models = options.get("model"), [*EPOCHS, *BASELINES]
    if model is not None and model not in models:
        raise ConfigError(f"--model: expected one of {', '.join(models)}, got {model!r}")
    if model in EPOCHS or "shapes" in options:
        return _network_plan(**options)
    return _baseline_plan(**options)


def begun_plan(folder: Path, **options: Any) -> Plan:
    """Plan how a training goes on, with other epochs, or data that were moved, if given."""
    for name in sorted(options.keys() - _ON_RESUME):
        raise ConfigError(
            f"--{name}: expected none with --resume, which goes on as it began;"
            " leave one of them out"
        )
    state = read_state(folder)
    try:
        plan = _KEPT.validate_json(state.origin)
    except ValidationError as error:
        raise RunStoreError(
            f"{folder}: expected a training of this version, got {error.errors()[0]['msg']};"
            " resume it with the version that began it"
        ) from error
    done = len(state.rows)
    if options.get("epochs", done) < done:
        raise ConfigError(
            f"--epochs: expected {done} or more, as {done} are done, got {options['epochs']}"
        )
    if isinstance(plan, NetworkPlan):
        _refuse_data(plan.model, options)
        return plan.changed(**options)
    recipe = plan.recipe.changed(**given(epochs=options.pop("epochs", None)))
    return plan.changed(recipe=recipe, **options)


def load_shapes(folder: Path, say: Callable[[str], None]) -> Shapes:
    """Load the samples in a folder; say what was no sample."""
    if not folder.is_dir():
        raise ConfigError(f"shapes: expected a folder, got {folder}; check the path")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    taken = [path for path in files if path.suffix.lower() in _SHAPES]
    samples = [load_sample(str(path)) for path in taken]
    shapes = Shapes.split(
        [on_cells(s.cells, s.cells_per_square, CELLS_PER_SQUARE) for s in samples]
    )
    if left_out := [path.name for path in files if path not in taken]:
        said = ", ".join(sorted(_SHAPES))
        say(f"shapes: expected {said}, left out {', '.join(left_out)}")
    return shapes


def _network_plan(
    model: str = "scan", instrument: str | None = None, **options: Any
) -> NetworkPlan:
    _refuse_data(model, options)
    if "shapes" not in options:
        options = {"epochs": EPOCHS[model]} | options
    elif model == "scan":
        options = {"epochs": FINE_TUNING_EPOCHS} | options
        options["shapes"] = os.path.abspath(named(options["shapes"], "shapes"))
    else:
        raise ConfigError(
            f"--shapes: expected none with --model {model}; they fine-tune the scan network"
        )
    if instrument is not None:
        config = simulated_like(load_instrument(instrument))
        options |= {"optics": config.optics, "camera": config.camera}
    return NetworkPlan.checked("train", options | {"model": model})


def _refuse_data(model: str, options: dict[str, Any]) -> None:
    for name in ("data", "recipe", "grid"):
        if name in options:
            raise ConfigError(
                f"--{name}: expected none with --model {model}, which simulates its own data"
            )


def _baseline_plan(**options: Any) -> BaselinePlan:
    if "instrument" in options:
        raise ConfigError(
            "--instrument: expected none with a baseline, whose data come from one; leave it"
            " out"
        )
    if "model" not in options:
        raise ConfigError("--model: expected one, got none; see opticalnet train --help")
    changes = given(epochs=options.pop("epochs", None), seed=options.pop("seed", None))
    recipe = load_recipe(options.pop("recipe", "paper")).changed(**changes)
    data = options.pop("data", None)
    if data is None:
        data = _usual_data(recipe)
    return BaselinePlan.checked("train", options | {"recipe": recipe, "data": data})


def _usual_data(recipe: Recipe) -> str:
    """Return the paper's data, where nobody says what to train on."""
    if recipe.steps_per_epoch is not None:
        return _PLAN
    if not Path(_SET).exists():
        raise ConfigError(
            f"--data: expected one, got none, and there is no {_SET} here; make it with"
            f" opticalnet simulate --preset {_PLAN} --out {_SET}"
        )
    return _SET
