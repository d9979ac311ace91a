"""What a scan does where nobody says otherwise, as its plan has it."""

from typing import Final

from acquisition.plan import LandmarkSchedule, ScanPlan

EXPOSURE_MS: Final[float] = ScanPlan.model_fields["exposure_ms"].default
MAX_RESIDUAL: Final = LandmarkSchedule().max_residual
