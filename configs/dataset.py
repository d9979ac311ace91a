"""What a data set is: an instrument, samples, and how many frames of each."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.errors import ConfigError
from configs.instrument import Environment, InstrumentConfig, SimulatedCameraConfig
from configs.sample import SampleConfig, beside
from configs.value import Positive, PositiveInt, Value

Split = Literal["train", "test"]
_BUILT_IN = InstrumentConfig(name="simulated")


class PartPlan(Value):
    """Frames of one kind of sample, to train on or to test with."""

    split: Split
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """In lower case; it becomes a folder."""
    sample: SampleConfig
    scans: PositiveInt = 1
    """Samples of this kind, each drawn from a seed of its own and scanned once."""
    frames: PositiveInt | None = None
    """Kept, in the order of the scans; the last scan may be cut short. ``None`` keeps all."""

    @property
    def path(self) -> str:
        """Where the part lies within a data set."""
        return f"{self.split}/{self.name}"


class DatasetPlan(Value):
    """A whole data set, drawn from one seed.

    The instrument must be simulated, camera and stage. Of its stage only the settling
    time counts, and its travel and deadlines do not: nothing has to move or to be late.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    instrument: InstrumentConfig = _BUILT_IN
    exposure_ms: Positive = 10.0
    margin: Annotated[int, Field(ge=0)] = 1
    """Points scanned beyond the sample on every side."""
    parts: Annotated[tuple[PartPlan, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _is_simulated(self) -> Self:
        for device in ("camera", "stage"):
            kind = getattr(self.instrument, device).kind
            if kind != "simulated":
                raise ValueError(
                    f"instrument.{device} must be simulated, got {kind}: a data set is drawn"
                    " without devices"
                )
        return self

    @model_validator(mode="after")
    def _parts_differ(self) -> Self:
        paths = [part.path for part in self.parts]
        if not paths:
            raise ValueError("parts: expected one or more, got none")
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"parts must have names of their own, got {path} twice")
        return self

    @property
    def camera(self) -> SimulatedCameraConfig:
        """Camera of the instrument."""
        camera = self.instrument.camera
        assert isinstance(camera, SimulatedCameraConfig)
        return camera

    @property
    def environment(self) -> Environment:
        """What disturbs the instrument."""
        environment = self.instrument.environment
        assert environment is not None, "InstrumentConfig gives simulated cameras one"
        return environment

    @property
    def settling_ms(self) -> float:
        """Time between the end of a read-out and the next exposure."""
        stage = self.instrument.stage
        assert stage.kind == "simulated"
        return stage.settling_ms


def dataset_presets() -> list[str]:
    """Names of the data sets that ship with OpticalNet."""
    files = resources.files("configs").joinpath("datasets").iterdir()
    return sorted(
        file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")
    )


def load_dataset_plan(name_or_path: str) -> DatasetPlan:
    """Read a plan: the name of a preset, or the path of a TOML file.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there.
    """
    if name_or_path in dataset_presets():
        file = resources.files("configs").joinpath("datasets", f"{name_or_path}.toml")
        return _parse(file.read_text(encoding="utf-8"), name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise ConfigError(
            f"data set: expected one of {', '.join(dataset_presets())} or the path of a .toml"
            f" file, got {name_or_path!r}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"data set: cannot read {path}: {error}; check the path") from error
    plan = _parse(text, str(path))
    parts = (
        part.model_copy(update={"sample": beside(path, part.sample)}) for part in plan.parts
    )
    return plan.model_copy(update={"parts": tuple(parts)})


def _parse(text: str, source: str) -> DatasetPlan:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: expected valid TOML, got: {error}") from error
    return DatasetPlan.checked(source, values)
