"""Base of every configuration value: frozen, strict, no unknown keys."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.errors import ConfigError


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
Pair = Annotated[tuple[float, float], Field(strict=False)]
"""Two numbers, (x, y) or (lowest, highest); TOML gives them as an array."""
