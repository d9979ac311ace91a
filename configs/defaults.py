"""What a scan does where nobody says otherwise."""

from typing import Final

DEFAULT_EXPOSURE_MS: Final = 10.0
DEFAULT_MARGIN: Final = 1
"""Points scanned beyond the sample on every side."""
DEFAULT_MAX_RESIDUAL: Final = 0.04
"""Change of the landmark's light, as a fraction, that pauses a scan."""
