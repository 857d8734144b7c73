"""From the logits of an ordered grade to its probabilities, and to the places in the image that decided it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-6


def grade_log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logarithms of the probabilities of K grades from the logits of their K - 1 steps.

    Parameters
    ----------
    logits
        (b, grades - 1): output k says how likely the grade lies above grade k. Nothing makes the network say that
        "above the second" is less likely than "above the first", so each step is held down by those before it.
    temperature
        Divides the logits.

    Returns
    -------
    (b, grades), whose exponentials sum to 1
    """
    above = torch.sigmoid(logits.float() / temperature).cummin(dim=1).values
    sure = torch.ones_like(above[:, :1])
    steps = torch.cat([sure, above, torch.zeros_like(sure)], dim=1)
    shares = (steps[:, :-1] - steps[:, 1:]).clamp(min=_LEAST)
    return torch.log(shares / shares.sum(dim=1, keepdim=True))


def attention_of_grade(network: Any, temperature: float) -> Callable[[Tensor], Tensor]:
    """A function from images (b, c, [z,] y, x) to maps (b, [z,] y, x) in 0..1 of what the likeliest grade comes from.

    Layer-CAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943): every residual unit's map is weighted, place by place,
    by the positive part of the gradient of that grade's score, and summed over its channels. The score is the sum of
    the logits of the steps, those that the grade lies above counting as they are and the others the other way round:
    unlike its probability it still changes where the network is sure. The deepest map
    tells most of the grade and least of the place (it has two slices at best): the finer ones, each scaled to a largest
    value of 1, are averaged at the image's size and weighted by it.

    Parameters
    ----------
    network
        Module with an `encoder` and a `head`, as in `napari_medseg.models.residual`.
    """

    def attend(images: Tensor) -> Tensor:
        size, mode = images.shape[2:], "trilinear" if images.ndim == 5 else "bilinear"
        with torch.inference_mode(False), torch.enable_grad():
            # What came out of inference mode takes no part in a graph; a copy does.
            maps = network.encoder(images.clone().requires_grad_(True))
            logits = network.head(maps[-1])
            grades = grade_log_probabilities(logits, temperature).argmax(dim=1, keepdim=True)
            sides = torch.where(torch.arange(logits.shape[1], device=logits.device) < grades, 1.0, -1.0)
            gradients = torch.autograd.grad((sides * logits.float()).sum(), maps[1:])
        levels = []
        for values, gradient in zip(maps[1:], gradients, strict=True):
            weighted = (values.detach() * gradient.clamp(min=0)).sum(dim=1, keepdim=True).clamp(min=0)
            levels.append(functional.interpolate(_to_one(weighted), size=size, mode=mode, align_corners=False))
        *finer, deepest = levels
        return _to_one(torch.stack(finer).mean(dim=0) * deepest)[:, 0]

    return attend


def _to_one(maps: Tensor) -> Tensor:
    """Maps (b, 1, ...) divided by their largest value; zeros stay."""
    largest = maps.flatten(1).amax(dim=1).clamp(min=1e-12)
    return maps / largest.reshape(-1, *(1,) * (maps.ndim - 1))
