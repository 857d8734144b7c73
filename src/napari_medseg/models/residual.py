"""A residual U-Net with two heads: a region, and an ordered grade.

A block computes ``y = ReLU(conv(x) + BN(conv(ReLU(BN(conv(x))))))``. The encoder is a convolution unit of this
structure and four residual units (pooling, block); the decoder four units (upsampling, block), each of which takes what
lies below it joined with the residual unit of that size. Its last map is fused with the convolution unit's. Chosen: the
convolution of the short way is 1x1, the others 3x3 with zero padding, maps are joined by concatenation, pooling keeps
the last odd row, and upsampling goes to the size of the finer map, so that inputs of any size work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Poolings of the encoder; an input shrinks to 1 / 2**DEPTH.
DEPTH = 4
#: Parts into which the deepest map is averaged, along its first axis.
_PARTS = 2


class ResidualBlock(nn.Module):
    """``y = ReLU(conv(x) + BN(conv(ReLU(BN(conv(x))))))``; keeps the size.

    Parameters
    ----------
    in_channels, out_channels
        Channels of x and y.
    dims
        2 or 3.
    """

    def __init__(self, in_channels: int, out_channels: int, dims: int) -> None:
        super().__init__()
        conv, norm = _layers(dims)
        self.short = conv(in_channels, out_channels, 1)
        self.long = nn.Sequential(
            # No bias: the normalisation that follows would take it away again.
            conv(in_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, out_channels, [z,] y, x) of (b, in_channels, [z,] y, x)."""
        return functional.relu(self.short(x) + self.long(x))


class ResidualEncoder(nn.Module):
    """A convolution unit and four residual units, each with twice the channels at half the size.

    Parameters
    ----------
    in_channels
        Channels of the image.
    base_width
        Channels of the convolution unit.
    dims
        2 or 3.
    """

    def __init__(self, in_channels: int, base_width: int, dims: int) -> None:
        super().__init__()
        self.out_channels = tuple(base_width * 2**level for level in range(DEPTH + 1))
        below = (in_channels, *self.out_channels[:-1])
        self.units = nn.ModuleList(
            ResidualBlock(source, width, dims) for source, width in zip(below, self.out_channels, strict=True)
        )
        # A thin volume never vanishes: its last slice is pooled alone.
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if dims == 2 else nn.MaxPool3d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of the convolution unit and of R1..R4: (b, out_channels[i], [z,] y, x), each at half the size."""
        maps: list[Tensor] = []
        for number, unit in enumerate(self.units):
            x = unit(x if number == 0 else self.pool(x))
            maps.append(x)
        return maps


class ResidualDecoder(nn.Module):
    """Four units of upsampling and block, and the head that draws the region.

    D1 takes R4, D2 takes D1 and R3, D3 takes D2 and R2, D4 takes D3 and R1; the head takes D4 and the convolution unit.

    Parameters
    ----------
    channels
        Of the encoder's maps, finest first.
    outputs
        Classes with the background.
    dims
        2 or 3.
    """

    def __init__(self, channels: Sequence[int], outputs: int, dims: int) -> None:
        super().__init__()
        unit, *residual = channels
        joined = (residual[-1], *(2 * width for width in residual[-2::-1]))
        widths = (*residual[-2::-1], unit)
        self.units = nn.ModuleList(
            ResidualBlock(source, width, dims) for source, width in zip(joined, widths, strict=True)
        )
        conv, norm = _layers(dims)
        self.head = nn.Sequential(
            conv(2 * unit, unit, 3, padding=1, bias=False), norm(unit), nn.ReLU(inplace=True), conv(unit, outputs, 1)
        )
        self.mode = "bilinear" if dims == 2 else "trilinear"

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (b, outputs, [z,] y, x) at the size of ``maps[0]``."""
        x = maps[-1]
        for number, unit in enumerate(self.units):
            if number:
                x = torch.cat([x, maps[-1 - number]], dim=1)  # D1 & R3, D2 & R2, D3 & R1
            finer = maps[-2 - number].shape[2:]
            x = unit(functional.interpolate(x, size=finer, mode=self.mode, align_corners=False))
        return cast("Tensor", self.head(torch.cat([x, maps[0]], dim=1)))


class GradeHead(nn.Module):
    """Averages of the deepest map, dropout, one linear layer to a logit per step of the grade.

    Parameters
    ----------
    channels
        Of the deepest map.
    grades
        Number of ordered grades K; output k of the K - 1 says how likely the grade lies above the k-th.
    dropout
        Before the linear layer.
    """

    def __init__(self, channels: int, grades: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(_PARTS * channels, grades - 1)

    def forward(self, deepest: Tensor) -> Tensor:
        """Logits (b, grades - 1) of (b, channels, [z,] y, x)."""
        return cast("Tensor", self.linear(self.dropout(_average_parts(deepest).flatten(1))))


class GradeNetwork(nn.Module):
    """Encoder and grade head alone."""

    def __init__(self, encoder: ResidualEncoder, head: GradeHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Grade logits (b, grades - 1) of images (b, c, [z,] y, x)."""
        return cast("Tensor", self.head(self.encoder(x)[-1]))


class RegionNetwork(nn.Module):
    """Encoder and decoder alone."""

    def __init__(self, encoder: ResidualEncoder, decoder: ResidualDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Region logits (b, outputs, [z,] y, x) of images (b, c, [z,] y, x)."""
        return cast("Tensor", self.decoder(self.encoder(x)))


class JointNetwork(nn.Module):
    """One encoder, a decoder that draws the region, and a head that grades it."""

    def __init__(self, encoder: ResidualEncoder, decoder: ResidualDecoder, head: GradeHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Region logits (b, outputs, [z,] y, x) and grade logits (b, grades - 1) of images (b, c, [z,] y, x)."""
        maps = self.encoder(x)
        return self.decoder(maps), self.head(maps[-1])


def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions (arXiv:1502.01852)."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _average_parts(x: Tensor) -> Tensor:
    """Adaptive average pooling of (b, c, [z,] y, x) to `_PARTS` along the first axis and 1 along the others.

    Means have a deterministic backward pass on every device, torch's adaptive pooling has not.
    """
    length = x.shape[2]
    spans = [(i * length // _PARTS, ((i + 1) * length + _PARTS - 1) // _PARTS) for i in range(_PARTS)]
    return torch.stack([x[:, :, start:stop].flatten(2).mean(2) for start, stop in spans], dim=2)


def _layers(dims: int) -> tuple[type[nn.Conv2d | nn.Conv3d], type[nn.BatchNorm2d | nn.BatchNorm3d]]:
    """Convolution and normalisation for images of 2 or 3 axes."""
    return (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
