"""What weights know, and how they came about: both are kept with them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from configs.errors import ReconstructionError
from configs.optics import Optics
from configs.value import Fraction, Positive, PositiveInt, Seed, Value


class TrainedFor(Value):
    """The instrument that weights know."""

    optics: Optics
    """Nominal."""
    tolerance: dict[str, Fraction]
    """By what fraction an optical parameter, named as in ``beam.fwhm_nm``, may differ."""
    pitch_nm: Positive
    """Step of the scan."""

    def check(self, name: str, optics: Optics, pitch_nm: float) -> None:
        """Raise ``ReconstructionError`` if another instrument is too different."""
        if pitch_nm != self.pitch_nm:
            raise _misfit(name, "pitch_nm", f"{self.pitch_nm:g}", pitch_nm)
        trained = dict(_flat(self.optics.model_dump(mode="json")))
        wanted = dict(_flat(optics.model_dump(mode="json")))
        for key in sorted(trained.keys() | wanted.keys()):
            nominal, value = trained.get(key), wanted.get(key)
            share = self.tolerance.get(key, 0.0)
            if nominal == value or (share and _near(nominal, value, share)):
                continue
            allowed = f"{nominal} within {share:.0%}" if share else str(nominal)
            raise _misfit(name, f"optics.{key}", allowed, value)


class TrainingFacts(Value):
    """How weights came about."""

    epoch: PositiveInt
    """The weights are those after this one."""
    epochs_done: PositiveInt
    epochs_planned: PositiveInt
    steps_per_epoch: PositiveInt | None = None
    """``None``: not noted then."""
    batch: PositiveInt | None = None
    """Examples of a step. ``None``: not noted then."""
    seed: Seed
    software: dict[str, str]
    validation: dict[str, float]

    @property
    def examples_done(self) -> int | None:
        """Examples shown by now, an epoch's again in the next; ``None``: not noted."""
        if self.steps_per_epoch is None or self.batch is None:
            return None
        return self.epochs_done * self.steps_per_epoch * self.batch


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _near(nominal: Any, value: Any, share: float) -> bool:
    numbers = isinstance(nominal, int | float) and isinstance(value, int | float)
    return numbers and math.isclose(nominal, value, rel_tol=0, abs_tol=share * abs(nominal))


def _misfit(name: str, key: str, expected: str, got: object) -> ReconstructionError:
    return ReconstructionError(
        f"weights {name} do not fit: {key} expected {expected}, got {got};"
        " train others with opticalnet train, or take --method inversion, which needs none"
    )
