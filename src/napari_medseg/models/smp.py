"""Encoders and decoders of segmentation-models-pytorch, in the interface of `napari_medseg.models.unet`.

The scheme's own encoder is registered there as ``unet-plain``, so that any decoder of the library can be put on it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from napari_medseg.config import DECODERS_WITH_WIDTHS
from napari_medseg.errors import ConfigError
from napari_medseg.models.guard import guard_torch_import

# torchvision, which the library imports, loads triton.
guard_torch_import()

import segmentation_models_pytorch as smp  # type: ignore[import-untyped]  # noqa: E402 - untyped; after the guard
from segmentation_models_pytorch.encoders import encoders as registry  # type: ignore[import-untyped]  # noqa: E402
from segmentation_models_pytorch.encoders import get_encoder  # noqa: E402 - after the guard
from torch import nn  # noqa: E402 - after the guard

from napari_medseg.models.unet import (  # noqa: E402 - after the guard
    LEVELS,
    PLAIN,
    PlainEncoder,
    convolutions,
    initialise,
    level_widths,
)

_DEFAULT_BASE_WIDTH = 64
#: Decoders that work on every encoder and any image here. DPT needs the tokens of a vision transformer; PAN shrinks the
#: deepest map eight times more, which images under 128 pixels do not allow.
DECODERS: Mapping[str, Any] = {
    name: model for name, model in smp.MODEL_ARCHITECTURES_MAPPING.items() if name not in ("dpt", "pan")
}
#: How often encoders of the library halve the image unless told otherwise.
DEPTH = 5


class RegisteredPlainEncoder(PlainEncoder):
    """`PlainEncoder` with the methods that the library calls on an encoder; the weights have the same names."""

    def __init__(self, base_width: int, depth: int = LEVELS - 1, output_stride: int = 32, per_level: int = 2) -> None:
        super().__init__(3, level_widths(base_width, depth + 1), per_level)
        self._per_level = per_level
        self.output_stride = min(output_stride, self.downsampling)

    def set_in_channels(self, in_channels: int, pretrained: bool = False) -> None:
        """Take images of another number of channels; the first level starts anew."""
        self.levels[0] = convolutions(in_channels, self.out_channels[0], self._per_level)
        initialise(self.levels[0])

    def make_dilated(self, output_stride: int) -> None:
        """Nothing to do: the deepest level's stride of 16 is the one that dilated encoders are brought to."""


def register_plain(base_width: int = _DEFAULT_BASE_WIDTH, per_level: int = 2) -> str:
    """Put the plain encoder of a width and a number of convolutions per level into the library's registry.

    Encoders of the library take no settings from outside, so each of them has a name, which is returned:
    ``unet-plain`` at 64 channels, ``unet-plain-16`` at 16, ``unet-plain-16-3`` with three convolutions per level.
    """
    name = PLAIN if base_width == _DEFAULT_BASE_WIDTH and per_level == 2 else f"{PLAIN}-{base_width}"
    name = name if per_level == 2 else f"{name}-{per_level}"
    registry[name] = {
        "encoder": RegisteredPlainEncoder,
        "params": {"base_width": base_width, "per_level": per_level},
        "pretrained_settings": {},
    }
    return name


register_plain()


def build_smp_encoder(name: str, in_channels: int, weights: str | None, depth: int = DEPTH) -> nn.Module:
    """An encoder of the library by name, e.g. ``resnet34``, ``efficientnet-b0``, ``tu-convnext_tiny``.

    Raises
    ------
    ConfigError
        There is no such encoder, it has no such weights, or they cannot be fetched.
    """
    check_encoder_name(name)
    return _described(
        _guarded(name, weights, lambda: get_encoder(name, in_channels, depth, _weights(name, weights))), depth
    )


