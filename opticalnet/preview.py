"""What a scan looks like in the terminal while it runs."""

import time
from datetime import timedelta
from typing import Final

import torch
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from acquisition.drift import CHOOSING_LOOKS
from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.store import RunInfo
from configs.errors import OpticalNetError
from opticalnet.dose import photon_energy_nj, photons_per_point
from opticalnet.half_blocks import HalfBlocks
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import Predictor
from reconstruction.shipped import frame_predictor, scan_predictor

_REDRAW_S: Final = 0.3
_PLAIN_LINES: Final = 10
_SIDE_COLUMNS: Final = 44


class Preview:
    """Shows a scan: the map as it grows in a terminal, plain lines elsewhere.

    Parameters
    ----------
    console
        Where to draw.
    device
        Where the live network runs.
    out
        Where the run goes; ``None`` in a dry run.
    ask
        Whether somebody is there to answer when the scan pauses.

    Attributes
    ----------
    points
        Taken so far, valid or not.
    """

    def __init__(
        self, console: Console, device: torch.device, out: str | None, *, ask: bool
    ) -> None:
        self.console = console
        self.points = 0
        self._device = device
        self._out = out
        self._ask = ask
        self._live_map: LiveReconstruction | None = None
        self._no_map = ""
        self._screen: Live | None = None
        self._began = 0.0
        self._drawn = 0.0
        self._invalid = 0
        self._residual: float | None = None
        self._landmark_exposures = 0

    def begin(self, info: RunInfo) -> None:
        """Learn what is going to be scanned."""
        self._info = info
        self._photons_per_point = photons_per_point(info)
        if info.plan.landmark is not None:
            self._landmark_exposures = CHOOSING_LOOKS * info.plan.landmark.frames
        try:
            predictor, _ = scan_predictor(info, self._device)
        except OpticalNetError as error:
            self._no_map = str(error)
            self.warning(f"no live map: {error}")
        else:
            impression = self._first_impression(info)
            self._live_map = LiveReconstruction(predictor, info.plan, impression)
        if self.console.is_terminal:
            self._screen = self._open_screen()
            self._draw(self._screen)
        else:
            self._print_banner()

    def _first_impression(self, info: RunInfo) -> Predictor | None:
        """Return who shows lines that are not final yet."""
        try:
            return frame_predictor(info, info.plan.grid, self._device)[0]
        except OpticalNetError as error:
            self.warning(f"the live map lags by some lines: {error}")
            return None

    def frame(self, frame: Frame) -> None:
        """Take a frame."""
        if self.points == 0:
            self._began = time.monotonic()
        self.points += 1
        self._invalid += frame.status is not Status.VALID
        if self._live_map is not None:
            self._live_map.add(frame)
        if self._screen is not None:
            if time.monotonic() - self._drawn >= _REDRAW_S:
                self._draw(self._screen)
        elif self.points % -(-len(self._info.plan) // _PLAIN_LINES) == 0:
            self.console.print(self._plain_line(), soft_wrap=True)

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        self._landmark_exposures += len(visit.images)
        self._residual = visit.residual if visit.visit else None

    def warning(self, message: str) -> None:
        """Show a warning above the map."""
        if self._screen is not None:
            self._screen.console.print(Text(f"warning: {message}", style="yellow"))
        else:
            self.console.print(f"warning: {message}", soft_wrap=True, markup=False)

    def paused(self, reason: str) -> bool:
        """Ask whether to go on."""
        if not self._ask:
            return False
        if self._screen is not None:
            self._draw(self._screen)
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

    def end(self) -> None:
        """Catch up with the map, draw it a last time and leave the terminal as it was."""
        try:
            if self._live_map is not None:
                self._live_map.finish()
        finally:
            if self._screen is not None:
                self._draw(self._screen)
                self._screen.stop()

    def _open_screen(self) -> Live:
        screen = Live(console=self.console, auto_refresh=False)
        screen.start()
        return screen

    def _draw(self, screen: Live) -> None:
        screen.update(self.render(), refresh=True)
        self._drawn = time.monotonic()

    def render(self) -> RenderableType:
        """Return what the terminal shows at this moment."""
        parts: list[RenderableType] = []
        banner = self._banner()
        if banner is not None:
            parts.append(banner)
        width, height = self.console.size
        beside = width >= _SIDE_COLUMNS + 34
        picture: RenderableType
        if self._live_map is None:
            picture = Text(f"no live map: {self._no_map}", style="yellow")
        else:
            columns = width - 4 - (_SIDE_COLUMNS if beside else 4)
            lines = height - 5 if beside else height - 15
            probability = self._live_map.probability()
            picture = HalfBlocks(probability, max(columns, 4), max(lines, 4))
        frame = Panel.fit(picture, title=Text(self._title()), border_style="grey37")
        if beside:
            table = Table.grid(padding=(0, 2))
            table.add_row(frame, self._facts())
            parts.append(table)
        else:
            parts += [frame, self._facts()]
        return Group(*parts)

    def _title(self) -> str:
        return f"{self._info.sample}, {self._info.plan.grid} x {self._info.plan.grid}"

    def _facts(self) -> RenderableType:
        total = len(self._info.plan)
        rate = self._rate()
        left = timedelta(seconds=round((total - self.points) / rate)) if rate else "-"
        photons = (self.points + self._landmark_exposures) * self._photons_per_point
        energy_nj = photon_energy_nj(self._info.instrument.optics) * photons
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
        facts.add_row("dose", f"{energy_nj:.3g} nJ ({photons:.2g} photons)")
        facts.add_row("invalid", Text(str(self._invalid), "red" if self._invalid else ""))
        facts.add_row("run", Text(self._out or "not recorded (dry run)"))
        return facts

    def _drift(self) -> str:
        return "not seen yet" if self._residual is None else f"{self._residual:.1%}"

    def _rate(self) -> float:
        """Return points per second since the first."""
        elapsed = time.monotonic() - self._began
        return self.points / elapsed if self.points and elapsed > 0 else 0.0

    def _banner(self) -> Text | None:
        roles = self._info.provenance.simulated
        if not roles:
            return None
        what = "DRY RUN, NOTHING IS RECORDED" if self._out is None else "SIMULATED INSTRUMENT"
        return Text(f" {what}: simulated {' and '.join(roles)} ", style="bold black on yellow")

    def _print_banner(self) -> None:
        banner = self._banner()
        if banner is not None:
            self.console.print(banner.plain.strip(), markup=False)

    def _plain_line(self) -> str:
        total = len(self._info.plan)
        rate = self._rate()
        left = f"{(total - self.points) / rate:.0f}" if rate else "?"
        return (
            f"{self.points:,} of {total:,} points, {rate:,.0f}/s, {left} s left,"
            f" drift {self._drift()}, {self._invalid} invalid"
        )
