"""What is shown of a scan: facts, and the map as far as it is known."""

import time
from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from acquisition.drift import CHOOSING_LOOKS
from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.store import RunInfo
from opticalnet.dose import photon_energy_nj, photons_per_point
from opticalnet.half_blocks import HalfBlocks
from reconstruction.live import LiveReconstruction

_FACTS_COLUMNS: Final = 44
_FACTS_LINES: Final = 10
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

    Attributes
    ----------
    points
        Taken so far, valid or not.
    """

    def __init__(
        self, info: RunInfo, out: str | None, live_map: LiveReconstruction | str
    ) -> None:
        self.points = 0
        self._info = info
        self._out = out
        self._live_map = live_map
        self._photons_per_point = photons_per_point(info)
        self._began = 0.0
        self._invalid = 0
        self._residual: float | None = None
        landmark = info.plan.landmark
        self._landmark_exposures = 0 if landmark is None else CHOOSING_LOOKS * landmark.frames

    def frame(self, frame: Frame) -> None:
        """Count a frame."""
        if self.points == 0:
            self._began = time.monotonic()
        self.points += 1
        self._invalid += frame.status is not Status.VALID

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        self._landmark_exposures += len(visit.images)
        self._residual = visit.residual if visit.visit else None

    def banner(self) -> Text | None:
        """Say what is simulated."""
        roles = self._info.provenance.simulated
        if not roles:
            return None
        what = "DRY RUN, NOTHING IS RECORDED" if self._out is None else "SIMULATED INSTRUMENT"
        return Text(f" {what}: simulated {' and '.join(roles)} ", style="bold black on yellow")

    def plain_line(self) -> str:
        """Say how far it is, in one line."""
        total = len(self._info.plan)
        rate = self._rate()
        left = f"{(total - self.points) / rate:.0f}" if rate else "?"
        return (
            f"{self.points:,} of {total:,} points, {rate:,.0f}/s, {left} s left,"
            f" drift {self._drift()}, {self._invalid} invalid"
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
        if isinstance(self._live_map, str):
            picture = Text(f"no live map: {self._live_map}", style="yellow")
        else:
            known = self._live_map.probability()
            picture = HalfBlocks(known, max(columns, _LEAST), max(lines, _LEAST))
        grid = self._info.plan.grid
        title = Text(f"{self._info.sample}, {grid} x {grid}")
        return Panel.fit(picture, title=title, border_style="grey37")

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
            facts.add_row("drift", f"{self._drift()}, pauses at {landmark.max_residual:.1%}")
        facts.add_row("dose", self._dose())
        facts.add_row("invalid", Text(str(self._invalid), "red" if self._invalid else ""))
        facts.add_row("run", Text(self._out or "not recorded (dry run)"))
        return facts

    def _dose(self) -> str:
        photons = (self.points + self._landmark_exposures) * self._photons_per_point
        energy_nj = photon_energy_nj(self._info.instrument.optics) * photons
        return f"{energy_nj:.3g} nJ ({photons:.2g} photons)"

    def _drift(self) -> str:
        return "not seen yet" if self._residual is None else f"{self._residual:.1%}"

    def _rate(self) -> float:
        """Return points per second since the first."""
        elapsed = time.monotonic() - self._began
        return self.points / elapsed if self.points and elapsed > 0 else 0.0
