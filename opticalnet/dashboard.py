"""What is shown of a scan: facts, and the map as far as it is known."""

import math
import time
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.plan import FOCUS_LOOKS, LEARNING_LOOKS
from acquisition.store import RunInfo
from opticalnet.console import listed
from opticalnet.dose import photon_energy_j
from opticalnet.half_blocks import UNDECIDED, HalfBlocks
from reconstruction.inversion.live_inversion import Inverted, LiveInversion
from reconstruction.live import LiveReconstruction

_FACTS_COLUMNS: Final = 44
_FACTS_LINES: Final = 12
_FRAME_COLUMNS: Final = 4
"""Borders of the map, and the space within them."""
_FRAME_LINES: Final = 5
"""Borders, banner, and where the cursor stands."""
_LEAST_BESIDE: Final = 30
"""Columns of a map that has its facts beside it."""
_LEAST: Final = 4


class Dashboard:
    """Counts what a scan does, and draws it.

    Parameters
    ----------
    info
        What is scanned.
    out
        Where the run goes; ``None`` in a dry run.
    live_map
        The map, or in one line why there is none.
    inversion
        Of the lines so far, or ``None``.

    Attributes
    ----------
    waits_for_inversion
        Whether the scan is over and only the inversion goes on.
    """

    def __init__(
        self,
        info: RunInfo,
        out: str | None,
        live_map: LiveReconstruction | str,
        inversion: LiveInversion | None = None,
    ) -> None:
        self._status = np.full(len(info.plan), Status.PENDING, np.uint8)
        self._frames = 0
        self.waits_for_inversion = False
        self._info = info
        self._out = out
        self._live_map, self._inversion = live_map, inversion
        self._energy_per_point_j = (info.power_w or 0.0) * info.plan.exposure_ms / 1000
        self._began = self._latest = 0.0
        self._visit: LandmarkVisit | None = None
        landmark = info.plan.landmark
        looks = LEARNING_LOOKS + (FOCUS_LOOKS if info.instrument.focus else 0)
        self._landmark_exposures = 0 if landmark is None else looks * landmark.frames

    def there(self, frame: Frame) -> None:
        """Count a frame that the run has already."""
        self._status[frame.point.index] = frame.status

    def frame(self, frame: Frame) -> None:
        """Count a frame; one that is taken again counts once."""
        self._latest = time.monotonic()
        if self._frames == 0:
            self._began = self._latest
        self._frames += 1
        self._status[frame.point.index] = frame.status

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        self._landmark_exposures += len(visit.images)
        self._visit = visit

    @property
    def points(self) -> int:
        """Taken so far, valid or not, now or before."""
        return int(np.count_nonzero(self._status))

    @property
    def invalid(self) -> int:
        """Of them, those without a good frame."""
        return int(np.count_nonzero(self._status == Status.INVALID))

    @property
    def lines_to_invert(self) -> int:
        """How many lines of squares are not inverted yet."""
        inverted = None if self._inversion is None else self._inversion.inverted
        return self._info.plan.sample_shape[0] - (inverted.lines if inverted else 0)

    def banner(self) -> Text | None:
        """Say what is simulated."""
        roles = self._info.provenance.simulated
        if not roles:
            return None
        what = "DRY RUN, NOTHING IS RECORDED" if self._out is None else "SIMULATED INSTRUMENT"
        return Text(f" {what}: simulated {listed(roles)} ", style="bold black on yellow")

    def plain_line(self) -> str:
        """Say how far it is, in one line."""
        total = len(self._info.plan)
        rate = self._rate()
        left = f"{(total - self.points) / rate:.0f}" if rate else "?"
        return (
            f"{self.points:,} of {total:,} points, {rate:,.0f}/s, {left} s left,"
            f" drift {self._drift()}, {self.invalid} invalid"
        )

    def picture(self, width: int, height: int) -> RenderableType:
        """Draw everything for a terminal of so many columns and lines."""
        banner = self.banner()
        parts: list[RenderableType] = [] if banner is None else [banner]
        columns, lines = width - _FRAME_COLUMNS, height - _FRAME_LINES
        beside = columns >= _FACTS_COLUMNS + _LEAST_BESIDE
        if beside:
            table = Table.grid(padding=(0, 2))
            table.add_row(self._map(columns - _FACTS_COLUMNS, lines), self._facts())
            parts.append(table)
        else:
            parts += [self._map(columns, lines - _FACTS_LINES), self._facts()]
        return Group(*parts)

    def _map(self, columns: int, lines: int) -> RenderableType:
        picture: RenderableType
        known, undecided = self._known()
        if known is None:
            picture = Text(f"no live map: {self._live_map}", style="yellow")
        else:
            picture = HalfBlocks(known, max(columns, _LEAST), max(lines, _LEAST), undecided)
        grid = self._info.plan.grid
        title = Text(f"{self._info.sample}, {grid} x {grid}")
        return Panel.fit(picture, title=title, border_style="grey37")

    def _known(self) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
        """Return what is known of the squares, and which of them are undecided."""
        of_network = None
        if not isinstance(self._live_map, str):
            of_network = self._live_map.probability()
        inverted = None if self._inversion is None else self._inversion.inverted
        if inverted is None:
            return of_network, None
        known = inverted.probability
        if of_network is not None:
            known = np.where(np.isfinite(known), known, of_network)
        return known, inverted.undecided

    def _facts(self) -> RenderableType:
        total = len(self._info.plan)
        rate = self._rate()
        left = timedelta(seconds=round((total - self.points) / rate)) if rate else "-"
        landmark = self._info.plan.landmark
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="grey62")
        facts.add_column()
        facts.add_row("progress", ProgressBar(total=total, completed=self.points, width=24))
        points = f"{self.points:,} of {total:,}" if self.points else "choosing a landmark"
        facts.add_row("points", points)
        facts.add_row("rate", f"{rate:,.0f} points/s")
        facts.add_row("time left", str(left))
        if landmark is not None:
            facts.add_row("drift", self._drift())
        facts.add_row("dose", self._dose())
        if self._inversion is not None:
            self._add_inverted(facts, self._inversion.inverted)
        facts.add_row("invalid", Text(str(self.invalid), "red" if self.invalid else ""))
        facts.add_row("run", Text(self._out or "not recorded (dry run)"))
        return facts

    def _add_inverted(self, facts: Table, inverted: Inverted | None) -> None:
        """Say how far the inversion is, and what it makes of it."""
        lines = self._info.plan.sample_shape[0]
        facts.add_row("inverted", f"{lines - self.lines_to_invert} of {lines} lines")
        if self.waits_for_inversion:
            facts.add_row("", "Ctrl-C skips the rest")
        if inverted is None:
            return
        share = Text(f"{inverted.undecided_share:.1%} ").append("██", Style(color=UNDECIDED))
        facts.add_row("undecided", share)
        chi_squared = Text(f"{inverted.chi_squared:.3f}")
        if not inverted.is_explained:
            chi_squared.append(", NOT EXPLAINED").stylize("bold red")
        facts.add_row("chi-squared", chi_squared)

    def _dose(self) -> str:
        energy_j = (self._frames + self._landmark_exposures) * self._energy_per_point_j
        photons = energy_j / photon_energy_j(self._info.instrument.optics)
        return f"{1e9 * energy_j:.3g} nJ ({photons:.2g} photons)"

    def _drift(self) -> str:
        visit = self._visit
        if visit is None:
            return "not seen yet"
        if not visit.is_believed:
            return f"landmark lost, chi-squared {visit.chi_squared:.1f}"
        pairs = (visit.drift_um[:2], visit.sd_um[:2])
        size_nm, sd_nm = (1000 * math.hypot(*pair) for pair in pairs)
        state = "followed" if any(visit.correction_um) else "none for certain"
        focus = "".join(f", focus {1000 * z_um:+.0f} nm" for z_um in visit.drift_um[2:])
        return f"{size_nm:.0f} +- {sd_nm:.0f} nm{focus}, {state}"

    def _rate(self) -> float:
        """Return points per second, from the first to the latest."""
        elapsed = self._latest - self._began
        return (self._frames - 1) / elapsed if elapsed > 0 else 0.0
