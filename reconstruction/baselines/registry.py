"""The baselines by name."""

from collections.abc import Callable
from typing import Final

from torch import nn

from configs.errors import ConfigError
from configs.grid import check_grid
from reconstruction.baselines.from_monai import attention_unet, resnet
from reconstruction.baselines.heads import MapHead, SquareHead
from reconstruction.baselines.resunet_a import ResUNetA
from reconstruction.baselines.transformer import Transformer

_MULTIPLE_PX: Final = 32

_MAKERS: Final[dict[str, Callable[[int, int], nn.Module]]] = {
    "resunet-a": lambda grid, image_px: MapHead(ResUNetA(image_px), grid, image_px),
    "attention-unet": lambda grid, image_px: MapHead(attention_unet(), grid, image_px),
    "resnet-18": lambda grid, image_px: SquareHead(resnet(18, grid**2), grid),
    "resnet-34": lambda grid, image_px: SquareHead(resnet(34, grid**2), grid),
    "transformer": lambda grid, image_px: SquareHead(Transformer(grid**2, image_px), grid),
}
BASELINES: Final = tuple(_MAKERS)
"""Their names."""


def make_baseline(name: str, grid: int, image_px: int) -> nn.Module:
    """Make a network with new weights, drawn from torch's global generator.

    Parameters
    ----------
    name
        One of ``BASELINES``.
    grid
        Side of the target, 3, 5 or 7 squares.
    image_px
        Side of the frames, a multiple of 32: five levels halve it.

    Returns
    -------
    nn.Module
        From relative amplitudes, (batch, y, x), to logits, (batch, grid, grid).

    Raises
    ------
    ConfigError
        If there is no such network or grid, frames have another size, or MONAI is missing.
    """
    check_grid(grid)
    if name not in _MAKERS:
        raise ConfigError(f"model: expected one of {', '.join(BASELINES)}, got {name!r}")
    if image_px < _MULTIPLE_PX or image_px % _MULTIPLE_PX:
        raise ConfigError(
            f"model {name}: expected frames whose side is a multiple of {_MULTIPLE_PX} px, got"
            f" {image_px}; change roi_px or binning of the optics"
        )
    return _MAKERS[name](grid, image_px)
