"""What a scheme hands to the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_medseg.config import WindowConfig
from napari_medseg.structures import Box, Image, MaskClass, TrainingCase

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How one image is cut into windows.

    Parameters
    ----------
    window
        Size of a window in working pixels, ([z,] y, x).
    multiple
        Windows may shrink to multiples of this, per axis; an image shorter than that is extended to it.
    notes
        Sentences for people about what is unusual here.
    """

    window: tuple[int, ...]
    multiple: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A trained network with everything around it; a bundle of plain callables, no state.

    The engine resamples the image by `scale_of`, cuts windows, calls `normalise` on each and `forward` on batches of
    them, blends the mask logits, turns them into labels at the image's own resolution, and averages the tag logits.

    Parameters
    ----------
    window
        Size of a window in pixels of the working resolution, ([z,] y, x).
    multiple
        Windows may shrink to multiples of this (the network's total downsampling).
    scale_of
        Working pixels per image pixel, per spatial axis, for an image (0.5: the network works at half resolution).
    prepare
        Called once per image with the whole (lazy) image; what it returns is handed to `normalise` (intensity range
        of a scan, say).
    normalise
        (pixels of shape (c, [z,] y, x) with the image's dtype, prepared) to float32 of shape (in_channels, [z,] y, x).
    forward
        float32 (b, in_channels, [z,] y, x) to (mask logits (b, classes + 1, [z,] y, x) or None, tag logits (b, tags)
        or None).
    classes
        Mask classes in channel order after the background; empty when the network draws nothing.
    tags
        Tag names in channel order; empty when the network does not classify.
    windows
        Overlap and blending.
    overlapping
        Mask logits then are (b, classes, [z,] y, x) without the background, a yes or no for each class; a later class
        wins where several are more probable than not.
    grid_of
        The grid of an image, for schemes whose windows depend on it; None: `window` and `multiple` for all.
    focus
        For networks that judge one region of an image as a whole: what is cut out and brought to the size of `window`,
        given the box of what is asked about (None: all of the image). `scale_of` then sees the part alone.
    region_of
        With `focus`: the box that is asked about of a case of a data set, e.g. that of its mask; None: all of it.
    attend
        float32 (b, in_channels, [z,] y, x) to (b, [z,] y, x): how much each place decided the tags, 0 or more; runs
        with gradients. None where the network cannot tell.
    calibrated, graded
        Whether probabilities of tags were calibrated, and whether tags are grades, lowest first.
    sure_from
        How probable a tag must be to be believed; None where nothing was set.
    marks_region
        Whether the network draws nothing: its labels are the region that it judged, with the value of its tag.
    segmenter
        The network whose last convolution gives the mask logits, on its device; what that convolution reads are the
        features by which corrections spread. None where there is none.
    """

    window: tuple[int, ...]
    multiple: int
    scale_of: Callable[[Image], tuple[float, ...]]
    prepare: Callable[[Image], Any]
    normalise: Callable[[npt.NDArray[Any], Any], npt.NDArray[Any]]
    forward: Callable[[torch.Tensor], tuple[torch.Tensor | None, torch.Tensor | None]]
    classes: Sequence[MaskClass]
    tags: Sequence[str]
    windows: WindowConfig
    overlapping: bool = False
    grid_of: Callable[[Image], Grid] | None = None
    focus: Callable[[Image, Box | None], Box] | None = None
    region_of: Callable[[TrainingCase], Box | None] | None = None
    attend: Callable[[torch.Tensor], torch.Tensor] | None = None
    calibrated: bool = False
    graded: bool = False
    sure_from: float | None = None
    marks_region: bool = False
    segmenter: nn.Module | None = None

    def grid(self, image: Image) -> Grid:
        """How an image is cut into windows."""
        if self.grid_of is not None:
            return self.grid_of(image)
        return Grid(window=self.window, multiple=(self.multiple,) * len(self.window))
