"""How fine a structure the maps of a run show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from acquisition.store import Points, Run
from configs.errors import ConfigError, ReconstructionError, RunStoreError
from configs.sample import Star
from opticalnet.reconstructions import good_points
from reconstruction.inversion import inversion
from reconstruction.predictor import choose_device
from reconstruction.resolution import Contrast, RingCorrelation

Float64 = NDArray[np.float64]
_HALVES: Final = 2


@dataclass(frozen=True, slots=True)
class Resolution:
    """How fine a structure the maps of a run show.

    Attributes
    ----------
    run
        That was looked at.
    limit_nm
        Wavelength over twice the numerical aperture, for comparison.
    contrasts
        Of a star, by the names of the results in the run; of the truth too, where it is known.
    correlation
        Of inversions of two halves of the frames.
    """

    run: Run
    limit_nm: float
    contrasts: dict[str, Contrast]
    correlation: RingCorrelation

    def save_figure(self, path: str | Path) -> None:
        """Draw contrast and correlation against the period (PNG, PDF, SVG)."""
        from opticalnet.resolution_figure import save_figure

        save_figure(Path(path), self)


def resolve(run: str | Path, *, spokes: int | None = None, device: str = "auto") -> Resolution:
    """Measure the resolution of the results that are in a run.

    Parameters
    ----------
    run
        Path of a run.
    spokes
        Open spokes of the star that it shows; ``None``: those of a simulated star, or it
        shows something else.
    device
        Where halves of the frames are inverted: ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If the map is too small for so many spokes.
    RunStoreError
        If there is no run, or no result in it, or it is damaged.
    ReconstructionError
        If there are hardly any frames.
    """
    source = Run(Path(run))
    points, info = good_points(source), source.info
    pitch_nm, contrasts = info.plan.pitch_nm, dict[str, Contrast]()
    if spokes is None and isinstance(info.sample_config, Star):
        spokes = info.sample_config.spokes
    if spokes is not None:
        if spokes < 1:
            raise ConfigError(f"spokes: expected at least 1, got {spokes}; count the open ones")
        maps = _results(source.path)
        if source.truth is not None:
            maps["truth"] = source.truth.astype(np.float64)
        contrasts = {
            name: Contrast.of_star(coverage, spokes, pitch_nm)
            for name, coverage in maps.items()
        }
    computes_on = choose_device(device)
    one, other = (
        inversion.invert(source, half, None, computes_on).coverage
        for half in _halves(points, info.plan.columns)
    )
    optics = info.instrument.optics
    return Resolution(
        run=source,
        limit_nm=optics.wavelength_nm / (2 * optics.collection_na),
        contrasts=contrasts,
        correlation=RingCorrelation.of_halves(one, other, pitch_nm),
    )


def _results(run: Path) -> dict[str, Float64]:
    """Read the milled fractions of all results that have them."""
    try:
        group = zarr.open_group(run / "reconstruction", mode="r")
        found = {
            name: np.asarray(result["coverage/0"], dtype=np.float64)
            for name, result in sorted(group.groups())
            if "coverage" in result
        }
    except (OSError, KeyError, ValueError, zarr.errors.BaseZarrError):
        found = {}
    if not found:
        raise RunStoreError(
            f"{run}: expected results, got none that can be read; run opticalnet reconstruct"
            " first"
        )
    return found


def _halves(points: Points, columns: int) -> tuple[Points, Points]:
    """Divide good frames into two halves, like the fields of a chessboard."""
    row, column = np.divmod(np.arange(len(points.valid)), columns)
    order = (row + column) % _HALVES
    one, other = (points.only(points.valid & (order == half)) for half in range(_HALVES))
    if not (one.valid.any() and other.valid.any()):
        raise ReconstructionError(
            "resolution: expected frames in two halves of the scan, got too few; scan more"
        )
    return one, other
