"""Xception, and the network of scheme `thyroid`: Xception with dense links and dilated convolutions.

Xception is F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (CVPR 2017, arXiv:1610.02357),
figure 5: entry flow, middle flow, exit flow, one linear layer. Chosen: all convolutions are padded, so that every
downsampling halves an even side.

The scheme changes two things:

- every max pooling of entry and exit flow becomes a 3x3 convolution with stride 2 and dilation 3, which learns what to
  keep (with stride 2, dilation 2 would read every other row and column alone);
- a first link joins the network's input to what enters the middle flow, a second one joins what entered the middle flow
  (which holds the input and the entry flow's output) to what enters the exit flow. A transition, a 1x1 convolution and
  average pooling, brings the input of each link to the channels and size of its partner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_medseg.models.attention import layer_cam

#: Sides of an input are multiples of this.
MULTIPLE = 32
#: Widths at a base width of 32: 32, 64 | 128, 256, 728 | 728, 1024 | 1536, 2048.
_BASE = 32
_STEM, _ENTRY, _EXIT, _LAST = (32, 64), (128, 256, 728), (728, 1024), (1536, 2048)
_DILATION = 3


class SeparableConv(nn.Sequential):
    """A 3x3 convolution of every channel, a 1x1 convolution over channels, and batch normalisation; keeps the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class HalvingModule(nn.Module):
    """Two separable convolutions and a downsampling, beside a 1x1 convolution of stride 2.

    Parameters
    ----------
    widths
        Channels of the input, after the first and after the second convolution.
    dilated
        Halve by a dilated convolution instead of max pooling.
    activate
        Whether a ReLU comes before the first convolution too.
    """

    def __init__(self, widths: tuple[int, int, int], *, dilated: bool, activate: bool = True) -> None:
        super().__init__()
        before, between, after = widths
        self.long = nn.Sequential(
            nn.ReLU() if activate else nn.Identity(),
            SeparableConv(before, between),
            nn.ReLU(),
            SeparableConv(between, after),
            _dilated(after) if dilated else nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride=2, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """(b, widths[2], y / 2, x / 2) of (b, widths[0], y, x)."""
        return cast("Tensor", self.long(x) + self.short(x))


class MiddleModule(nn.Module):
    """Three separable convolutions, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.long = nn.Sequential(*(layer for _ in range(3) for layer in (nn.ReLU(), SeparableConv(width, width))))

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, y, x) of the same shape."""
        return cast("Tensor", x + self.long(x))


class Transition(nn.Module):
    """Average pooling and a 1x1 convolution with batch normalisation.

    Both are linear, so their order does not matter for what comes out, and pooling first is cheaper.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.normalisation = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(b, out_channels, *size) of (b, in_channels, y, x), whose sides are multiples of `size`."""
        # Not the adaptive pooling of torch: that has no deterministic backward pass on a GPU.
        factor = (x.shape[2] // size[0], x.shape[3] // size[1])
        pooled = x if factor == (1, 1) else functional.avg_pool2d(x, factor)
        return cast("Tensor", self.normalisation(self.convolution(pooled)))


class XceptionEncoder(nn.Module):
    """Entry, middle and exit flow.

    Parameters
    ----------
    in_channels
        Channels of the image.
    base_width
        Channels of the first convolution, a multiple of 4; 32 in the source. All widths follow.
    middle_modules
        Modules of the middle flow, 8 in the source.
    modified
        Dense links and dilated convolutions; otherwise the network is plain Xception.
    """

    def __init__(self, in_channels: int, base_width: int, *, middle_modules: int = 8, modified: bool = True) -> None:
        super().__init__()
        first, second = (_width(width, base_width) for width in _STEM)
        entry = [_width(width, base_width) for width in _ENTRY]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
        )
        self.entry = nn.Sequential(
            *(
                HalvingModule((before, after, after), dilated=modified, activate=index > 0)
                for index, (before, after) in enumerate(zip((second, *entry), entry, strict=False))
            )
        )
        self.first_transition = Transition(in_channels, second) if modified else None
        middle = entry[-1] + (second if modified else 0)
        self.middle = nn.Sequential(*(MiddleModule(middle) for _ in range(middle_modules)))
        # Half of the channels are passed on, the compression of DenseNet (arXiv:1608.06993, section 3).
        self.second_transition = Transition(middle, middle // 2) if modified else None
        joined = middle + (middle // 2 if modified else 0)
        between, after = (_width(width, base_width) for width in _EXIT)
        wide, widest = (_width(width, base_width) for width in _LAST)
        self.exit = HalvingModule((joined, between, after), dilated=modified)
        self.last = nn.Sequential(SeparableConv(after, wide), nn.ReLU(), SeparableConv(wide, widest), nn.ReLU())
        self.out_channels = widest

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of images (b, in_channels, y, x): what enters the middle flow, what enters the exit flow, the deepest.

        The first two have 1 / 16 of the image's size, the deepest (b, out_channels, y / 32, x / 32).
        """
        entered = self.entry(self.stem(x))
        if self.first_transition is not None:
            entered = torch.cat([self.first_transition(x, entered.shape[2:]), entered], dim=1)
        passed = self.middle(entered)
        if self.second_transition is not None:
            passed = torch.cat([self.second_transition(entered, passed.shape[2:]), passed], dim=1)
        return [entered, passed, self.last(self.exit(passed))]


class XceptionClassifier(nn.Module):
    """Encoder, average over the deepest map, dropout, one linear layer.

    Parameters
    ----------
    encoder
        Entry, middle and exit flow.
    classes
        Number of classes.
    dropout
        Before the linear layer.
    """

    def __init__(self, encoder: XceptionEncoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(encoder.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, in_channels, y, x) whose sides are multiples of `MULTIPLE`."""
        return self.head(self.encoder(x)[-1])

    def head(self, deepest: Tensor) -> Tensor:
        """Logits (b, classes) of the deepest map."""
        return cast("Tensor", self.linear(self.dropout(deepest.mean(dim=(2, 3)))))


def attention_of_class(network: XceptionClassifier) -> Callable[[Tensor], Tensor]:
    """A function from images (b, c, y, x) to maps (b, y, x) in 0..1 of what the likeliest class comes from.

    See `napari_medseg.models.attention.layer_cam`; the score is the logit of that class.
    """

    def score_of(deepest: Tensor) -> Tensor:
        return network.head(deepest).float().amax(dim=1)

    return layer_cam(network.encoder, score_of)


def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions (arXiv:1502.01852)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def _width(at_base: int, base_width: int) -> int:
    """A width of the source, scaled; whole for base widths that are multiples of 4."""
    return at_base * base_width // _BASE


def _dilated(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride=2, padding=_DILATION, dilation=_DILATION, bias=False),
        nn.BatchNorm2d(channels),
    )
