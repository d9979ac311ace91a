"""The exception tree: everything OpticalNet raises on purpose.

Every message says what was expected, what came, and what to do; the command
line prints it as one line and exits with code 1.
"""


class OpticalNetError(Exception):
    """Base of every error that OpticalNet raises on purpose."""


class ConfigError(OpticalNetError):
    """A setting, sample or argument is not usable."""


class DeviceError(OpticalNetError):
    """A device refused, failed or is absent."""


class DeviceTimeout(DeviceError):
    """A device did not answer, settle or deliver within its deadline."""


class ProtocolError(DeviceError):
    """A device answered something that its protocol does not allow."""


class LimitError(DeviceError):
    """A target lies outside the travel limits; nothing moved."""


class AcquisitionError(OpticalNetError):
    """A scan cannot start or go on."""


class RunStoreError(OpticalNetError):
    """A run or data set cannot be created, written or read."""


class ReconstructionError(OpticalNetError):
    """Frames cannot be turned into an object."""
