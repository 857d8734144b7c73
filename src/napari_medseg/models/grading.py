"""From the logits of an ordered grade to its probabilities, and to the places in the image that decided it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from napari_medseg.models.attention import layer_cam

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
    each = torch.sigmoid(logits.float() / temperature)
    # A running minimum; torch's own has no counterpart in exported graphs.
    above = torch.stack(list(accumulate(each.unbind(dim=1), torch.minimum)), dim=1)
    sure = torch.ones_like(above[:, :1])
    steps = torch.cat([sure, above, torch.zeros_like(sure)], dim=1)
    shares = (steps[:, :-1] - steps[:, 1:]).clamp(min=_LEAST)
    return torch.log(shares / shares.sum(dim=1, keepdim=True))


def attention_of_grade(network: Any, temperature: float) -> Callable[[Tensor], Tensor]:
    """A function from images (b, c, [z,] y, x) to maps (b, [z,] y, x) in 0..1 of what the likeliest grade comes from.

    See `napari_medseg.models.attention.layer_cam`. The score is the sum of the logits of the steps, those that the
    grade lies above counting as they are and the others the other way round: unlike the grade's probability it still
    changes where the network is sure.

    Parameters
    ----------
    network
        Module with an `encoder` and a `head`, as in `napari_medseg.models.residual`.
    """

    def score_of(deepest: Tensor) -> Tensor:
        logits: Tensor = network.head(deepest)
        grades = grade_log_probabilities(logits, temperature).argmax(dim=1, keepdim=True)
        sides = torch.where(torch.arange(logits.shape[1], device=logits.device) < grades, 1.0, -1.0)
        return sides * logits.float()

    # The finest map, at the image's size, tells of edges alone.
    return layer_cam(lambda images: network.encoder(images)[1:], score_of)
