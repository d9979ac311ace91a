"""What an instrument is made of: optics, camera, stage, travel, timing."""

from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from configs.optics import Optics
from configs.value import Fraction, NonNegative, Pair, Positive, PositiveInt, Value

SIMULATED_PORT: Final = "simulated"
Direction = Literal[1, -1]
Property = Annotated[str | int | float, Field(union_mode="left_to_right")]


class _Arithmetic(Protocol):
    """Arrays and tensors alike."""

    def __sub__(self, other: float, /) -> Self: ...

    def __mul__(self, other: float, /) -> Self: ...


_Numbers = TypeVar("_Numbers", bound=_Arithmetic)


class Sensor(Value):
    """How photo-electrons become digital numbers, per delivered pixel.

    Defaults: a 4-megapixel sCMOS of the back-lit class.
    """

    quantum_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Photo-electrons per photon, at the wavelength in use."""
    gain_e_per_adu: Positive = 0.46
    offset_adu: NonNegative = 100.0
    read_noise_e: NonNegative = 1.6
    """Root mean square over the pixels."""
    full_well_e: Positive = 30_000.0

    @property
    def added_variance_e2(self) -> float:
        """What read-out and rounding add to the variance of a pixel, in electrons squared."""
        return self.read_noise_e**2 + self.gain_e_per_adu**2 / 12

    def electrons(self, adu: _Numbers) -> _Numbers:
        """Return the photo-electrons of digital numbers, an array or a tensor of any shape."""
        return (adu - self.offset_adu) * self.gain_e_per_adu


class SensorMaps(Value):
    """Spread of the simulated sensor's pixels around their common values."""

    median_read_noise_e: Positive = 1.0
    """With the sensor's rms, it fixes the log-normal tail."""
    response_nonuniformity: Fraction = 0.01
    """Relative standard deviation of the pixels' response."""
    hot_pixels: Fraction = 0.005
    hot_pixel_e_per_s: NonNegative = 50.0
    dark_e_per_s: NonNegative = 0.06


class SimulatedCameraConfig(Value):
    """A camera that looks at the simulated world."""

    kind: Literal["simulated"] = "simulated"
    sensor: Sensor = Sensor()
    open_peak_e_per_ms: Positive = 200.0
    """Photo-electrons per ms at the brightest pixel of an all-open sample."""
    maps: SensorMaps = SensorMaps()
    readout_ms: NonNegative = 1.0


class MicroManagerDevice(Value):
    """A device as Micro-Manager names it."""

    kind: Literal["micromanager"]
    library: str
    """Adapter library, for example ``HamamatsuHam``."""
    device: str
    """Device in that library, for example ``HamamatsuHam_DCAM``."""
    properties: dict[str, Property] = Field(default_factory=dict)
    """Set in this order, those that it wants before initialisation first."""


class MicroManagerCameraConfig(MicroManagerDevice):
    """A camera that Micro-Manager drives."""

    sensor: Sensor = Sensor()
    open_peak_e_per_ms: Positive = 200.0
    """Photo-electrons per ms at the brightest pixel of an open area: measure it once."""
    temperature_property: str | None = None
    """Which property says the temperature of the sensor, in degrees Celsius."""


class StageAxes(Value):
    """How the axes of a stage lie: see ``configs.geometry``."""

    x_direction: Direction = 1
    """-1 where a rising x moves the beam towards lower columns of the sample."""
    y_direction: Direction = 1
    """-1 where a rising y moves the beam towards lower rows of the sample."""


class SimulatedStageConfig(StageAxes):
    """A closed-loop piezo stage, simulated."""

    kind: Literal["simulated"] = "simulated"
    settling_ms: Positive = 10.0
    """Until a step of one square has come to rest within a nanometre."""
    slew_um_per_s: Positive = 10_000.0
    noise_nm: NonNegative = 0.5
    """Root mean square of the position under closed loop, per axis."""


class MicroManagerStageConfig(MicroManagerDevice, StageAxes):
    """An XY stage that Micro-Manager drives."""


