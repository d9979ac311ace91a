"""What fine-tuning on a lab's own shapes gains, on shapes that it was not shown.

    python benchmarks/fine_tuning.py

Six words as masks, as a user would draw them; `opticalnet train --shapes` holds two of them
out and scores them before, and after the last epoch.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WORDS = ("photon", "square", "grating", "silver", "window", "beam")
SIDE = 64
LETTER_PX = 16


def draw_masks(folder: Path) -> None:
    """Write each word as a picture of 64 x 64 squares, white where it is open."""
    font = ImageFont.load_default(LETTER_PX)
    for word in WORDS:
        mask = Image.new("1", (SIDE, SIDE))
        middle = SIDE / 2, SIDE / 2
        ImageDraw.Draw(mask).text(middle, word, fill=1, font=font, anchor="mm")
        mask.convert("L").save(folder / f"{word}.png")


def tune(masks: Path, out: Path) -> dict[str, float]:
    """Train as a user would; return what the command says for scripts."""
    command = [sys.executable, "-m", "opticalnet", "train", "--shapes", str(masks)]
    made = subprocess.run(
        [*command, "--device", "cpu", "--out", str(out), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said: dict[str, float] = json.loads(made.stdout)
    return said


def main() -> None:
    """Draw, train, print."""
    with tempfile.TemporaryDirectory() as folder:
        masks = Path(folder) / "masks"
        masks.mkdir()
        draw_masks(masks)
        began = time.perf_counter()
        said = tune(masks, Path(folder) / "tuned")
        minutes = (time.perf_counter() - began) / 60
    print("| `opticalnet train --shapes`, six words as masks | |\n|---|---|")
    print(f"| balanced accuracy on two words held out, before | {said['before']:.3f} |")
    print(f"| after | {said['after']:.3f} |")
    print(f"| minutes | {minutes:.1f} |")


if __name__ == "__main__":
    main()
