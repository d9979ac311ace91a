"""The pictures of docs/simulation.md: light, lens, samples, disturbances.

    python benchmarks/light_pictures.py

Writes light.png, what `opticalnet simulate --show` draws of the built-in instrument;
vectorial.png, samples.png and disturbances.png into docs/pictures/.
"""

from pathlib import Path

import disturbance_picture
import lens_picture
import sample_picture
from picture_parts import PICTURES
from PIL import Image

import opticalnet


def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    opticalnet.view_light().save_figure(PICTURES / "light.png")
    lens_picture.draw().savefig(PICTURES / "vectorial.png", dpi=120)
    sample_picture.draw().savefig(PICTURES / "samples.png", dpi=120)
    disturbance_picture.draw().savefig(PICTURES / "disturbances.png", dpi=120)
    for name in ("light", "vectorial", "samples", "disturbances"):
        compress(PICTURES / f"{name}.png")


def compress(path: Path) -> None:
    """Drop what a page does not show: transparency."""
    with Image.open(path) as picture:
        opaque = picture.convert("RGB")
    opaque.save(path, optimize=True)


if __name__ == "__main__":
    main()