class GcsStageConfig(StageAxes):
    """A piezo controller that speaks PI's General Command Set 2.0."""

    kind: Literal["gcs"]
    port: str
    """``COM3``, ``/dev/ttyUSB0``, ``socket://host:port``; or ``simulated``: a byte-level
    simulated E-727 behind a real serial line."""
    baud_rate: PositiveInt = 115_200
    rts_cts: bool = False
    x_axis: str = "1"
    y_axis: str = "2"
    reply_timeout_s: Positive = 1.0


CameraConfig = Annotated[
    SimulatedCameraConfig | MicroManagerCameraConfig, Field(discriminator="kind")
]
StageConfig = Annotated[
    SimulatedStageConfig | MicroManagerStageConfig | GcsStageConfig, Field(discriminator="kind")
]


class SimulatedShutterConfig(Value):
    """A shutter before the simulated world."""

    kind: Literal["simulated"] = "simulated"


class MicroManagerShutterConfig(MicroManagerDevice):
    """A shutter that Micro-Manager drives."""


ShutterConfig = Annotated[
    SimulatedShutterConfig | MicroManagerShutterConfig, Field(discriminator="kind")
]


class FocusRange(Value):
    """How far a focus drive may go; ``docs/axes.md`` says what its coordinate means."""

    range_um: Pair
    """Lowest and highest position: all that keeps the sample off the objectives."""

    @field_validator("range_um")
    @classmethod
    def _ordered(cls, range_um: tuple[float, float]) -> tuple[float, float]:
        low, high = range_um
        if low >= high:
            raise ValueError(f"must be [lowest, highest], got [{low}, {high}]")
        return range_um


class SimulatedFocusConfig(FocusRange):
    """A closed-loop piezo that moves the simulated sample along the beam."""

    kind: Literal["simulated"] = "simulated"
    range_um: Pair = (0.0, 100.0)
    settling_ms: Positive = 20.0
    """Until a step of 180 nm has come to rest within a nanometre."""
    slew_um_per_s: Positive = 1000.0
    noise_nm: NonNegative = 0.5
    """Root mean square of the position under closed loop."""


class MicroManagerFocusConfig(MicroManagerDevice, FocusRange):
    """A focus drive that Micro-Manager drives: a stage with one axis."""


FocusConfig = Annotated[
    SimulatedFocusConfig | MicroManagerFocusConfig, Field(discriminator="kind")
]


