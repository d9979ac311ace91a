"""What a run shows: its map, how good that is, and its picture."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from acquisition.frame import Status
from acquisition.store import Points, Run
from configs.errors import RunStoreError
from reconstruction.calibration import Calibration
from reconstruction.consistency import Consistency
from reconstruction.inversion.inversion_map import InversionMap
from reconstruction.metrics import Scores
from reconstruction.results import write_result
from reconstruction.square_map import SquareMap

_KEPT_INTERVAL: Final = 0.9
"""Probability of the intervals in the run."""
NetworkMethod = Literal["network", "frames", "pooled"]
Method = Literal[NetworkMethod, "inversion"]


def result_name(method: Method, grid: int | None) -> str:
    """Return the name of a result within its run, and of its picture."""
    return f"{method}-{grid}" if method in {"frames", "pooled"} else method


def good_points(run: Run) -> Points:
    """Return the points of a run.

    Raises
    ------
    RunStoreError
        If none has a good frame.
    """
    points = run.points()
    if not points.valid.any():
        raise RunStoreError(f"{run.path}: expected frames, got none; was the scan started?")
    return points


def unplaced(points: Points) -> list[str]:
    """Return a warning if the landmark told of the sample for some frames, not for others."""
    unknown = np.isnan(points.drift_um[points.valid]).any(axis=1)
    if unknown.all() or not unknown.any():
        return []
    warning = (
        f"{unknown.sum():,} of {points.count(Status.VALID):,} frames were taken while the"
        " landmark was lost: nobody knows where the sample was; squares may be displaced"
    )
    return [warning]


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a run shows.

    Attributes
    ----------
    run, points
        What was read; the maps are also kept in the run.
    method
        ``network``, ``frames``, ``pooled`` or ``inversion``.
    grid
        Squares along a side that a single frame told of; ``None`` where nobody looked at
        single ones.
    made_from
        What else made it: the weights of the network, or prior and start of the inversion.
    device
        Where it was computed: ``cpu`` or ``cuda``.
    squares
        Probability, uncertainty, decision, coverage and count of every square.
    inversion
        The same where it was inverted, with intervals and chi-squared; else ``None``.
    light
        What the instrument was found to be, where it was looked for; else ``None``.
    truth
        (rows, columns) milled fraction, where it is known.
    frame, stitched
        Scores of single frames' predictions and of the map, where the truth is known; of
        frames ``None`` where nobody looked at single ones, or could.
    consistency
        How well the map explains the frames: a network answers whatever it is shown.
    warnings
        What one should know before believing it.
    seconds
        Reading and computing, without loading a network.
    """

    run: Run
    points: Points
    method: Method
    grid: int | None
    made_from: dict[str, str]
    device: str
    squares: SquareMap
    inversion: InversionMap | None
    light: Calibration | None
    truth: NDArray[np.float32] | None
    frame: Scores | None
    stitched: Scores | None
    consistency: Consistency
    warnings: tuple[str, ...]
    seconds: float

    @property
    def name(self) -> str:
        """Of the result within the run, and of its picture."""
        return result_name(self.method, self.grid)

    @property
    def valid(self) -> int:
        """Points with a good frame."""
        return self.points.count(Status.VALID)

    @property
    def invalid(self) -> int:
        """Points that were given up."""
        return self.points.count(Status.INVALID)

    @property
    def missing(self) -> int:
        """Points that were not taken."""
        return self.points.count(Status.PENDING)

    @property
    def frames_per_s(self) -> float:
        """Valid frames over the seconds that they took."""
        return self.valid / self.seconds

    @property
    def title(self) -> str:
        """Which run, method and so on; kept in a picture, to know it by."""
        parts = {"run": self.run.info.provenance.run_id, "by": self.name} | self.made_from
        return ", ".join(f"{key} {value}" for key, value in parts.items())

    def as_dict(self) -> dict[str, Any]:
        """Return what is kept in the run beside the maps."""
        provenance = self.run.info.provenance
        positions = self.inversion and self.inversion.positions
        return {
            "run_id": provenance.run_id,
            "simulated": provenance.simulated,
            "method": self.method,
            "grid": self.grid,
            **self.made_from,
            "device": self.device,
            "valid": self.valid,
            "invalid": self.invalid,
            "missing": self.missing,
            "unexplained": self.consistency.unexplained,
            "chi_squared": self.inversion and self.inversion.chi_squared,
            "positions": positions and asdict(positions),
            "light": self.light and [asdict(one) for one in self.light.quantities],
            "warnings": list(self.warnings),
            "frame": self.frame and self.frame.as_dict(),
            "stitched": self.stitched and self.stitched.as_dict(),
        }

    def write(self) -> None:
        """Put the maps into the run, in place of earlier ones of this name."""
        info, squares, inversion = self.run.info, self.squares, self.inversion
        maps: dict[str, NDArray[Any]] = {
            "probability": squares.probability.astype(np.float32),
            "uncertainty": squares.uncertainty.astype(np.float32),
            "binary": squares.is_open.astype(np.uint8),
            "count": squares.count.astype(np.uint32),
            "coverage": squares.coverage.astype(np.float32),
        }
        if inversion is not None:
            low, high = inversion.interval(_KEPT_INTERVAL)
            maps |= {
                "undecided": inversion.undecided.astype(np.uint8),
                "low": low.astype(np.float32),
                "high": high.astype(np.float32),
                "chi_squared": inversion.of_frames.astype(np.float32),
            }
            if inversion.positions is not None:
                x, y = inversion.moved_um.astype(np.float32).transpose(2, 0, 1)
                maps |= {"moved_x_um": x, "moved_y_um": y}
                x, y = inversion.moved_error_um.astype(np.float32).transpose(2, 0, 1)
                maps |= {"moved_x_error_um": x, "moved_y_error_um": y}
        images = {name: (image, info.plan.pitch_nm / 1000) for name, image in maps.items()}
        if inversion is not None:
            pixel_um = info.instrument.optics.binned_pixel_nm / 1000
            of_pixels = inversion.of_pixels.astype(np.float32)
            images["chi_squared_of_pixels"] = of_pixels, pixel_um
        write_result(self.run.path, self.name, images, self.as_dict())

    def save_figure(self, path: str | Path) -> None:
        """Draw the maps into a picture file (PNG, PDF, SVG)."""
        from opticalnet.figure import save_figure

        save_figure(Path(path), self)
