"""One run of the star, read in three ways: a frame at a time, the whole scan, the inversion.

    python benchmarks/method_pictures.py RUN

Writes star.png and resolution.png into docs/pictures/.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from picture_parts import PICTURES

import opticalnet
from opticalnet.look import INK, PAPER, draw_errors, frame_map, save_picture


def draw(run: Path) -> None:
    """Reconstruct a run of the star in every way, and draw what comes of it."""
    network = opticalnet.reconstruct(run)
    _draw(
        {
            "one frame at a time, averaged": opticalnet.reconstruct(
                run, method="frames", grid=3
            ),
            "network, whole scan": network,
            "inversion": opticalnet.invert(run, start=network),
        }
    )
    opticalnet.resolve(run, spokes=36).save_figure(PICTURES / "resolution.png")


def _draw(results: dict[str, opticalnet.Reconstruction]) -> None:
    """Draw what every method makes of the same run, its errors below, and the truth."""
    figure = Figure(figsize=(3.4 * (len(results) + 1), 7.4), facecolor=PAPER)
    columns = figure.subplots(2, len(results) + 1).T
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.9, wspace=0.03, hspace=0.14)
    ((of_truth, legend), *others) = columns
    first = next(iter(results.values()))
    truth = first.truth
    assert truth is not None
    is_open = (truth >= 0.5).astype(np.float64)
    of_truth.imshow(truth, cmap="gray", vmin=0, vmax=1)
    of_truth.set_title("truth (milled area)")
    legend.axis("off")
    assert first.stitched is not None
    legend.text(
        0.5,
        0.5,
        f"red: falsely open\nblue: missed\n\nevery square closed:\n"
        f"{first.stitched.constant_accuracy:.1%} right",
        ha="center",
        va="center",
        color=INK,
        fontsize=12,
        linespacing=1.6,
    )
    for (shape, errors), (name, result) in zip(others, results.items(), strict=True):
        shape.imshow(result.squares.coverage, cmap="gray", vmin=0, vmax=1)
        shape.set_title(name)
        decision = result.squares.is_open.astype(np.float64)
        draw_errors(errors, decision, is_open)
        assert result.stitched is not None
        errors.set_title(f"{result.stitched.accuracy:.1%} right")
    for panel in (of_truth, *(panel for pair in others for panel in pair)):
        frame_map(panel, first.run.info.plan.pitch_nm / 1000)
    figure.suptitle("SIMULATED stage and camera: the same 66 x 66 frames", color=INK, y=0.975)
    save_picture(figure, PICTURES / "star.png")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
