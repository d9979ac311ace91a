"""What a scan looks like in the terminal while it runs."""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import groupby
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.prompt import Confirm
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from acquisition.frame import Frame, LandmarkVisit, Status
from acquisition.store import RunInfo
from configs.errors import OpticalNetError
from reconstruction.live import LiveReconstruction
from reconstruction.predictor import frame_predictor
from simulation.forward import ForwardModel

_REDRAW_S: Final = 0.3
_PLAIN_LINES: Final = 10
_SIDE_COLUMNS: Final = 44
_PHOTON_JOULE_NM: Final = 1.986445857e-16  # Planck's constant times the speed of light
_UNSEEN: Final = (24, 28, 44)
# Black-body colours at probability 0, 1/4, ... 1: readable without colour vision.
_COLOURS: Final = np.array(
    [(8, 6, 12), (86, 16, 36), (190, 62, 20), (247, 158, 36), (255, 250, 214)], float
)
_LEVELS: Final = 48


@cache
def _style(upper: int, lower: int) -> Style:
    """Return the style of a character of two levels; -1 is not seen yet."""
    return Style(color=_colour(upper), bgcolor=_colour(lower))


@cache
def _colour(level: int) -> Color:
    if level < 0:
        return Color.from_rgb(*_UNSEEN)
    places = np.linspace(0, _LEVELS - 1, len(_COLOURS))
    return Color.from_rgb(*(np.interp(level, places, channel) for channel in _COLOURS.T))


class HalfBlocks:
    """A map in the terminal, two squares a character, averaged down until it fits.

    Parameters
    ----------
    probability
        (rows, columns); NaN is drawn as not seen yet.
    columns, lines
        Room in the terminal, in characters.
    """

    def __init__(self, probability: NDArray[np.float64], columns: int, lines: int) -> None:
        rows, width = probability.shape
        shrink = max(1, -(-width // columns), -(-rows // (2 * lines)))
        margins = ((0, -rows % (2 * shrink)), (0, -width % shrink))
        padded = np.pad(probability, margins, constant_values=np.nan)
        blocks = padded.reshape(len(padded) // shrink, shrink, -1, shrink)
        seen = np.isfinite(blocks)
        count = seen.sum(axis=(1, 3))
        mean = np.where(seen, blocks, 0).sum(axis=(1, 3)) / np.maximum(count, 1)
        levels = np.rint(mean * (_LEVELS - 1)).astype(int)
        self._levels: list[list[int]] = np.where(count > 0, levels, -1).tolist()

    def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
        for upper, lower in zip(self._levels[::2], self._levels[1::2], strict=True):
            for pair, run in groupby(zip(upper, lower, strict=True)):
                yield Segment("▀" * sum(1 for _ in run), _style(*pair))
            yield Segment.line()

    def __rich_measure__(self, _: Console, __: ConsoleOptions) -> Measurement:
        width = len(self._levels[0])
        return Measurement(width, width)


@dataclass
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
    points
        Taken so far, valid or not.
    """

    console: Console
    device: torch.device
    out: str | None
    ask: bool
    points: int = 0
    _live_map: LiveReconstruction | None = None
    _no_map: str = ""
    _screen: Live | None = None
    _began: float = 0.0
    _drawn: float = 0.0
    _invalid: int = 0
    _residual: float | None = None

    def begin(self, info: RunInfo) -> None:
        """Learn what is going to be scanned."""
        self._info = info
        self._photons_per_point = photons_per_point(info)
        try:
            predictor = frame_predictor(info, info.plan.grid, self.device)
        except OpticalNetError as error:
            self._no_map = str(error)
            self.warning(f"no live map: {error}")
        else:
            self._live_map = LiveReconstruction(predictor, info.plan)
        if self.console.is_terminal:
            self._screen = self._open_screen()
            self._draw(self._screen)
        else:
            self._print_banner()

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
        elif self.points % max(len(self._info.plan) // _PLAIN_LINES, 1) == 0:
            self.console.print(self._plain_line(), soft_wrap=True)

    def landmark(self, visit: LandmarkVisit) -> None:
        """Take a visit to the landmark."""
        self._residual = visit.residual if visit.visit else None

    def warning(self, message: str) -> None:
        """Show a warning; the screen keeps the last ones."""
        if self._screen is not None:
            self._screen.console.print(Text(f"warning: {message}", style="yellow"))
        else:
            self.console.print(f"warning: {message}", soft_wrap=True, markup=False)

    def paused(self, reason: str) -> bool:
        """Ask whether to go on."""
        if not self.ask:
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
        frame = Panel.fit(picture, title=self._title(), border_style="grey37")
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
        photons = self.points * self._photons_per_point
        joule = photons * _PHOTON_JOULE_NM / self._info.instrument.optics.wavelength_nm
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
            facts.add_row("drift", f"{self._drift()}, pauses at {landmark.max_residual:g}")
        facts.add_row("dose", f"{joule * 1e9:.3g} nJ ({photons:.2g} photons)")
        facts.add_row("invalid", Text(str(self._invalid), "red" if self._invalid else ""))
        facts.add_row("run", self.out or "not recorded (dry run)")
        return facts

    def _drift(self) -> str:
        return "not seen yet" if self._residual is None else f"{self._residual:.2f} x noise"

    def _rate(self) -> float:
        """Return points per second since the first."""
        elapsed = time.monotonic() - self._began
        return self.points / elapsed if self.points and elapsed > 0 else 0.0

    def _banner(self) -> Text | None:
        roles = self._info.provenance.simulated
        if not roles:
            return None
        what = "DRY RUN, NOTHING IS RECORDED" if self.out is None else "SIMULATED INSTRUMENT"
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


def photons_per_point(info: RunInfo) -> float:
    """Return the photons that reach the sample during one exposure."""
    camera = info.instrument.camera
    peak_e = camera.open_peak_e_per_ms * info.plan.exposure_ms
    share = ForwardModel(info.instrument.optics, info.plan.pitch_nm).open_peak()
    return peak_e / camera.sensor.quantum_efficiency / share
