"""What an inversion may find besides the sample."""

from collections.abc import Collection
from typing import Final, Literal, get_args

from configs.errors import ConfigError

Refinement = Literal["light", "aberrations", "positions"]
TOLD: Final = 0.5
"""Error, relative to what was believed, up to which frames tell of something."""
PLACE_SPREAD_UM: Final = 0.03
"""Standard deviation of the beam's place from where the stage says, where it is looked for."""


def check_refinements(names: Collection[str]) -> None:
    """Check that there are such refinements.

    Raises
    ------
    ConfigError
        If there is one that is not.
    """
    for name in names:
        if name not in get_args(Refinement):
            raise ConfigError(
                f"refine: expected {', '.join(get_args(Refinement))}, got {name!r}; choose some"
            )
