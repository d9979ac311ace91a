"""The one convention between stage, scan, sample squares and camera.

Row down is +y and column right is +x: in scans, masks, mosaics and camera images
alike. Point (r, c) of a scan with a margin m puts the beam on the middle of square
(r - m, c - m) of the sample, so the default 66 x 66 scan of 64 x 64 squares
starts one square outside its upper left corner.

Stage coordinates are where the beam is on the sample: a target further right
puts the beam on a higher column. Few stages are mounted that way round, because
it is the sample that moves; ``x_direction`` and ``y_direction`` of the stage turn
an axis over. ``centre_um`` is the stage position with the beam on the centre of the
sample.
"""

from dataclasses import dataclass
from typing import Final

SQUARE_NM: Final = 180.0
"""Side of a square: the grid of every sample."""
SQUARE_UM: Final = SQUARE_NM / 1000


@dataclass(frozen=True, slots=True)
class SampleGeometry:
    """Where a sample of squares lies in stage coordinates.

    Attributes
    ----------
    rows, columns
        Squares of the sample.
    pitch_nm
        Side of a square.
    centre_um
        Stage position (x, y) with the beam on the centre of the sample.
    directions
        (x, y), each 1 or -1: how the stage's axes lie.
    """

    rows: int
    columns: int
    pitch_nm: float
    centre_um: tuple[float, float]
    directions: tuple[int, int] = (1, 1)

    def stage_um(self, row: float, column: float) -> tuple[float, float]:
        """Stage position (x, y) with the beam on the middle of square (row, column)."""
        pitch_um = self.pitch_nm / 1000
        return (
            self.centre_um[0]
            + self.directions[0] * (column - (self.columns - 1) / 2) * pitch_um,
            self.centre_um[1] + self.directions[1] * (row - (self.rows - 1) / 2) * pitch_um,
        )

    def on_sample_um(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Where (x, y) on the sample the beam is at a stage position, from its centre."""
        return (
            self.directions[0] * (x_um - self.centre_um[0]),
            self.directions[1] * (y_um - self.centre_um[1]),
        )

    def square(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Row and column under the beam at a stage position; whole numbers are middles."""
        pitch_um = self.pitch_nm / 1000
        right_um, down_um = self.on_sample_um(x_um, y_um)
        return (
            down_um / pitch_um + (self.rows - 1) / 2,
            right_um / pitch_um + (self.columns - 1) / 2,
        )
