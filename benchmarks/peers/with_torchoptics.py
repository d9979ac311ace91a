"""Frames by torchoptics: its default, padded angular spectra, tuned direct integration.

It has no pupil in the way: all that propagates arrives. Single precision.
"""

import numpy as np
import torch
import torchoptics
from torchoptics import Field
from work import Peer, Work

HOLDS_THE_BEAM_PX = 64


class Way:
    """From masks to frames, with the settings of one call of the library."""

    def __init__(self, work: Work, *, field_px: int, method: str, pad_px: int | None) -> None:
        self._work = work
        self._method = method
        self._pad_px = pad_px
        edge = (work.pixels - field_px) // 2
        inside = slice(edge, edge + field_px)
        self._spread = torch.from_numpy(work.spread[inside]).float()
        self._beam = torch.from_numpy(work.beam[inside, inside]).float()

    @torch.no_grad()
    def frames(self, masks: np.ndarray) -> np.ndarray:
        """Return the frames, (batch, image, image), of masks."""
        work = self._work
        data = work.exit_field(torch.from_numpy(masks).float(), self._spread, self._beam)
        field = Field(data, work.wavelength_um, spacing=work.pixel_um)
        camera = field.propagate(
            (work.pixels, work.pixels),
            work.distance_um,
            work.pixel_um,
            propagation_method=self._method,
            asm_pad=self._pad_px,
        )
        return work.binned(camera.intensity()).numpy()


def main() -> None:
    """Measure what a user gets first, and then what is fastest."""
    torch.set_num_threads(2)
    torchoptics.set_default_dtype(torch.float32)
    peer = Peer()
    window = peer.work.pixels
    default = Way(peer.work, field_px=window, method="AUTO", pad_px=None)
    peer.measure("default: direct integration, no padding needed", default.frames)
    for pad_px, batch in ((0, 8), (window // 2, 8), (3 * window // 4, 8), (2 * window, 1)):
        way = Way(peer.work, field_px=window, method="ASM", pad_px=pad_px)
        padding = f"{1 + 2 * pad_px / window:g} x" if pad_px else "no"
        default_pad = ", its default" if pad_px == 2 * window else ""
        peer.measure(
            f"angular spectrum, {padding} pad{default_pad}, batch {batch}",
            way.frames,
            batch=batch,
        )
    way = Way(peer.work, field_px=HOLDS_THE_BEAM_PX, method="DIM", pad_px=None)
    for batch in (4, 16):
        settings = f"direct integration from {HOLDS_THE_BEAM_PX} px, batch {batch}"
        peer.measure(settings, way.frames, batch=batch)


if __name__ == "__main__":
    main()
