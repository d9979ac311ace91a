"""Networks that MONAI has: Attention U-Net and ResNets, in the sizes of their papers."""

from importlib import import_module
from typing import Any, Final

from torch import nn

from configs.errors import ConfigError

_UNET_CHANNELS: Final = (64, 128, 256, 512, 1024)
_RESNET_BLOCKS: Final = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_RESNET_CHANNELS: Final = (64, 128, 256, 512)


def attention_unet() -> nn.Module:
    """Return the Attention U-Net of Oktay et al. (2018), in two dimensions.

    From (batch, 1, y, x) to (batch, 1, y, x).
    """
    network: nn.Module = _monai("attention-unet").AttentionUnet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=_UNET_CHANNELS,
        strides=(2,) * (len(_UNET_CHANNELS) - 1),
    )
    return network


def resnet(layers: int, outputs: int) -> nn.Module:
    """Return the ResNet of 18 or 34 layers of He et al. (2016), for one channel.

    From (batch, 1, y, x) to (batch, outputs).
    """
    network: nn.Module = _monai(f"resnet-{layers}").ResNet(
        block="basic",
        layers=list(_RESNET_BLOCKS[layers]),
        block_inplanes=list(_RESNET_CHANNELS),
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_stride=2,
        num_classes=outputs,
    )
    return network


def _monai(model: str) -> Any:
    try:
        return import_module("monai.networks.nets")
    except ImportError as error:
        raise ConfigError(
            f"model {model}: expected MONAI, it is not installed; install opticalnet with its"
            " extra [train]"
        ) from error
