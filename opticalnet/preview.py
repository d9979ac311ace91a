"""Whoever shows a scan while it runs: in a terminal the map as it grows, else plain lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from rich.console import Console, RenderableType
from rich.live import Live
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from acquisition.frame import Frame, LandmarkVisit
from acquisition.guard import Check
from acquisition.store import RunInfo
from configs.errors import OpticalNetError
from opticalnet.dashboard import Dashboard
from reconstruction.inversion.live_inversion import LiveInversion
from reconstruction.live import LiveReconstruction
from reconstruction.load import frame_predictor, scan_predictor

REDRAWS_PER_S: Final = 15
"""A frame is on the screen within 100 ms: one redraw, and what network and drawing take."""
_PLAIN_LINES: Final = 10
_MOST_BEHIND: Final = 42
"""Lines that are worth waiting for: the last two bands, and what sees them."""


class Preview:
    """Shows a scan; a terminal is drawn in a thread of its own, so the scan never waits.

    Parameters
    ----------
    console
        Where to draw.
    device
        Where live network and inversion run.
    out
        Where the run goes; ``None`` in a dry run.
    ask
        Whether somebody is there to answer when the scan pauses.
    """

    def __init__(
        self, console: Console, device: torch.device, out: str | None, *, ask: bool
    ) -> None:
        self.console = console
        self._device = device
        self._out = out
        self._ask = ask
        self._line_every = 1
        self._simulated: list[str] = []
        self._live_map: LiveReconstruction | None = None
        self._inversion: LiveInversion | None = None
        self._dashboard: Dashboard | None = None
        self._screen: Live | None = None

    @property
    def points(self) -> int:
        """Taken so far, valid or not."""
        return 0 if self._dashboard is None else self._dashboard.points

    def begin(self, info: RunInfo, there: Iterator[Frame]) -> None:
        """Learn what is going to be scanned, and what frames a run has already."""
        self._line_every = -(-len(info.plan) // _PLAIN_LINES)
        self._simulated = info.provenance.simulated
        live_map = self._open_map(info)
        if self.console.is_terminal and self._out is not None:
            self._inversion = self._open_inversion(Path(self._out))
        self._dashboard = Dashboard(info, self._out, live_map, self._inversion)
        for frame in there:
            self._dashboard.there(frame)
            if self._live_map is not None:
                self._live_map.add(frame)
        if self.console.is_terminal:
            self._screen = self._open_screen()
        elif banner := self._dashboard.banner():
            self.console.print(banner.plain.strip(), markup=False)

    def checked(self, checks: list[Check]) -> None:
        """Show, before a dry run, what was looked at."""
        if self._out is not None:
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("checked", "expected", "got", ""):
            table.add_column(heading, header_style="grey62")
        for check in checks:
            verdict = Text("ok", "green") if check.is_met else Text("NO", "bold red")
            if check.device in self._simulated:
                verdict.append(", simulated", "grey62")
            table.add_row(check.name, check.expected, check.got, verdict)
        self.console.print(table)

    def frame(self, frame: Frame) -> None:
        """Take a frame."""
        shown = self._shown
        shown.frame(frame)
        if self._live_map is not None:
            self._live_map.add(frame)
        if self._screen is None and shown.points % self._line_every == 0:
            self.console.print(shown.plain_line(), soft_wrap=True)

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        self._shown.landmark(visit)

    def warning(self, message: str) -> None:
        """Show a warning above the map."""
        text = Text(f"warning: {message}", style="yellow")
        self.console.print(text, soft_wrap=self._screen is None)

    def paused(self, reason: str) -> bool:
        """Ask whether to go on."""
        if not self._ask:
            return False
        if self._screen is not None:
            self._screen.stop()
        try:
            return Confirm.ask(
                Text(f"paused: {reason}. Go on?"), console=self.console, default=False
            )
        except EOFError:  # nobody there after all
            return False
        finally:
            if self._screen is not None:
                # The old one would draw over the question.
                self._screen = self._open_screen()

    def catch_up(self) -> None:
        """Wait until network and inversion have seen all of a scan that is complete.

        For the inversion only if somebody is there, whose Ctrl-C says that it is enough, and
        if it is but a few lines behind, as it is where scans take their time.
        """
        if self._live_map is not None:
            self._live_map.finish()
        if self._inversion is None or not self._ask:
            return
        if self._shown.lines_to_invert <= _MOST_BEHIND:
            try:
                self._shown.waits_for_inversion = True
                self._inversion.finish()
            except KeyboardInterrupt:
                pass
            finally:
                self._shown.waits_for_inversion = False

    def end(self) -> None:
        """Draw the map a last time and leave the terminal as it was."""
        try:
            if self._inversion is not None:
                self._inversion.stop()
            if self._live_map is not None:
                self._live_map.finish()
        finally:
            if self._screen is not None:
                self._screen.stop()

    def render(self) -> RenderableType:
        """Return what the terminal shows at this moment."""
        return self._shown.picture(*self.console.size)

    @property
    def _shown(self) -> Dashboard:
        assert self._dashboard is not None, "begin comes first"
        return self._dashboard

    def _open_map(self, info: RunInfo) -> LiveReconstruction | str:
        """Return the map that grows, or why there is none."""
        try:
            predictor, _ = scan_predictor(info, self._device, warn=self.warning)
            impression, _ = frame_predictor(
                info, info.plan.grid, self._device, warn=self.warning
            )
        except OpticalNetError as error:
            self.warning(f"no live map: {error}")
            return str(error)
        self._live_map = LiveReconstruction(predictor, info.plan, impression, warn=self.warning)
        return self._live_map

    def _open_inversion(self, run: Path) -> LiveInversion | None:
        try:
            return LiveInversion(run, self._device, warn=self.warning)
        except OSError as error:
            self.warning(f"no live inversion: {error}")
            return None

    def _open_screen(self) -> Live:
        screen = Live(
            get_renderable=self.render,
            console=self.console,
            refresh_per_second=REDRAWS_PER_S,
        )
        screen.start(refresh=True)
        return screen