class Travel(Value):
    """Where the stage may go; a controller's own limits hold as well."""

    x_um: Pair = (0.0, 200.0)
    """Lowest and highest position."""
    y_um: Pair = (0.0, 200.0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for axis, (low, high) in (("x_um", self.x_um), ("y_um", self.y_um)):
            if low >= high:
                raise ValueError(f"{axis} must be [lowest, highest], got [{low}, {high}]")
        return self

    @property
    def centre_um(self) -> tuple[float, float]:
        """Middle of the travel, (x, y)."""
        return (sum(self.x_um) / 2, sum(self.y_um) / 2)


class Timing(Value):
    """Deadlines and tolerances of a scan."""

    move_timeout_s: Positive = 2.0
    """For a move to settle."""
    frame_timeout_s: Positive = 5.0
    """For a frame to arrive after the exposure has ended."""
    position_tolerance_nm: Positive = 20.0
    """Largest distance between target and read-back of a good point."""
    focus_tolerance_nm: Positive = 20.0
    """The same for a move of the focus drive."""
    attempts: Annotated[int, Field(ge=1, le=255)] = 3
    """Tries per point before it is marked invalid."""


class Limits(Value):
    """What a scan may not exceed; checked before it begins and while it goes on."""

    invalid: Fraction = 0.05
    """Share of invalid points above which a scan pauses."""
    wait_s: NonNegative = 600.0
    """How long lost light or a temperature is waited for."""
    correction_um: Positive = 5.0
    """Farthest that the stage follows the sample along an axis."""
    speed_um_per_s: Positive | None = None
    """Mean speed of the stage; longer moves go in steps."""
    dose_j_per_cm2: Positive | None = None
    """Most light that a place on the sample gets, settling times included."""
    temperature_c: Pair | None = None
    """Lowest and highest, of every device that reports one."""
    free_mb: NonNegative = 50.0
    """Room that a scan leaves on the disk."""

    @model_validator(mode="after")
    def _temperatures_are_ordered(self) -> Self:
        if self.temperature_c is not None and self.temperature_c[0] >= self.temperature_c[1]:
            low, high = self.temperature_c
            raise ValueError(f"temperature_c must be [lowest, highest], got [{low}, {high}]")
        return self


class Environment(Value):
    """What disturbs a simulated instrument; zero switches a disturbance off."""

    drift_nm_per_min: Pair = (3.0, -2.0)
    """Linear drift of the sample under the stage, (x, y)."""
    random_walk_nm_per_sqrt_min: NonNegative = 1.0
    """Root mean square per axis, after a minute."""
    focus_drift_nm_per_min: float = 2.0
    """Linear drift of the sample along the axis, away from the nominal defocus."""
    focus_walk_nm_per_sqrt_min: NonNegative = 0.5
    vibration_nm: NonNegative = 0.5
    """Root mean square per axis, averaged over an exposure."""
    laser_noise: Fraction = 0.005
    """Relative standard deviation of the power from frame to frame."""
    background_e_per_ms: NonNegative = 0.05
    """Stray light, photo-electrons per pixel."""
    dust_specks: Annotated[int, Field(ge=0, le=1000)] = 0
    """Specks of dust on the camera's cover glass. None by default: a clean instrument is
    the rule, and a shadow that hangs on one camera would be learnt as if it hung on all."""
    dust_radius_px: Positive = 2.0
    """Where a shadow has half its depth; some are smaller and some larger. In delivered
    pixels, as dust belongs to the camera, whatever the magnification: 2 are 52 um on the
    sensor where 4 x 4 pixels of 6.5 um are binned."""
    dust_depth: Fraction = 0.2
    """Fraction of the light that is missing in the middle of a shadow."""


class InstrumentConfig(Value):
    """A whole instrument.

    ``environment`` describes the world of a simulated camera, and only that.
    """

    name: str
    optics: Optics = Optics()
    camera: CameraConfig = SimulatedCameraConfig()
    stage: StageConfig = SimulatedStageConfig()
    shutter: ShutterConfig | None = None
    """``None``: there is none, or it is not ours to move."""
    focus: FocusConfig | None = None
    """``None``: there is none, or it is not ours to move."""
    travel: Travel = Travel()
    timing: Timing = Timing()
    limits: Limits = Limits()
    environment: Environment | None = None

    @property
    def axes(self) -> int:
        """Of the drives: x and y, and z where there is a focus drive."""
        return 2 if self.focus is None else 3

    @model_validator(mode="after")
    def _environment_is_simulated(self) -> Self:
        if self.environment is not None and self.camera.kind != "simulated":
            raise ValueError("environment goes with a simulated camera only; remove it")
        if self.environment is None and self.camera.kind == "simulated":
            # So that what disturbs it stands in every run.
            object.__setattr__(self, "environment", Environment())
        return self

    @model_validator(mode="after")
    def _world_is_shared(self) -> Self:
        simulated_stage = self.stage.kind == "simulated" or (
            self.stage.kind == "gcs" and self.stage.port == SIMULATED_PORT
        )
        if self.shutter is not None and self.shutter.kind != self.camera.kind:
            raise ValueError(
                "a simulated shutter goes with a simulated camera, and a real one with a real"
                f" one, got {self.shutter.kind} and {self.camera.kind}"
            )
        if self.focus is not None and self.focus.kind != self.camera.kind:
            raise ValueError(
                "a simulated focus drive goes with a simulated camera, and a real one with a"
                f" real one, got {self.focus.kind} and {self.camera.kind}"
            )
        if self.camera.kind == "simulated" and not simulated_stage:
            raise ValueError(
                "a simulated camera needs a simulated stage to look at,"
                f" got a real one of kind {self.stage.kind}"
            )
        return self
