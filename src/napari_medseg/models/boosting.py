"""Boosting-UNet: a U-Net whose levels are trained in groups, the finest first.

Level ``i`` has ``base_width * i`` kernels. Its encoder is two 3x3(x3) convolutions, each with ReLU; max pooling leads
to the level below. Its decoder joins the level's own map with what comes from below, convolves twice, and goes up to
the size of the level above. The bottom level's map enters its own decoder directly. What comes from below level ``i``
always has ``base_width * i`` channels, so that a decoder fits whatever stands below it, and can stay frozen while
deeper levels are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Head = Literal["default", "literal"]
#: Standard deviation of the last convolution's first weights: what they add must not outweigh what is expected.
_HEAD_STD = 0.01


class BoostingUNet(nn.Module):
    """The network at one of its depths.

    Parameters
    ----------
    in_channels
        Channels of the image.
    num_outputs
        Classes without the background: each has a logit of its own, so classes may overlap.
    poolings
        Factor per axis ([z,] y, x) of each pooling, the finest first; one less than there are levels, whose number
        and whose dimensions (2 or 3) they give.
    base_width
        Kernels of level 1; level ``i`` has ``i`` times as many.
    head
        How level 1 ends: ``"default"`` has two 3x3 convolutions and one 1x1; ``"literal"`` has 3x3, 1x1 and a sigmoid,
        twice.

    Raises
    ------
    ValueError
        There is no pooling.
    """

    def __init__(
        self,
        in_channels: int,
        num_outputs: int,
        poolings: Sequence[Sequence[int]],
        base_width: int = 32,
        head: Head = "default",
    ) -> None:
        super().__init__()
        if not poolings:
            raise ValueError("a U-Net has two levels at least")
        self.poolings = tuple(tuple(factors) for factors in poolings)
        dims = len(self.poolings[0])
        widths = [base_width * level for level in range(1, len(poolings) + 2)]
        sources = (in_channels, *widths[:-1])
        self.encoders = nn.ModuleList(
            _block(source, width, width, dims) for source, width in zip(sources, widths, strict=True)
        )
        # Level 1 does not go up: its decoder keeps its width.
        self.decoders = nn.ModuleList(
            _block(2 * width, width, above, dims) for width, above in zip(widths[1:], widths[:-1], strict=True)
        )
        self.head = _head(widths[0], num_outputs, dims, head)
        self._mode = "bilinear" if dims == 2 else "trilinear"
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)

    def expect(self, shares: Sequence[float]) -> None:
        """Start with every class as probable everywhere as it is on the whole.

        From even chances a Dice loss pushes all voxels towards the background at first, and networks without
        normalisation may never come back from there (Lin et al. 2017, arXiv:1708.02002, section 4.1, start so for the
        same reason).

        Parameters
        ----------
        shares
            Share of the voxels that each class holds, above 0 and below 1.
        """
        last = _convolutions(self.head)[-1]
        assert last.bias is not None
        with torch.no_grad():
            nn.init.normal_(last.weight, std=_HEAD_STD)
            last.bias.copy_(torch.logit(torch.tensor(shares)))

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.encoders)

    def parts(self, levels: Sequence[int]) -> list[nn.Module]:
        """Encoders and decoders of some levels, counted from 1; the head belongs to level 1."""
        decoders = [self.head, *self.decoders]
        return [part for level in levels for part in (self.encoders[level - 1], decoders[level - 1])]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_outputs, [z,] y, x) of images (b, in_channels, [z,] y, x) that every pooling divides."""
        maps: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            if level:
                x = _pool(x, self.poolings[level - 1])
            x = encoder(x)  # (b, base_width * (level + 1), [z,] y, x) of this level
            maps.append(x)
        for level in range(len(maps) - 1, 0, -1):
            x = self.decoders[level - 1](torch.cat([maps[level], x], dim=1))
            x = functional.interpolate(x, size=maps[level - 1].shape[2:], mode=self._mode, align_corners=False)
        logits: Tensor = self.head(torch.cat([maps[0], x], dim=1))
        return logits


def grow(network: BoostingUNet, larger: BoostingUNet, *, pass_on: bool = True) -> None:
    """Start a deeper network from a trained one.

    Parameters
    ----------
    network
        The trained network.
    larger
        The same network with more levels below, fresh; changed in place.
    pass_on
        Start the first new level so that it passes the map above it on, pooled and brought up again: what the
        trained decoders receive then changes little. Otherwise it stays as it was made.
    """
    larger.load_state_dict(network.state_dict(), strict=False)
    if not pass_on:
        return
    first = network.levels
    width = _convolutions(network.encoders[first - 1])[-1].out_channels
    for convolution in _convolutions(larger.encoders[first]):
        _make_identity(convolution, width)
    # The level's own map is the first half of what its decoder joins.
    for convolution in _convolutions(larger.decoders[first - 1]):
        _make_identity(convolution, width)


def _make_identity(convolution: nn.Conv2d | nn.Conv3d, channels: int) -> None:
    """Let the first output channels repeat the first input channels; maps after a ReLU pass the next one unchanged."""
    with torch.no_grad():
        convolution.weight[:channels] = 0
        centre = tuple(size // 2 for size in convolution.kernel_size)
        for channel in range(channels):
            convolution.weight[(channel, channel, *centre)] = 1
        assert convolution.bias is not None
        convolution.bias[:channels] = 0


def _convolutions(block: nn.Module) -> list[nn.Conv2d | nn.Conv3d]:
    return [part for part in block.modules() if isinstance(part, (nn.Conv2d, nn.Conv3d))]


def _convolution(in_channels: int, out_channels: int, size: int, dims: int) -> nn.Module:
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(in_channels, out_channels, size, padding=size // 2)


def _block(in_channels: int, middle: int, out_channels: int, dims: int) -> nn.Sequential:
    """Two convolutions, each with ReLU; keeps the size."""
    return nn.Sequential(
        _convolution(in_channels, middle, 3, dims),
        nn.ReLU(inplace=True),
        _convolution(middle, out_channels, 3, dims),
        nn.ReLU(inplace=True),
    )


def _head(width: int, num_outputs: int, dims: int, head: Head) -> nn.Sequential:
    """Level 1's decoder, to logits."""
    if head == "default":
        return nn.Sequential(*_block(2 * width, width, width, dims), _convolution(width, num_outputs, 1, dims))
    return nn.Sequential(
        _convolution(2 * width, width, 3, dims),
        nn.ReLU(inplace=True),
        _convolution(width, num_outputs, 1, dims),
        nn.Sigmoid(),
        _convolution(num_outputs, width, 3, dims),
        nn.ReLU(inplace=True),
        _convolution(width, num_outputs, 1, dims),
    )


def _pool(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    return functional.max_pool2d(x, factors) if len(factors) == 2 else functional.max_pool3d(x, factors)
