"""Frames by waveprop: its default, tuned angular spectra, direct integration.

It imports torchvision for one function. Where that does not import, the table says so,
and what follows is measured with that function replaced.
"""

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad
from work import Peer, Work

HOLDS_THE_BEAM_PX = 64


def propagation(peer: Peer) -> tuple[Any, str]:
    """Import the library's module of propagators; say what had to be done for it."""
    try:
        from waveprop import rs
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        peer.say("as installed", failed=f"does not import: torchvision, {reason}")
        replace_torchvision()
        from waveprop import rs

        return rs, ", torchvision's crop replaced"
    return rs, ""


def replace_torchvision() -> None:
    """Put the crop of images, all that waveprop's propagators use, in torchvision's place."""

    def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
        return image[..., top : top + height, left : left + width]

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = types.ModuleType(name)
    functional = sys.modules["torchvision.transforms.functional"]
    functional.crop, functional.resize = crop, None


def default(rs: Any, work: Work) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes a frame by the call of the library's examples."""

    def frames(masks: np.ndarray) -> np.ndarray:
        data = work.exit_field(masks[0], work.spread, work.beam)
        camera, _, _ = rs.angular_spectrum(
            data, work.wavelength_um, work.pixel_um, work.distance_um
        )
        return work.binned(np.abs(camera) ** 2)

    return frames


def tuned(rs: Any, work: Work, padding: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes a frame in torch with transfer function and pupil kept."""
    edge = round((padding - 1) * work.pixels / 2)
    window = work.pixels + 2 * edge
    inside = slice(edge, edge + work.pixels)
    way = work.wavelength_um, work.pixel_um, work.distance_um
    transfer = rs.angular_spectrum(np.zeros((window, window)), *way, return_H=True, pad=False)
    frequency = (np.arange(window) - window // 2) / (window * work.pixel_um)
    collected = np.hypot(frequency, frequency[:, None]) <= work.collection_na / way[0]
    kept = torch.from_numpy((transfer * collected).astype(np.complex64))
    spread, beam = torch.from_numpy(work.spread).float(), torch.from_numpy(work.beam).float()

    def frames(masks: np.ndarray) -> np.ndarray:
        data = work.exit_field(torch.from_numpy(masks[0]).float(), spread, beam)
        padded = pad(data, (edge, edge, edge, edge))
        camera, _, _ = rs.angular_spectrum(padded, *way, H=kept, pad=False, device="cpu")
        return work.binned(camera[inside, inside].abs().square()).numpy()

    return frames


def direct(rs: Any, work: Work) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes a frame by direct integration of the pixels with light."""
    edge = (work.pixels - HOLDS_THE_BEAM_PX) // 2
    inside = slice(edge, edge + HOLDS_THE_BEAM_PX)
    spread, beam = work.spread[inside], work.beam[inside, inside]

    def frames(masks: np.ndarray) -> np.ndarray:
        camera, _, _ = rs.fft_di(
            work.exit_field(masks[0], spread, beam),
            work.wavelength_um,
            work.pixel_um,
            work.distance_um,
            N_out=work.pixels,
        )
        return work.binned(np.abs(camera) ** 2)

    return frames


def main() -> None:
    """Measure what a user gets first, and then what is fastest."""
    torch.set_num_threads(2)
    peer = Peer()
    rs, replaced = propagation(peer)
    work = peer.work
    peer.measure(f"default: band-limited angular spectrum, 2 x{replaced}", default(rs, work))
    for padding in (1, 1.25, 1.5, 2):
        peer.measure(
            f"the same in torch, transfer kept, {padding:g} x{replaced}",
            tuned(rs, work, padding),
            collection_na=work.collection_na,
        )
    settings = f"direct integration from {HOLDS_THE_BEAM_PX} px{replaced}"
    peer.measure(settings, direct(rs, work))


if __name__ == "__main__":
    main()
