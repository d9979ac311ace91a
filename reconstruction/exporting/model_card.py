"""What people should know of an exported network."""

from collections.abc import Mapping
from typing import Final

from reconstruction.exporting.raw_models import RawModel, RawScan

DESCRIPTIONS: Final = {
    "frames": "Camera frames in digital numbers, or in levels of 8 bit",
    "valid": "Where there is a frame",
    "off_um": "Read-back less commanded position (x, y), um; NaN: unknown",
    "offset_adu": "Offset of the sensor, digital numbers",
    "gain_e_per_adu": "Gain of the sensor, photo-electrons per digital number",
    "open_peak_e": "Photo-electrons at the brightest pixel of an all-open sample",
    "probability": "Probability that a square is open",
    "coverage": "Expected milled fraction of a square",
}
"""Of tensors, by name."""
_FRAMES: Final = (
    "It says of every frame alone which of the squares around the beam are open; the beam is on"
    " the one in the middle."
)
_SCAN: Final = (
    "It looks at a whole scan, a frame for each square, and says of every point whether the"
    " square under it is open. Points may be missing."
)
_CARD: Final = """# OpticalNet {model}

A focused beam stays fixed, the sample moves by one square of 180 nm per step, and a camera
out of focus records a diffraction image per step.

{what}

## Tensors

{tensors}

Row down is +y and column right is +x, in frames and squares alike.

## Trained for

{facts}

It has seen simulated frames only, unless it says otherwise above. Of frames with another
wavelength, beam, window or distance it says nothing that means anything.

## Validation

Scan a sample whose squares are known, take those of probability one half and more for open, and
count how many are right. What a score has to beat is the constant prediction, the better of
"all open" and "all closed". The test tensors are of a simulated scan of random squares.
"""


def summary(model: RawModel) -> str:
    """Say in a sentence or two what a model does."""
    return _SCAN if isinstance(model, RawScan) else _FRAMES


def model_card(model: RawModel) -> str:
    """Write it, as Markdown."""
    tensors = {**model.inputs, **model.outputs}
    shapes = {
        name: f"({', '.join(axes)}) {DESCRIPTIONS[name]}" for name, axes in tensors.items()
    }
    return _CARD.format(
        model=model.facts["model"],
        what=summary(model),
        tensors=_list(shapes),
        facts=_list(model.facts),
    )


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name}`: {value}" for name, value in facts.items())
