"""What goes wrong in a rehearsal, and how often."""

from configs.value import Fraction, NonNegative, Positive, PositiveInt, Seed, Value


class DriveFaults(Value):
    """Probabilities per move, of whatever moves."""

    refused: Fraction = 0.0
    """The command fails."""
    late: Fraction = 0.0
    """It does not come to rest before the deadline."""
    off_target: Fraction = 0.0
    """It comes to rest ``off_target_nm`` away, and says so when it is asked."""
    off_target_nm: Positive = 100.0
    garbage: Fraction = 0.0
    """The read-back after it is no answer of the protocol."""
    dead: Fraction = 0.0
    """Nothing is answered until the connection is made anew."""
    hang: Fraction = 0.0
    """The call does not return, in real time, until something is told to stop."""


class StageFaults(DriveFaults):
    """Probabilities per move."""

    jump: Fraction = 0.0
    """The sample jumps by ``jump_nm`` to some side, and nothing says so."""
    jump_nm: Positive = 100.0


class ShutterFaults(Value):
    """Probabilities per command."""

    refused: Fraction = 0.0
    """The command fails."""
    stuck: Fraction = 0.0
    """The blade stays where it is, and says so, until the connection is made anew."""


class CameraFaults(Value):
    """Probabilities per exposure."""

    refused: Fraction = 0.0
    """The command fails."""
    lost: Fraction = 0.0
    """No frame comes in time; it is delivered in place of the next, unless that is stopped."""
    repeated: Fraction = 0.0
    """The frame before is delivered once more."""
    torn: Fraction = 0.0
    """A frame of another shape."""
    saturated: Fraction = 0.0
    dark: Fraction = 0.0
    """The laser fails for ``dark_frames`` exposures."""
    dark_frames: PositiveInt = 5
    dead: Fraction = 0.0
    """Nothing is answered until the connection is made anew."""
    hang: Fraction = 0.0
    """The call does not return, in real time, until stage or focus drive is told to stop."""
    hot: Fraction = 0.0
    """Per look at its temperature: the sensor is at ``hot_c``."""
    hot_c: float = 60.0


class DiskFaults(Value):
    """Probabilities per write."""

    full: Fraction = 0.0
    """There is no room, half-way through, and then not for ``full_writes`` tries."""
    full_writes: PositiveInt = 2


class Faults(Value):
    """A schedule of faults, fixed by its seed; nothing goes wrong where nothing is said."""

    seed: Seed = 0
    stage: StageFaults = StageFaults()
    focus: DriveFaults = DriveFaults()
    shutter: ShutterFaults = ShutterFaults()
    camera: CameraFaults = CameraFaults()
    disk: DiskFaults = DiskFaults()
    latency_s: NonNegative = 0.0
    """Mean of the time that each move and exposure takes longer, exponentially distributed."""