def build_smp_parts(
    decoder: str,
    encoder: str,
    in_channels: int,
    weights: str | None,
    base_width: int,
    depth: int | None = None,
    convs_per_level: int = 2,
) -> tuple[nn.Module, nn.Module, int, int]:
    """Encoder, decoder, the decoder's channels and the kernel size of the head that belongs to it.

    Parameters
    ----------
    decoder
        A key of `DECODERS`.
    encoder
        ``unet-plain`` or an encoder of the library.
    in_channels
        Channels of the image.
    weights
        Pretrained weights of the encoder.
    base_width
        Channels of the plain encoder's finest level. The decoder mirrors the plain encoder; on another encoder its
        finest level has a quarter of that, the library's own default at 64.
    depth
        How often the encoder halves the image; None: 4 times for the plain one, else 5.
    convs_per_level
        Convolutions per level of the plain encoder.

    Raises
    ------
    ConfigError
        As for `build_smp_encoder`, there is no such decoder, or it does not work on this encoder.
    """
    if decoder not in DECODERS:
        raise ConfigError(_unknown("decoder", decoder, [PLAIN, *DECODERS]))
    check_encoder_name(encoder)
    depth = depth or (LEVELS - 1 if encoder == PLAIN else DEPTH)
    settings: dict[str, Any] = {}
    if decoder in DECODERS_WITH_WIDTHS:
        settings["decoder_channels"] = decoder_widths(encoder, base_width, depth)[::-1]
    name = register_plain(base_width, convs_per_level) if encoder == PLAIN else encoder
    model = _guarded(
        encoder,
        weights,
        lambda: DECODERS[decoder](
            name,
            encoder_depth=depth,
            encoder_weights=_weights(encoder, weights),
            in_channels=in_channels,
            **settings,
        ),
    )
    convolution = model.segmentation_head[0]
    return _described(model.encoder, depth), model.decoder, convolution.in_channels, convolution.kernel_size[0]


def decoder_widths(encoder: str, base_width: int, depth: int | None = None) -> tuple[int, ...]:
    """Channels that a decoder gives at each level but the deepest, finest first."""
    if encoder == PLAIN:
        return level_widths(base_width, depth or LEVELS - 1)
    return tuple(max(base_width // 4, 4) * 2**level for level in range(depth or DEPTH))


def check_encoder_name(name: str) -> None:
    """Raise `ConfigError` with near matches when no encoder has this name."""
    if name.startswith("tu-"):
        import timm

        # A tag after a dot names pretrained weights of the same network.
        if not timm.is_model(name.removeprefix("tu-").partition(".")[0]):
            raise ConfigError(_unknown("encoder", name, (f"tu-{known}" for known in timm.list_models())))
    elif name not in registry:
        raise ConfigError(_unknown("encoder", name, registry))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
    return f"There is no {what} '{name}': choose one of {', '.join(near)} or another one that the library has."


def _weights(encoder: str, weights: str | None) -> str | bool | None:
    # Encoders of timm know "pretrained" only as yes or no; which weights is part of their name.
    return True if weights is not None and encoder.startswith("tu-") else weights


def _guarded(encoder: str, weights: str | None, build: Any) -> Any:
    """What `build` returns, with the failures that a setting causes as `ConfigError`."""
    try:
        return build()
    except KeyError as error:
        raise ConfigError(f"Encoder '{encoder}' has no weights '{weights}': {error.args[0]}") from error
    except OSError as error:
        raise ConfigError(
            f"Weights '{weights}' of encoder '{encoder}' could not be fetched ({error}): connect to the internet once, "
            "or train without pretrained weights."
        ) from error
    except ValueError as error:
        # The library refuses depths and decoders that an encoder does not have.
        raise ConfigError(f"Encoder '{encoder}' cannot be used like that: {error}") from error


def _described(encoder: Any, depth: int) -> nn.Module:
    """Give an encoder of the library the attribute that our networks read."""
    if not isinstance(encoder, PlainEncoder):
        encoder.downsampling = 2**depth
    return encoder  # type: ignore[no-any-return]  # the library is not typed
