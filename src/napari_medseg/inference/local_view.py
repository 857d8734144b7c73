"""What a network makes of a small part of an image: its logits, and the features from which its last layer draws them.

Corrections of a result are spread by these features (`napari_medseg.inference.refining`): pixels that look alike to the
network are likely to be wrong together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.change import grown
from napari_medseg.data.resampling import WindowReader, choose_level, working_shape
from napari_medseg.errors import ModelError
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.resampling import AxisMap
from napari_medseg.models.guard import guard_torch_import
from napari_medseg.structures import Box, Image

guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch import nn  # noqa: E402 - after the guard
from torch.nn import functional  # noqa: E402 - after the guard

from napari_medseg.models.compute import Compute  # noqa: E402 - imports torch

Floats = npt.NDArray[np.float32]

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
#: Usual side of a window, and what it reaches beyond a place, in pixels of the network; and views that are kept.
_SIDE, _MARGIN, _KEPT = 192, 60, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    """A part of an image as a network sees it, in the image's own pixels.

    Parameters
    ----------
    box
        The part, (start, stop) per spatial axis of the image; one wide along all but the last two.
    probabilities
        float32 (class with the background, y, x).
    features
        float32 (feature, y, x): what the last layer reads, each of standard deviation 1.
    """

    box: Box
    probabilities: Floats
    features: Floats


class LocalViews:
    """Views of one image, made where they are asked for and kept.

    Parameters
    ----------
    predictor
        Whose `segmenter` is known, and which judges no region as a whole.
    image
        The image.
    compute
        Where the networks are.

    Raises
    ------
    ModelError
        The model draws nothing, or judges its image as a whole.
    """

    def __init__(self, predictor: Predictor, image: Image, compute: Compute) -> None:
        if predictor.segmenter is None or not predictor.classes or predictor.focus is not None:
            raise ModelError("This model cannot spread strokes: choose one that draws, window by window.")
        self.predictor, self.image, self.compute = predictor, image, compute
        self._working = working_shape(image, predictor.scale_of(image))
        self._prepared = predictor.prepare(image)
        self._kept: list[LocalView] = []

    def around(self, place: Box) -> LocalView:
        """A view that holds a place of one slice, with a margin on all sides but the image's ends.

        Parameters
        ----------
        place
            (start, stop) per spatial axis of the image; one wide along all but the last two.

        Raises
        ------
        ModelError
            The network gives values that are not numbers.
        """
        shape = self.image.spatial_shape
        margin = round(_MARGIN * self.scale)
        margins = (*(0 for _ in shape[:-2]), margin, margin)
        needed = grown(place, margins, shape)
        for view in self._kept:
            if all(a <= c and d <= b for (a, b), (c, d) in zip(view.box, needed, strict=True)):
                return view
        view = self._make(needed)
        self._kept = [*self._kept[1 - _KEPT :], view]
        return view

    @property
    def scale(self) -> float:
        """Pixels of the image per pixel of the network, along the last axis."""
        return self.image.spatial_shape[-1] / self._working[-1]

    def _make(self, needed: Box) -> LocalView:
        image, predictor = self.image, self.predictor
        axes = len(predictor.window)
        grid, lead = predictor.grid(image), len(needed) - axes
        spans = []
        for axis in range(axes):
            size, total = self._working[lead + axis], image.spatial_shape[lead + axis]
            low, high = needed[lead + axis]
            most = max(_SIDE, math.ceil((high - low) * size / total) + 2)
            window = _side(grid.window[axis], grid.multiple[axis], most)
            start = round((low + high) / 2 * size / total - window / 2)
            start = int(np.clip(start, 0, max(size - window, 0)))
            spans.append((start, start + window))
        reader = WindowReader(image, self._working, choose_level(image, self._working))
        pixels = reader.read((*needed[:lead], *spans))
        pixels = pixels.reshape(len(pixels), *(stop - start for start, stop in spans))
        values = np.ascontiguousarray(predictor.normalise(pixels, self._prepared), np.float32)
        found = _run(predictor, torch.from_numpy(values)[np.newaxis], self.compute)
        return self._in_image(needed, spans, *found)

    def _in_image(
        self, needed: Box, spans: Sequence[tuple[int, int]], probabilities: torch.Tensor, features: torch.Tensor
    ) -> LocalView:
        """The window's slice in the image's own pixels, without what lies beyond the image's ends."""
        lead = len(needed) - len(spans)
        box = list(needed[:lead])
        for axis, (first, last) in enumerate(spans):
            size, total = self._working[lead + axis], self.image.spatial_shape[lead + axis]
            start, stop = -(-first * total // size), min(last, size) * total // size
            if axis < len(spans) - 2:
                start, stop = needed[lead + axis]
            plan = AxisMap.between(total, size, start, stop)
            # Half a working pixel at the window's edge is read from within it.
            plan.lower.clip(first, last - 1, out=plan.lower)
            plan.upper.clip(first, min(last, size) - 1, out=plan.upper)
            whole = slice(0, stop - start)
            probabilities = plan.apply(probabilities, axis + 1, first, whole)
            features = plan.apply(features, axis + 1, first, whole)
            box.append((start, stop))
        plane = [stop - start for start, stop in box[-2:]]
        flat = features.reshape(len(features), -1)
        scaled = flat / flat.std(dim=1, keepdim=True).clamp_min(1e-6)
        return LocalView(
            box=tuple(box),
            probabilities=probabilities.reshape(-1, *plane).numpy(),
            features=scaled.reshape(-1, *plane).numpy(),
        )


def _side(window: int, multiple: int, most: int) -> int:
    """A window's side, as short as it may be without falling below `most`."""
    return min(window, max(-(-most // multiple), 1) * multiple)


def _run(predictor: Predictor, values: torch.Tensor, compute: Compute) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (class with background, [z,] y, x) and features (feature, [z,] y, x) of one window."""
    assert predictor.segmenter is not None, "asked before"
    outputs = len(predictor.classes) + (0 if predictor.overlapping else 1)
    with torch.inference_mode(), compute.autocast(), _last_input(predictor.segmenter, outputs) as read:
        logits, _ = predictor.forward(compute.to(values))
    if logits is None or not read or not torch.isfinite(logits.sum(dtype=torch.float32)):
        raise ModelError("The model gives no drawing that could be corrected: choose another one.")
    logits = logits[0].float().cpu()
    features = read[-1].float().cpu()
    size = logits.shape[1:]
    if any(have < want for have, want in zip(features.shape[2:], size, strict=True)):
        mode = "trilinear" if len(size) == 3 else "bilinear"
        features = functional.interpolate(features, size=size, mode=mode, align_corners=False)
    features = features[0]
    for axis, n in enumerate(size, start=1):
        features = features.narrow(axis, 0, n)
    if not predictor.overlapping:
        return logits.softmax(dim=0), features
    shares = logits.sigmoid()
    # A later class wins where several are more probable than not.
    left, found = torch.ones_like(shares[0]), []
    for share in reversed(shares):
        found.append(left * share)
        left = left * (1 - share)
    return torch.stack([left, *reversed(found)]), features


@contextmanager
def _last_input(network: nn.Module, outputs: int) -> Iterator[list[torch.Tensor]]:
    """Collects what convolutions with so many outputs read; the last one is the head."""
    read: list[torch.Tensor] = []

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        read.append(inputs[0])

    heads = [m for m in network.modules() if isinstance(m, _CONVOLUTIONS) and m.out_channels == outputs]
    hooks = [head.register_forward_pre_hook(note) for head in heads]
    try:
        yield read
    finally:
        for hook in hooks:
            hook.remove()
