"""Networks from settings; the one place that decides between this package's parts and the library's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from napari_medseg.config import NetworkConfig
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.models.guard import guard_torch_import

# What is built here is trained or run next; the optimiser loads triton.
guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch import nn  # noqa: E402 - after the guard

from napari_medseg.models.unet import (  # noqa: E402 - after the guard
    LEVELS,
    PLAIN,
    Classifier,
    Encoder,
    PlainEncoder,
    Segmenter,
    UNetDecoder,
    level_widths,
)

if TYPE_CHECKING:
    import numpy.typing as npt


def build_encoder(config: NetworkConfig, in_channels: int) -> nn.Module:
    """The encoder that the settings name; see `napari_medseg.models.unet.Encoder` for its interface.

    Raises
    ------
    ConfigError
        The name is unknown, or the pretrained weights are unknown or cannot be fetched.
    """
    if config.encoder == PLAIN:
        _refuse_weights(config)
        return PlainEncoder(in_channels, level_widths(config.base_width))
    from napari_medseg.models.smp import build_smp_encoder  # seconds of imports that the plain network does not need

    return build_smp_encoder(config.encoder, in_channels, config.encoder_weights)


def build_classifier(config: NetworkConfig, in_channels: int, num_tags: int) -> Classifier:
    """Encoder, global mean pooling and a linear layer; raises as `build_encoder`."""
    return Classifier(build_encoder(config, in_channels), num_tags, config.dropout)


def build_segmenter(
    config: NetworkConfig,
    in_channels: int,
    num_outputs: int,
    *,
    downsamplings: int | None = None,
    convs_per_level: int = 2,
) -> Segmenter:
    """Encoder and decoder with `num_outputs` logits per pixel, the background first.

    The encoder's weights have the names that `build_classifier` gives them, whatever the decoder.

    Parameters
    ----------
    downsamplings
        How often the encoder halves the image; None: 4 times for the plain one, 5 times for those of the library.
    convs_per_level
        Convolutions per level of the plain encoder and the plain decoder; others have what their authors gave them.

    Raises
    ------
    ConfigError
        A name is unknown, or the pretrained weights are unknown or cannot be fetched.
    """
    if config.encoder == PLAIN:
        _refuse_weights(config)
    if config.decoder != PLAIN:
        from napari_medseg.models.smp import build_smp_parts

        smp_encoder, decoder, channels, kernel_size = build_smp_parts(
            config.decoder,
            config.encoder,
            in_channels,
            config.encoder_weights,
            config.base_width,
            downsamplings,
            convs_per_level,
        )
        return Segmenter(smp_encoder, decoder, channels, num_outputs, kernel_size)
    if config.encoder == PLAIN:
        channels_per_level = level_widths(config.base_width, (downsamplings or LEVELS - 1) + 1)
        widths = channels_per_level[:-1]
        encoder: nn.Module = PlainEncoder(in_channels, channels_per_level, convs_per_level)
    else:
        from napari_medseg.models.smp import DEPTH, build_smp_encoder, decoder_widths

        depth = downsamplings or DEPTH
        widths = decoder_widths(config.encoder, config.base_width, depth)
        encoder = build_smp_encoder(config.encoder, in_channels, config.encoder_weights, depth)
    own = UNetDecoder(cast("Encoder", encoder).out_channels, widths, convs_per_level)
    return Segmenter(encoder, own, own.out_channels, num_outputs)


def load_weights(model: nn.Module, tensors: Mapping[str, npt.NDArray[Any] | torch.Tensor], prefix: str) -> None:
    """Fill a network with the tensors of a model file whose names begin with ``prefix.``.

    Raises
    ------
    ModelError
        A tensor is missing, is too many, or has another shape than the network's.
    """
    start = f"{prefix}."
    state = {
        name.removeprefix(start): torch.as_tensor(tensor) for name, tensor in tensors.items() if name.startswith(start)
    }
    expected = model.state_dict()
    odd = sorted(set(expected) ^ set(state))
    odd += sorted(name for name in set(expected) & set(state) if expected[name].shape != state[name].shape)
    if odd:
        raise ModelError(
            f"The model file does not hold the network that it describes: {len(odd)} weights differ, the first is "
            f"'{start}{odd[0]}'; use the file as it was written by training."
        )
    model.load_state_dict(state)


def load_matching_weights(model: nn.Module, tensors: Mapping[str, npt.NDArray[Any]], prefix: str) -> None:
    """Fill what a network shares with the tensors of a model file whose names begin with ``prefix.``.

    A head of another number of classes stays as it is. Without such tensors nothing happens.

    Raises
    ------
    ModelError
        There are such tensors, but none fits: the file holds another kind of network.
    """
    start = f"{prefix}."
    own = model.state_dict()
    given = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    fitting = {
        name: torch.as_tensor(tensor)
        for name, tensor in given.items()
        if name in own and tuple(own[name].shape) == tuple(tensor.shape)
    }
    if given and not any(name.startswith("encoder") and name.endswith("weight") for name in fitting):
        raise ModelError(
            f"The model to start from has another {prefix} than the settings describe: choose its encoder and "
            "base_width, or start without it."
        )
    own.update(fitting)
    model.load_state_dict(own)


def _refuse_weights(config: NetworkConfig) -> None:
    if config.encoder_weights is not None:
        raise ConfigError(
            f"Encoder '{PLAIN}' has no pretrained weights, so encoder_weights='{config.encoder_weights}' cannot be "
            "used: leave it empty, or choose another encoder, e.g. resnet34."
        )
