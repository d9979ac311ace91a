"""The work that everybody does, and how it is timed; runs in the peers' environments too.

From squares to camera images: exit field on the camera's grid, propagation, intensity,
sums of pixels. Lengths are micrometres.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

COMPARED = 32
_ROUNDS = 5
_ROUND_S = 0.6


def frames_per_s(frames: Callable[[np.ndarray], Any], masks: np.ndarray, batch: int) -> float:
    """Best rate of five rounds on batches of masks: others use the machine as well."""
    starts = cycle(range(0, len(masks) - batch + 1, batch))
    batches = (masks[start : start + batch] for start in starts)
    return max(_rate(frames, batches) for _ in range(_ROUNDS))


def _rate(frames: Callable[[np.ndarray], Any], batches: Iterator[np.ndarray]) -> float:
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < _ROUND_S:
        masks = next(batches)
        frames(masks)
        done += len(masks)
    return done / (time.perf_counter() - began)


@dataclass(frozen=True)
class Work:
    """What to compute.

    Attributes
    ----------
    masks
        (n, squares, squares), 1 where a square is open.
    spread
        (pixels, squares), fraction of each pixel that lies in each square, along an axis.
    beam
        (pixels, pixels), amplitude of the beam at the middles of the pixels; its square
        sums to 1 over the plane.
    film_amplitude
        Amplitude transmittance of the closed film.
    pixel_um, distance_um, wavelength_um, collection_na
        The grid, the way, the light, the pupil.
    binning
        Pixels summed along each axis into one.
    """

    masks: np.ndarray
    spread: np.ndarray
    beam: np.ndarray
    film_amplitude: float
    pixel_um: float
    distance_um: float
    wavelength_um: float
    collection_na: float
    binning: int

    @property
    def pixels(self) -> int:
        """Side of the camera window before binning."""
        return len(self.beam)

    def exit_field(self, masks: Any, spread: Any, beam: Any) -> Any:
        """Field behind the sample, (batch, pixels, pixels), in the arrays of any library."""
        film = self.film_amplitude
        return beam * (film + (1 - film) * (spread @ masks @ spread.T))

    def binned(self, intensity: Any) -> Any:
        """Sum pixels: (batch, pixels, pixels) to (batch, image, image)."""
        image = self.pixels // self.binning
        return intensity.reshape(-1, image, self.binning, image, self.binning).sum((2, 4))


class Peer:
    """A peer's share of the work: reads it, and reports settings one JSON line each."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("work", type=Path, help="an .npz of the fields of Work")
        parser.add_argument("answers", type=Path, help="folder for the frames")
        arguments = parser.parse_args()
        values = dict(np.load(arguments.work))
        self.work = Work(**{name: v if v.ndim else v.item() for name, v in values.items()})
        self._answers = arguments.answers
        self._count = 0

    def measure(
        self,
        settings: str,
        frames: Callable[[np.ndarray], np.ndarray],
        *,
        batch: int = 1,
        collection_na: float = 1.0,
    ) -> None:
        """Leave the frames of the first masks, which warms up, and time batches."""
        masks = self.work.masks
        parts = [frames(masks[i : i + batch]) for i in range(0, COMPARED, batch)]
        answer = self._answers / f"{self._count}.npy"
        np.save(answer, np.concatenate(parts))
        self._count += 1
        rate = frames_per_s(frames, masks, batch)
        self.say(settings, frames_per_s=rate, collection_na=collection_na, answer=answer.name)

    def say(self, settings: str, **facts: Any) -> None:
        """Report facts about some settings."""
        print(json.dumps({"settings": settings, **facts}), flush=True)
