"""Which places of an image decided what a network says of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def layer_cam(
    maps_of: Callable[[Tensor], Sequence[Tensor]], score_of: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """A function from images (b, c, [z,] y, x) to maps (b, [z,] y, x) in 0..1 of what a score comes from.

    Layer-CAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943): every layer's map is weighted, place by place, by the
    positive part of the score's gradient, and summed over its channels. The deepest map tells most of the score and
    least of the place: the finer ones, each scaled to a largest value of 1, are averaged at the image's size and
    weighted by it.

    Parameters
    ----------
    maps_of
        Layers of images, (b, channels, [z,] y, x) each, at least two, the deepest last.
    score_of
        What is explained, a tensor of any shape whose sum counts, from the deepest of them.
    """

    def attend(images: Tensor) -> Tensor:
        size, mode = images.shape[2:], "trilinear" if images.ndim == 5 else "bilinear"
        with torch.inference_mode(False), torch.enable_grad():
            # What came out of inference mode takes no part in a graph; a copy does.
            maps = maps_of(images.clone().requires_grad_(True))
            gradients = torch.autograd.grad(score_of(maps[-1]).sum(), list(maps))
        levels = []
        for values, gradient in zip(maps, gradients, strict=True):
            weighted = (values.detach() * gradient.clamp(min=0)).sum(dim=1, keepdim=True).clamp(min=0)
            levels.append(functional.interpolate(_to_one(weighted), size=size, mode=mode, align_corners=False))
        *finer, deepest = levels
        return _to_one(torch.stack(finer).mean(dim=0) * deepest)[:, 0]

    return attend


def _to_one(maps: Tensor) -> Tensor:
    """Maps (b, 1, ...) divided by their largest value; zeros stay."""
    largest = maps.flatten(1).amax(dim=1).clamp(min=1e-12)
    return maps / largest.reshape(-1, *(1,) * (maps.ndim - 1))
