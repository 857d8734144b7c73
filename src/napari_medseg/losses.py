"""Losses for batches whose samples may lack a tag, a mask or part of a mask.

Every loss is a sum over the samples of a batch divided by the number of samples, so that the gradient of a batch is the
mean of the gradients of its parts: cutting a batch into micro-batches or dealing it out to processes changes nothing
but rounding (and what batch normalisation sees). A sample in which nothing is known contributes zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT


class Annotated(Protocol):
    """What losses read of a batch; see `napari_medseg.training.stage.Batch`."""

    @property
    def labels(self) -> Tensor:
        """int64 (b, [z,] y, x), 255 where nobody looked."""

    @property
    def tags(self) -> Tensor:
        """int64 (b,), `NO_TAG` where there is none."""


Loss = Callable[[Tensor, Annotated], Tensor]


def mask_loss(class_weights: Sequence[float] | None = None, *, dice: float = 1.0) -> Loss:
    """Cross-entropy plus soft Dice on the pixels that somebody looked at, for a network that gives mask logits.

    Parameters
    ----------
    class_weights
        Weight of each class in the cross-entropy, the background first.
    dice
        Weight of the Dice term; the cross-entropy has 1.
    """

    def loss(logits: Tensor, batch: Annotated) -> Tensor:
        return mask_cross_entropy(logits, batch.labels, class_weights) + dice * soft_dice_loss(logits, batch.labels)

    return loss


def tag_loss(class_weights: Sequence[float] | None = None) -> Loss:
    """Cross-entropy on the samples that have a tag, for a network that gives tag logits.

    Parameters
    ----------
    class_weights
        Weight of each tag; with weights whose mean over the training cases is 1 the loss keeps its size.
    """

    def loss(logits: Tensor, batch: Annotated) -> Tensor:
        return tag_cross_entropy(logits, batch.tags, class_weights)

    return loss


def mask_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy per sample over its looked-at pixels, then the mean over samples.

    Parameters
    ----------
    logits
        (b, classes, [z,] y, x), the background first.
    labels
        int64 (b, [z,] y, x), 255 where nobody looked.
    class_weights
        Factor of each class; not normalised away.

    Returns
    -------
    scalar; zero, with a gradient of zero, where nothing is known.
    """
    weights = logits.new_tensor(class_weights, dtype=torch.float32) if class_weights is not None else None
    per_pixel = functional.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=NOT_LOOKED_AT, reduction="none"
    )
    known = (labels != NOT_LOOKED_AT).flatten(1).sum(1)  # (b,)
    return (per_pixel.flatten(1).sum(1) / known.clamp(min=1)).mean()


def soft_dice_loss(logits: Tensor, labels: Tensor, smooth: float = 0.0) -> Tensor:
    """One minus soft Dice (Milletari et al. 2016, arXiv:1606.04797), per sample and class, on looked-at pixels.

    The background is left out. So is a class that a sample does not hold: its Dice is 0 whatever is predicted, and
    the cross-entropy already asks for its absence. Without a cross-entropy `smooth` asks for it.

    Parameters
    ----------
    logits
        (b, classes, [z,] y, x), the background first.
    labels
        int64 (b, [z,] y, x), 255 where nobody looked.
    smooth
        Pixels that are added to hits and to misses alike. Above 0, a class that a sample does not hold counts too
        (where anybody looked): its Dice is 1 where nothing is predicted.

    Returns
    -------
    scalar: the mean over a sample's classes, then over samples; a sample without classes contributes zero.
    """
    known = (labels != NOT_LOOKED_AT).flatten(1)  # (b, pixels)
    flat = labels.flatten(1)
    probabilities = logits.float().softmax(1)[:, 1:].flatten(2) * known.unsqueeze(1)  # (b, classes - 1, pixels)
    classes = torch.arange(1, logits.shape[1], device=labels.device).view(1, -1, 1)
    truth = flat.unsqueeze(1) == classes  # (b, classes - 1, pixels)
    hit = (probabilities * truth).sum(2)  # (b, classes - 1)
    true_pixels = truth.sum(2)
    present = true_pixels > 0
    if smooth > 0:
        present = known.any(1, keepdim=True).expand_as(true_pixels)
    # Without `smooth` the denominator is at least 1 wherever the class is present, and its Dice unused elsewhere.
    least = smooth or 1.0
    score = (2 * hit + smooth) / (probabilities.sum(2) + true_pixels + smooth).clamp(min=least)
    missed = torch.where(present, 1 - score, torch.zeros_like(score))
    return (missed.sum(1) / present.sum(1).clamp(min=1)).mean()


