"""All pictures of the documents.

    python benchmarks/pictures.py

Writes into docs/pictures/, from one real run of the simulated instrument: preview.png, what
a terminal of 112 x 37 characters shows in mid-scan (the simulated stage, faster than a real
one, waits there for the first lines to be inverted); star.png, what one frame at a time, the
whole scan and the inversion make of the finished run, and resolution.png, how fine a structure
they show (method_pictures.py). And the pictures of the light: light_pictures.py.
"""

import io
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import light_pictures
import matplotlib
import method_pictures
import torch
from picture_parts import PICTURES
from PIL import Image, ImageDraw, ImageFont
from rich.color import ColorTriplet
from rich.console import Console
from rich.segment import Segment
from rich.terminal_theme import MONOKAI

import opticalnet
from acquisition.frame import Frame
from opticalnet.preview import Preview

COLUMNS, LINES = 112, 37
CELL = (9, 18)
PATIENCE_S = 120.0
INK, PAPER = ColorTriplet(205, 205, 205), ColorTriplet(16, 18, 24)


class MidScan(Preview):
    """Keeps what the terminal shows at one point of the scan."""

    point = 41 * 66 + 30

    def frame(self, frame: Frame) -> None:
        """Take a frame; at the point, draw what there is of the map."""
        super().frame(frame)
        if frame.point.index == self.point:
            assert self._inversion is not None
            began_s = time.monotonic()
            while self._inversion.inverted is None:
                assert time.monotonic() < began_s + PATIENCE_S, "nothing was inverted"
                time.sleep(0.1)
            draw(self.console.render_lines(self.render()), PICTURES / "preview.png")


def draw(lines: list[list[Segment]], path: Path) -> None:
    """Draw terminal lines as a picture."""
    font_file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    font = ImageFont.truetype(str(font_file), 14)
    width, height = CELL
    image = Image.new("RGB", (COLUMNS * width, (len(lines) + 1) * height), PAPER)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        left, top = 0, row * height + height // 2
        for text, style, _ in line:
            ink = style.color.get_truecolor(MONOKAI) if style and style.color else INK
            paper = style.bgcolor.get_truecolor(MONOKAI) if style and style.bgcolor else PAPER
            for character in text:
                pen.rectangle((left, top, left + width - 1, top + height - 1), fill=paper)
                if character == "▀":
                    pen.rectangle(
                        (left, top, left + width - 1, top + height // 2 - 1), fill=ink
                    )
                elif character.strip():
                    pen.text((left, top), character, fill=ink, font=font)
                left += width
    image.save(path, optimize=True)


def main() -> None:
    """Scan, reconstruct, draw."""
    light_pictures.main()
    PICTURES.mkdir(parents=True, exist_ok=True)
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=COLUMNS,
        height=LINES,
    )
    with tempfile.TemporaryDirectory() as folder:
        with chdir(folder):
            preview = MidScan(console, torch.device("cpu"), "star.zarr", ask=False)
            opticalnet.acquire("ss", grid=7, out="star.zarr", observer=preview)
            preview.end()
        method_pictures.draw(Path(folder) / "star.zarr")


if __name__ == "__main__":
    main()
