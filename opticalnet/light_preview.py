"""A glance at the light in the terminal."""

import numpy as np
from rich.table import Table

from opticalnet.half_blocks import HalfBlocks
from opticalnet.light_view import FAR_SQUARES, LightView

_GAP = 3


def light_preview(view: LightView, columns: int, lines: int) -> Table:
    """Return what leaves the sample and what is recorded of it, side by side.

    Parameters
    ----------
    view
        What was looked at.
    columns, lines
        Room in the terminal, in characters.
    """
    recorded_e = view.camera.recorded_e.clip(min=0)
    images = (view.exit_amplitude, np.sqrt(recorded_e / max(recorded_e.max(), 1)))
    room = max((columns - _GAP) // 2, 4), max(lines - 1, 4)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_row("field that leaves the sample", "recorded frame")
    table.add_row(*(HalfBlocks(image, *room) for image in images))
    return table


def light_summary(view: LightView) -> list[str]:
    """Say in a few lines what a picture of the light shows."""
    beam, camera = view.beam, view.camera
    middle, far = camera.change_sigma
    row, column = view.square
    name, sample = view.instrument.name, view.sample.name
    caught_open, caught = camera.caught_open[-1], camera.caught[-1]
    above, modes = view.modes_above_noise, len(view.strength)
    return [
        f"SIMULATED light of {name} on square ({row}, {column}) of {sample}",
        f"beam: FWHM {beam.fwhm}, {beam.inner_share:.0%} of its light on 3 x 3 squares",
        f"camera: catches {caught_open:.1%} of it with everything open, {caught:.1%} here",
        f"modes: {above} of {modes} above the photon noise of a frame",
        f"square on the axis: open and closed differ by {middle:.3g} standard deviations",
        f"square {FAR_SQUARES} to the right: by {far:.3g}",
    ]
