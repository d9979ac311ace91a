"""Frames by diffractsim: angular spectrum, on numpy field by field and on compiled JAX.

Its way through free space has no pupil: all that propagates arrives.
"""

from collections.abc import Callable
from typing import Any

import diffractsim
import jax
import numpy as np
from work import Peer, Work


class Way:
    """The way from the sample to the camera, on a padded grid."""

    def __init__(self, work: Work, padding: float) -> None:
        self._work = work
        self._edge = round((padding - 1) * work.pixels / 2)
        window = work.pixels + 2 * self._edge
        extent_um = window * work.pixel_um
        # Its constructor fails on recent JAX: fields are made on numpy, whatever follows.
        diffractsim.set_backend("CPU")
        self._field = diffractsim.MonochromaticField(
            work.wavelength_um, extent_um, extent_um, window, window, intensity=1.0
        )

    def frame(self, arrays: Any, mask: Any, spread: Any, beam: Any) -> Any:
        """Return the frame, (image, image), of one mask, in arrays of numpy or JAX."""
        edge, pixels = self._edge, self._work.pixels
        self._field.E = arrays.pad(self._work.exit_field(mask, spread, beam), edge)
        self._field.propagate(self._work.distance_um)
        window = self._field.E[edge : edge + pixels, edge : edge + pixels]
        return self._work.binned(abs(window) ** 2)[0]


def on_numpy(work: Work, padding: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes one frame at a time, in double precision."""
    way = Way(work, padding)
    return lambda masks: way.frame(np, masks[0], work.spread, work.beam)[None]


def on_jax(work: Work, padding: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes frames in batches, compiled, in single precision."""
    way = Way(work, padding)
    diffractsim.set_backend("JAX")
    spread, beam = jax.numpy.asarray(work.spread), jax.numpy.asarray(work.beam)
    compiled = jax.jit(jax.vmap(lambda mask: way.frame(jax.numpy, mask, spread, beam)))
    return lambda masks: np.asarray(compiled(masks.astype(np.float32)))


def main() -> None:
    """Measure both backends, without padding and with enough."""
    peer = Peer()
    for padding in (1, 2.5):
        peer.measure(f"numpy, {padding:g} x", on_numpy(peer.work, padding))
    for padding, batch in ((1, 8), (2, 8), (2.25, 1), (2.25, 2), (2.5, 2)):
        settings = f"JAX, compiled, {padding:g} x, batch {batch}"
        peer.measure(settings, on_jax(peer.work, padding), batch=batch)


if __name__ == "__main__":
    main()
