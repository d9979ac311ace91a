"""Several wavelengths at once: one frame each."""

from collections.abc import Sequence

import torch

from configs.optics import Optics
from simulation.forward import ForwardModel
from simulation.window import beam_window


class ColourModel:
    """Camera images of the same mask in the light of several lasers.

    Parameters
    ----------
    optics
        The instrument at its own wavelength.
    wavelengths_nm
        Of the lasers; see ``Optics.at_wavelength`` for what stays.
    cell_nm
        Side of a cell.
    dtype, device
        See ``ForwardModel``.

    Attributes
    ----------
    cells
        Side of the window of cells that holds the widest beam.
    """

    def __init__(
        self,
        optics: Optics,
        wavelengths_nm: Sequence[float],
        cell_nm: float = 180.0,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        colours = [optics.at_wavelength(wavelength) for wavelength in wavelengths_nm]
        self.cells = max(beam_window(colour, cell_nm) for colour in colours)
        self._models = [
            ForwardModel(colour, cell_nm, cells=self.cells, dtype=dtype, device=device)
            for colour in colours
        ]

    def frames(
        self, coverage: torch.Tensor, offset_um: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return (batch, wavelengths, image_px, image_px); see ``ForwardModel.frames``."""
        return torch.stack([model.frames(coverage, offset_um) for model in self._models], 1)
