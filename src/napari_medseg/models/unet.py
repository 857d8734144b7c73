"""The U-Net encoder with ten convolutions, its full decoder, and the two networks made of them.

Encoder: 5 levels of two 3x3 convolutions, 4 poolings between them; at 448 x 448 input and 64 channels at the finest
level the deepest map is 28 x 28 x 1024. Decoder: all four skips, the one at full resolution included. Both follow
Ronneberger et al. 2015 (arXiv:1505.04597), with padding that keeps the size and with batch normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_medseg.config import PLAIN as PLAIN

LEVELS = 5


class Encoder(Protocol):
    """What classifier and segmenter ask of an encoder.

    `out_channels` holds the channels of each feature map, finest first; `downsampling` is the side of an input pixel
    block that becomes one pixel of the deepest map.
    """

    out_channels: Sequence[int]
    downsampling: int

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Feature maps of an image batch (b, c, y, x), finest first."""


def convolutions(in_channels: int, out_channels: int, count: int = 2, dims: int = 2) -> nn.Sequential:
    """`count` 3x3(x3) convolutions, each with batch normalisation and ReLU; keeps the size."""
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    normalisation = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    layers: list[nn.Module] = []
    for channels in (in_channels, *(out_channels,) * (count - 1)):
        # No bias: the normalisation that follows would take it away again.
        layers += [convolution(channels, out_channels, 3, padding=1, bias=False), normalisation(out_channels)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def level_widths(base_width: int, levels: int = LEVELS) -> tuple[int, ...]:
    """Channels of the levels, each twice the one above."""
    return tuple(base_width * 2**level for level in range(levels))


class PlainEncoder(nn.Module):
    """The contracting path: `len(widths)` levels of convolutions, max pooling in between.

    Parameters
    ----------
    in_channels
        Channels of the image.
    widths
        Channels per level, finest first.
    per_level
        Convolutions per level.
    dims
        2 for images, 3 for volumes.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], per_level: int = 2, dims: int = 2) -> None:
        super().__init__()
        self.out_channels = tuple(widths)
        self.downsampling = 2 ** (len(widths) - 1)
        below = (in_channels, *widths[:-1])
        self.levels = nn.ModuleList(convolutions(c, w, per_level, dims) for c, w in zip(below, widths, strict=True))
        self.pool = nn.MaxPool2d(2) if dims == 2 else nn.MaxPool3d(2)
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of (b, in_channels, [z,] y, x): (b, widths[i], [z,] y / 2**i, x / 2**i) for each level i."""
        features: list[Tensor] = []
        for number, level in enumerate(self.levels):
            x = level(x if number == 0 else self.pool(x))  # (b, widths[number], y / 2**number, x / 2**number)
            features.append(x)
        return features


class UNetDecoder(nn.Module):
    """The expanding path: linear upsampling to the next finer map, concatenation with it, convolutions.

    Works on the feature maps of any encoder, whatever their sizes, and ends at the size of the finest one.

    Parameters
    ----------
    encoder_channels
        Channels of the encoder's maps, finest first.
    widths
        Channels that the decoder gives at each map but the deepest, finest first.
    per_level
        Convolutions per level.
    dims
        2 for images, 3 for volumes.
    """

    def __init__(
        self, encoder_channels: Sequence[int], widths: Sequence[int], per_level: int = 2, dims: int = 2
    ) -> None:
        super().__init__()
        self.out_channels = widths[0]
        skips = tuple(encoder_channels[:-1])
        incoming = (*widths[1:], encoder_channels[-1])
        self.levels = nn.ModuleList(
            convolutions(below + skip, width, per_level, dims)
            for below, skip, width in zip(incoming, skips, widths, strict=True)
        )
        initialise(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map of shape (b, widths[0], [z,] y, x) at the size of ``features[0]``."""
        x = features[-1]
        for level, skip in zip(reversed(self.levels), reversed(features[:-1]), strict=True):
            x = _resize(x, skip.shape[2:])
            x = level(torch.cat([x, skip], dim=1))  # (b, width of this level, *skip.shape[2:])
        return x


class Classifier(nn.Module):
    """An encoder with global mean pooling and one linear layer.

    Parameters
    ----------
    encoder
        Any encoder.
    num_tags
        Number of tags.
    dropout
        Dropout before the linear layer.
    """

    def __init__(self, encoder: nn.Module, num_tags: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        parts = cast("Encoder", encoder)
        self.downsampling: int = parts.downsampling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(parts.out_channels[-1], num_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Tag logits (b, num_tags) of images (b, c, y, x) of any size."""
        deepest = self.encoder(pad_to_multiple(x, self.downsampling))[-1]
        # A mean has a deterministic backward pass on every device, adaptive pooling has not.
        pooled = deepest.mean((2, 3))  # (b, channels of the deepest level)
        return cast("Tensor", self.head(self.dropout(pooled)))


class Segmenter(nn.Module):
    """An encoder, a decoder and a convolution to one logit per class.

    Parameters
    ----------
    encoder
        Any encoder.
    decoder
        Maps the encoder's feature maps to one map of `decoder_channels` channels, at full or lower resolution.
    decoder_channels
        Channels that the decoder gives.
    num_outputs
        Number of classes with the background.
    kernel_size
        Side of the last convolution.
    dims
        2 for images, 3 for volumes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        decoder_channels: int,
        num_outputs: int,
        kernel_size: int = 1,
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.downsampling: int = cast("Encoder", encoder).downsampling
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.head = convolution(decoder_channels, num_outputs, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Mask logits (b, num_outputs, [z,] y, x) of images (b, c, [z,] y, x) of any size."""
        padded = pad_to_multiple(x, self.downsampling)
        logits = self.head(self.decoder(self.encoder(padded)))
        if logits.shape[2:] != padded.shape[2:]:
            logits = _resize(logits, padded.shape[2:])
        return cast("Tensor", logits[(..., *(slice(side) for side in x.shape[2:]))])


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last slice, row and column of (b, c, [z,] y, x) until all sides are multiples of `multiple`."""
    missing = [-side % multiple for side in x.shape[2:]]
    if not any(missing):
        return x
    return functional.pad(x, [n for side in reversed(missing) for n in (0, side)], mode="replicate")


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Linear interpolation of (b, c, [z,] y, x) to another size."""
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return functional.interpolate(x, size=list(size), mode=mode, align_corners=False)


def initialise(module: nn.Module) -> None:
    """He initialisation of convolutions (arXiv:1502.01852): keeps the variance through ReLUs, however many channels."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
