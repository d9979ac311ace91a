"""Recipes: the paper's, the endless one, and those of users."""

import pytest

from configs.errors import ConfigError
from configs.recipe import Recipe, load_recipe, recipe_presets

OWN = "epochs = 2\nbatch = 8\nlearning_rate = 1e-2\nlearning_rate_factor = 0.5\n"


def test_the_papers_recipe_is_the_papers():
    assert load_recipe("paper") == Recipe(
        epochs=500,
        batch=16,
        learning_rate=1e-3,
        learning_rate_factor=0.9,
        factor_every_epochs=30,
        flips=True,
        quarter_turns=True,
        steps_per_epoch=None,
    )


def test_the_fresh_one_differs_in_its_frames_alone():
    assert recipe_presets() == ["fresh", "paper"]
    fresh = load_recipe("fresh")
    assert fresh.steps_per_epoch == 12068 // 16
    assert fresh.model_copy(update={"steps_per_epoch": None}) == load_recipe("paper")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "factor_every_epochs is missing"),
        ("factor_every_epochs = 0", "factor_every_epochs: Input should be greater than 0"),
        ("factor_every_epochs = 1\nmomentum = 0.9", "unknown key momentum"),
        ("factor_every_epochs = 1\nseed = -1", "seed"),
        ("factor_every_epochs = 1\nflips = 1", "flips"),
    ],
)
def test_mistakes_are_named(tmp_path, line, said):
    path = tmp_path / "own.toml"
    path.write_text(OWN + line)
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)


def test_changes_are_checked():
    assert load_recipe("paper").changed(epochs=3, seed=1).epochs == 3
    with pytest.raises(ConfigError, match=r"epochs: .* got 0"):
        load_recipe("paper").changed(epochs=0)
