"""What a scan shows: in a real terminal, in a small one, and in none."""

import io
import json
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from command_bench import Command, Open, Terminal, save_mask, taken
from rich.console import Console

import opticalnet
from acquisition.frame import Status
from opticalnet.half_blocks import HalfBlocks
from opticalnet.preview import REDRAWS_PER_S, Preview

# So small that no look at the landmark is believed.
LOST = ("--max-chi-squared", "0.5")
DRAWN_AS = "▀"
Picture = np.ndarray
"""Colours, (rows, columns, 3); a character is two rows."""


@pytest.fixture
def tall_mask(tmp_path: Path) -> Path:
    """An 8 x 8 mask, scanned in 10 x 10 points: the landmark is visited twice."""
    rows = ("........", ".######.", "...#....", "...#....")
    return save_mask(tmp_path / "tall.npy", *rows, *rows)


def drawn(
    probability: np.ndarray,
    columns: int = 200,
    lines: int = 100,
    undecided: np.ndarray | None = None,
) -> Picture:
    """Colours of the squares that a terminal is told to show."""
    console = Console(file=io.StringIO(), width=columns, color_system="truecolor")
    halves = []
    picture = HalfBlocks(probability, columns, lines, undecided)
    for line in console.render_lines(picture, pad=False):
        upper, lower = [], []
        for text, style, _ in line:
            assert set(text) == {DRAWN_AS}
            assert style is not None
            for half, colour in ((upper, style.color), (lower, style.bgcolor)):
                assert colour is not None
                half += [colour.get_truecolor()] * len(text)
        halves += [upper, lower]
    return np.array(halves, dtype=int)


def brightness(picture: Picture) -> np.ndarray:
    light: np.ndarray = picture @ (0.2126, 0.7152, 0.0722)
    return light


def test_what_has_not_been_seen_has_a_colour_of_its_own() -> None:
    ramp = drawn(np.linspace(0, 1, 400).reshape(2, 200))
    unseen = drawn(np.full((2, 3), np.nan))
    assert (unseen == unseen[0, 0]).all()
    assert not (ramp == unseen[0, 0]).all(axis=2).any()


def test_the_brighter_the_more_probable() -> None:
    (ramp, _) = brightness(drawn(np.linspace([0, 0], [1, 1], 100).T))
    assert (np.diff(ramp) >= 0).all()
    assert len(set(ramp)) > 30


@pytest.mark.parametrize("corner", [(0, 0), (0, 5), (3, 0), (3, 5)])
def test_an_open_corner_is_drawn_in_that_corner(corner: tuple[int, int]) -> None:
    probability = np.zeros((4, 6))
    probability[corner] = 1
    picture = brightness(drawn(probability))
    assert picture.shape == (4, 6)
    assert np.unravel_index(picture.argmax(), picture.shape) == corner
    assert (picture == picture.max()).sum() == 1


def test_an_odd_row_has_nothing_below() -> None:
    picture = drawn(np.ones((3, 2)))
    unseen = drawn(np.full((2, 2), np.nan))[0, 0]
    assert picture.shape[:2] == (4, 2)
    assert (picture[3] == unseen).all()
    assert (picture[:3] == drawn(np.ones((2, 2)))[0, 0]).all()


