"""What a data set is: an instrument, samples, and how many frames of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from configs.defaults import DEFAULT_EXPOSURE_MS, DEFAULT_MARGIN
from configs.instrument import Environment, InstrumentConfig, SimulatedCameraConfig
from configs.sample import AnySample, SampleConfig, beside, pinned
from configs.toml import presets_in, read_preset_or_file
from configs.value import Positive, PositiveInt, Seed, Value

Split = Literal["train", "test"]
_PRESETS: Final = "datasets"
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
    seed: Seed = 0
    instrument: InstrumentConfig = _BUILT_IN
    exposure_ms: Positive = DEFAULT_EXPOSURE_MS
    margin: Annotated[int, Field(ge=0)] = DEFAULT_MARGIN
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

    def with_samples(self, change: Callable[[AnySample], AnySample]) -> Self:
        """Return the same plan with every sample changed."""
        parts = (part.changed(sample=change(part.sample)) for part in self.parts)
        return self.changed(parts=tuple(parts))

    @property
    def camera(self) -> SimulatedCameraConfig:
        """Camera of the instrument."""
        camera = self.instrument.camera
        assert isinstance(camera, SimulatedCameraConfig)
        return camera

    @property
    def open_peak_e(self) -> float:
        """Photo-electrons at the brightest pixel of an all-open sample."""
        return self.camera.open_peak_e_per_ms * self.exposure_ms

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
    return presets_in(_PRESETS)


def load_dataset_plan(name_or_path: str) -> DatasetPlan:
    """Read a plan: the name of a preset, or the path of a TOML file.

    Paths of pictures and masks count from the file's folder, and their checksums are noted.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there; or a picture or mask that is
        not there, or no longer what the plan says.
    """
    values = read_preset_or_file("data set", _PRESETS, name_or_path)
    plan = DatasetPlan.checked(name_or_path, values)
    return plan.with_samples(lambda sample: pinned(beside(Path(name_or_path), sample)))
