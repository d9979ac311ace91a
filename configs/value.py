"""Base of every configuration value: frozen, strict, no unknown keys."""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.errors import ConfigError

_SEEDS: Final = 1 << 63


class Value(BaseModel):
    """A frozen, validated value; unknown keys and silent conversions are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def checked(cls, source: str, values: dict[str, Any]) -> Self:
        """Make a value; ``ConfigError`` names the source, every wrong key, and why."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(error)}") from error

    def changed(self, **values: Any) -> Self:
        """Return the same value but for these fields; ``ConfigError`` says what is wrong."""
        try:
            return self.model_validate(dict(self) | values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    """Say in one line which keys are wrong and how."""
    problems = []
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        reason = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            problems.append(f"unknown key {key}; check the spelling")
        elif detail["type"] == "missing":
            problems.append(f"{key} is missing")
        else:
            given = "" if isinstance(detail["input"], dict) else f", got {detail['input']!r}"
            problems.append(f"{key}: {reason}{given}" if key else reason)
    return "; ".join(problems)


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=_SEEDS)]
Pair = Annotated[tuple[float, float], Field(strict=False)]
"""Two numbers, (x, y) or (lowest, highest); TOML gives them as an array."""


def check_seed(seed: int) -> None:
    """Raise ``ConfigError`` unless every random generator in use takes a seed."""
    if not 0 <= seed < _SEEDS:
        raise ConfigError(f"seed: expected a whole number from 0 to 2**63 - 1, got {seed}")