@pytest.mark.parametrize(
    ("room", "size"),
    [
        ((64, 32), (64, 64)),
        ((63, 32), (32, 32)),
        ((64, 31), (32, 32)),
        ((20, 40), (16, 16)),
        ((9, 9), (8, 8)),
        ((1, 1), (2, 1)),
    ],
)
def test_a_large_map_shrinks_until_it_fits(
    room: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = drawn(np.full((64, 64), 0.5), *room)
    assert picture.shape[:2] == size
    assert (picture[0] == drawn(np.full((2, 2), 0.5))[0, 0]).all()


def test_shrinking_averages_what_has_been_seen() -> None:
    probability = np.full((8, 8), np.nan)
    probability[:4, 4:] = np.indices((4, 4)).sum(axis=0) % 2  # half of it open
    probability[4, 0] = 1  # one of sixteen squares
    picture = drawn(probability, columns=2, lines=1)
    unseen = drawn(np.full((2, 2), np.nan))[0, 0]
    half, full = (drawn(np.full((2, 2), value))[0, 0] for value in (0.5, 1.0))
    assert picture.tolist() == [
        [unseen.tolist(), half.tolist()],
        [full.tolist(), unseen.tolist()],
    ]


def test_what_is_mostly_undecided_has_a_colour_of_its_own() -> None:
    probability = np.linspace(0, 1, 48).reshape(4, 12)
    undecided = np.zeros((4, 12), bool)
    undecided[:2, 8:10] = undecided[0, 4] = undecided[3, 11] = True
    probability[2:, 0] = np.nan
    undecided[3, 1] = True
    told = drawn(probability, undecided=undecided)
    without = drawn(probability)
    assert np.array_equal(told[~undecided], without[~undecided])
    colour = told[0, 8]
    assert (told[undecided] == colour).all()
    unseen = drawn(np.full((2, 2), np.nan))[0, 0]
    ramp = drawn(np.linspace(0, 1, 400).reshape(2, 200)).reshape(-1, 3)
    assert not (np.vstack([ramp, unseen]) == colour).all(axis=1).any()
    small = drawn(probability, columns=6, undecided=undecided)
    told = [[False] * 4 + [True, False], [True] + [False] * 5]  # half of what is known
    assert (small == colour).all(axis=2).tolist() == told


def test_plain_lines_where_there_is_no_terminal(
    command: Command, tmp_path: Path, tall_mask: Path
) -> None:
    out = tmp_path / "run.zarr"
    outcome = command("acquire", "--sample", tall_mask, "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    assert DRAWN_AS not in outcome.out
    lines = [line for line in outcome.out.splitlines() if " points, " in line]
    assert [line.split()[0] for line in lines] == [str(n) for n in range(10, 101, 10)]
    facts = re.compile(r"\d+ of 100 points, [\d,]+/s, \d+ s left, drift (.+), 0 invalid")
    drifts = [match[1] for match in map(facts.fullmatch, lines) if match]
    assert len(drifts) == 10
    assert all(re.fullmatch(r"\d+ \+- \d+ nm, none for certain", drift) for drift in drifts)


def test_nobody_to_ask_ends_a_drifting_scan(
    command: Command, tmp_path: Path, tall_mask: Path
) -> None:
    out = tmp_path / "run.zarr"
    arguments = ["--sample", tall_mask, "--out", out, *LOST]
    error = command("acquire", *arguments).error
    for part in ("landmark is lost before line 0", "chi-squared up to 0.5", "is safe"):
        assert part in error
    assert taken(out) == 0


def test_a_map_that_fails_is_told_and_the_scan_is_well(
    command: Command, tmp_path: Path, tall_mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.functional, "gelu", None)
    out = tmp_path / "run.zarr"
    outcome = command("acquire", "--sample", tall_mask, "--out", out, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["valid"] == taken(out) == 100
    (told,) = [line for line in outcome.err.splitlines() if "live map" in line]
    assert told.startswith("warning: the live map failed: ")
    assert told.endswith("; the run is safe, read it with opticalnet reconstruct")


class Stuck(io.StringIO):
    """A terminal that takes nothing while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.waiting = threading.Event(), threading.Event()
        self.free.set()

    def write(self, text: str) -> int:
        if not self.free.is_set():
            self.waiting.set()
        assert self.free.wait(60), "the scan waits for the terminal"
        return super().write(text)


def test_a_terminal_that_is_stuck_does_not_stop_the_scan(finished_run: Path) -> None:
    stuck, run = Stuck(), opticalnet.Run(finished_run)
    console = Console(file=stuck, force_terminal=True, width=100, height=30)
    preview = Preview(console, torch.device("cpu"), None, ask=False)
    preview.begin(run.info, iter(()))
    stuck.free.clear()
    assert stuck.waiting.wait(60)
    for point in run.info.plan.points():
        image = run.frames(point.row)[point.column]
        preview.frame(opticalnet.Frame(point, image, point.target_um, 0.0, 1, Status.VALID))
    stuck.free.set()
    preview.end()
    assert preview.points == 64
    assert "64 of 64" in stuck.getvalue()


def test_a_question_that_nobody_answers_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO())
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    preview = Preview(console, torch.device("cpu"), None, ask=True)
    assert preview.paused("it drifts") is False
    assert "paused: it drifts. Go on?" in console.file.getvalue()


def points_drawn(terminal: Terminal) -> list[int]:
    """Points at each drawing of the screen that has any."""
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", terminal.output).decode()
    return [int(number) for number in re.findall(r"points +(\d+) of 100", text)]


def shown(terminal: Terminal, rows: int, columns: int) -> Picture:
    """Colours of the squares of the last picture on the screen."""
    cells = terminal.screen.buffer
    text = terminal.text.splitlines()
    top = max(n for n, line in enumerate(text) if "7 x 7" in line) + 1
    left = text[top].index(DRAWN_AS)
    picture = np.zeros((rows, columns, 3), int)
    for row in range(rows):
        for column in range(columns):
            cell = cells[top + row // 2][left + column]
            assert cell.data == DRAWN_AS
            picture[row, column] = list(bytes.fromhex(cell.bg if row % 2 else cell.fg))
    return picture


def test_a_scan_in_a_terminal(terminal: Open, tmp_path: Path, tall_mask: Path) -> None:
    window = terminal("acquire", "--sample", tall_mask, "--out", "run.zarr")
    assert window.finish() == 0, window.text
    text = window.text
    for fact in (
        r"SIMULATED INSTRUMENT: simulated stage, camera and shutter",
        r"progress +━{24}\n",
        r"points +100 of 100\n",
        r"rate +[\d,]+ points/s\n",
        r"time left +0:00:00\n",
        r"drift +\d+ \+- \d+ nm, none for certain\n",
        # 100 points, and 52 + 3 looks of 8 frames at landmarks.
        r"dose +0\.205 nJ \(6\.5e\+08 photons\)\n",
        r"inverted +8 of 8 lines\n",
        r"undecided +\d+\.\d% ██\n",
        r"chi-squared +(0\.99|1\.0[0-2])\d\n",
        r"invalid +0\n",
        r"run +run\.zarr\n",
        r"\n100 of 100 points valid, \d+ s on the instrument's clock",
        r"\nrun: run\.zarr\n",
    ):
        assert re.search(fact, text), f"{fact} is not on the screen:\n{text}"
    assert text.count("7 x 7") == 1, f"leftovers of earlier pictures:\n{text}"
    assert not window.screen.cursor.hidden

    numbers = points_drawn(window)
    assert numbers == sorted(numbers)
    assert 0 < numbers[0] < 100
    assert b"choosing a landmark" in window.output
    drawings = window.output.count(b"time left")
    # One at the beginning, one at the end, and one for each message in between.
    assert 3 <= drawings <= window.seconds() * REDRAWS_PER_S + 2 + text.count("warning:")

    squares = opticalnet.invert(tmp_path / "run.zarr").inversion
    assert squares is not None
    expected = drawn(squares.probability, undecided=squares.undecided)
    assert np.abs(shown(window, 8, 8) - expected).max() <= 16  # one level


def processes_in(folder: Path) -> set[str]:
    """Ids of the processes that work in a folder."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended, or is not ours
            if link.readlink() == folder:
                found.add(link.parent.name)
    return found


def test_a_scan_is_complete_before_its_inversion(
    terminal: Open, tmp_path: Path, tall_mask: Path
) -> None:
    window = terminal("acquire", "--sample", tall_mask, "--out", "run.zarr")
    window.read_until("Ctrl-C skips the rest")
    assert len(processes_in(tmp_path)) == 2
    window.process.send_signal(signal.SIGINT)
    assert window.finish() == 0, window.text
    assert re.search(r"inverted +\d of 8 lines", window.text), window.text
    assert "Ctrl-C" not in window.text
    assert "100 of 100 points valid" in window.text
    assert taken(tmp_path / "run.zarr") == 100
    assert processes_in(tmp_path) == set()


def test_a_small_terminal_and_no(terminal: Open, tmp_path: Path, tall_mask: Path) -> None:
    arguments = ["--sample", tall_mask, "--out", "run.zarr", *LOST]
    window = terminal("acquire", *arguments, columns=60, lines=20)
    window.read_until("[y/n]")
    before = window.text
    for part in (
        "SIMULATED INSTRUMENT",
        DRAWN_AS * 8,
        "choosing a landmark",
        "nJ",
        "paused: the landmark is lost",
    ):
        assert part in before
    window.type("n\n")
    assert window.finish() == 1, window.text
    said = "".join(window.text.split())  # lines are cut anywhere
    assert re.search(r"error:thelandmarkislostbeforeline0:.*therunuptothereissafe$", said)
    assert "Traceback" not in window.output.decode()
    assert not window.screen.cursor.hidden
    assert taken(tmp_path / "run.zarr") == 0


def test_a_pause_and_yes(terminal: Open, tmp_path: Path, tall_mask: Path) -> None:
    arguments = ["--sample", tall_mask, "--out", "run.zarr", *LOST]
    window = terminal("acquire", *arguments, columns=200, lines=50)
    for line in (0, 8):
        window.read_until(f"lost before line {line}")
        window.read_until("Go on?")
        window.type("y\n")
    assert window.finish() == 0, window.text
    # Question and answer stay readable between the picture of then and that of now.
    assert re.search(
        r"points +80 of 100\n(.*\n)*paused: the landmark is lost before line 8: .*(\n.*)?"
        r"Go on\? .*: y\n(.*\n)*.*points +100 of 100\n",
        window.text,
    ), window.text
    assert window.text.count("Go on?") == 2
    assert taken(tmp_path / "run.zarr") == 100