def sigmoid_dice_loss(logits: Tensor, labels: Tensor, *, nested: bool = False, smooth: float = 1.0) -> Tensor:
    """One minus soft Dice of classes that each have a yes-or-no output, per sample and class, on looked-at pixels.

    Parameters
    ----------
    logits
        (b, classes, [z,] y, x), without the background.
    labels
        int64 (b, [z,] y, x): 0 is background, k the k-th class, 255 where nobody looked.
    nested
        Whether every class lies inside the ones before it, whose pixels then are its pixels too (a tumour inside its
        organ).
    smooth
        Pixels that are added to hits and to misses alike, so that a class counts too which a sample does not hold: its
        Dice is 1 where nothing is predicted.

    Returns
    -------
    scalar: the mean over classes, then over samples; a sample in which nobody looked at anything contributes zero.
    """
    known = (labels != NOT_LOOKED_AT).flatten(1).unsqueeze(1)  # (b, 1, pixels)
    truth = _truth_of_classes(labels, logits.shape[1], nested=nested) & known  # (b, classes, pixels)
    probabilities = logits.float().sigmoid().flatten(2) * known
    hit = (probabilities * truth).sum(2)  # (b, classes)
    score = (2 * hit + smooth) / (probabilities.sum(2) + truth.sum(2) + smooth)
    return ((1 - score).mean(1) * known.flatten(1).any(1)).mean()


def sigmoid_cross_entropy(logits: Tensor, labels: Tensor, *, nested: bool = False) -> Tensor:
    """Binary cross-entropy of classes that each have a yes-or-no output, on looked-at pixels.

    Arguments as `sigmoid_dice_loss`; the mean over a sample's pixels and classes, then over samples.
    """
    known = (labels != NOT_LOOKED_AT).flatten(1).unsqueeze(1)  # (b, 1, pixels)
    truth = _truth_of_classes(labels, logits.shape[1], nested=nested) & known
    each = functional.binary_cross_entropy_with_logits(logits.float().flatten(2), truth.float(), reduction="none")
    return ((each * known).sum(2) / known.sum(2).clamp(min=1)).mean()


def _truth_of_classes(labels: Tensor, number: int, *, nested: bool) -> Tensor:
    """Whether each pixel is of each class: bool (b, classes, pixels); 255 counts as the last class where nested."""
    flat = labels.flatten(1).unsqueeze(1)
    classes = torch.arange(1, number + 1, device=labels.device).view(1, -1, 1)
    return flat >= classes if nested else flat == classes


def tag_cross_entropy(logits: Tensor, tags: Tensor, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy of the samples with a tag, divided by the number of all samples.

    Parameters
    ----------
    logits
        (b, tags).
    tags
        int64 (b,), `NO_TAG` where there is none.
    class_weights
        Factor of each tag; not normalised away.
    """
    weights = logits.new_tensor(class_weights, dtype=torch.float32) if class_weights is not None else None
    summed = functional.cross_entropy(logits.float(), tags, weight=weights, ignore_index=NO_TAG, reduction="sum")
    return summed / len(tags)


def tag_focal_loss(
    logits: Tensor, tags: Tensor, gamma: float = 2.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Focal loss: cross-entropy in which a sample counts by ``(1 - p)**gamma``, p being what its tag was given.

    (Lin et al. 2017, arXiv:1708.02002, for several classes.) Arguments and result as `tag_cross_entropy`, which it is
    at ``gamma = 0``.
    """
    known = tags != NO_TAG
    # Any tag does for a sample without one: it is taken out below.
    log_likely = functional.log_softmax(logits.float(), dim=1).gather(1, tags.clamp(min=0)[:, None])[:, 0]
    each = -((1 - log_likely.exp()).clamp(min=0) ** gamma) * log_likely
    if class_weights is not None:
        each = each * each.new_tensor(class_weights)[tags.clamp(min=0)]
    return (each * known).sum() / len(tags)


def hybrid_tag_loss(
    *,
    cross_entropy: float = 1.0,
    focal: float = 1.0,
    gamma: float = 2.0,
    class_weights: Sequence[float] | None = None,
) -> Loss:
    """Weighted sum of cross-entropy and focal loss, for a network that gives tag logits (scheme `thyroid`).

    Parameters
    ----------
    cross_entropy, focal
        Weights of the two.
    gamma
        Of the focal loss: the larger, the less samples count that are already right.
    class_weights
        Weight of each tag in both.
    """

    def loss(logits: Tensor, batch: Annotated) -> Tensor:
        entropy = tag_cross_entropy(logits, batch.tags, class_weights)
        return cross_entropy * entropy + focal * tag_focal_loss(logits, batch.tags, gamma, class_weights)

    return loss


def grade_cross_entropy(logits: Tensor, grades: Tensor, step_weights: Sequence[float] | None = None) -> Tensor:
    """Binary cross-entropy of the steps of an ordered grade: "above the first", "above the second", ...

    (Cheng et al. 2008, arXiv:0704.1028.) The mean over the steps of the samples with a grade, divided by the number of
    all samples.

    Parameters
    ----------
    logits
        (b, grades - 1): output k says how likely the grade lies above grade k.
    grades
        int64 (b,): index of the grade, the lowest 0; `NO_TAG` where there is none.
    step_weights
        Factor of "above" for each step (grades - 1), to make up for steps that few samples are above.
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    above = (grades[:, None] > steps).to(torch.float32)  # (b, grades - 1)
    factors = logits.new_tensor(step_weights, dtype=torch.float32) if step_weights is not None else None
    each = functional.binary_cross_entropy_with_logits(logits.float(), above, pos_weight=factors, reduction="none")
    return (each.mean(1) * (grades != NO_TAG)).sum() / len(grades)
