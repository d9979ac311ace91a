"""How a network is trained: epochs, batches, learning rate, augmentation."""

from typing import Annotated, Final

from pydantic import Field

from configs.toml import presets_in, read_preset_or_file
from configs.value import Positive, PositiveInt, Seed, Value

_PRESETS: Final = "recipes"


class Recipe(Value):
    """A training with Adam and the mean binary cross-entropy of all squares.

    Its seed fixes new weights, the order of frames, how they are turned and what else
    chance decides.
    """

    epochs: PositiveInt
    batch: PositiveInt
    """Frames per step, on all devices together."""
    learning_rate: Positive
    learning_rate_factor: Annotated[float, Field(gt=0, le=1)]
    """What the learning rate is multiplied by, again and again."""
    factor_every_epochs: PositiveInt
    flips: bool = True
    """Left to right and top to bottom, each with probability 1/2."""
    quarter_turns: bool = True
    """By 0, 90, 180 or 270 degrees, each with probability 1/4."""
    steps_per_epoch: PositiveInt | None = None
    """With endless frames, simulated as they are asked for. ``None``: an epoch shows every
    frame of a set once."""
    validation_frames: PositiveInt = 4356
    """Held out of a simulated set; of folders it is a whole sample."""
    seed: Seed = 0


def recipe_presets() -> list[str]:
    """Names of the recipes that ship with OpticalNet."""
    return presets_in(_PRESETS)


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe: the name of a preset, or the path of a TOML file.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there.
    """
    values = read_preset_or_file("recipe", _PRESETS, name_or_path)
    return Recipe.checked(name_or_path, values)
