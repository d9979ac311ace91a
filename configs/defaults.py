"""What a scan does where nobody says otherwise."""

from typing import Final

DEFAULT_EXPOSURE_MS: Final = 10.0
DEFAULT_MARGIN: Final = 1
"""Points scanned beyond the sample on every side."""
DEFAULT_MAX_CHI_SQUARED: Final = 2.0
"""Misfit of the landmark, reduced chi-squared, above which a look at it is not believed."""
DEFAULT_FINISH_SHARE: Final = 0.0
"""Further looks at squares in doubt, of the points of a scan."""
