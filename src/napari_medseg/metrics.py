"""Figures that compare predictions with the truth: arrays in, numbers out.

What is not defined is NaN, never 0 or 1: Dice, IoU and recall of a class that the truth does not hold, precision of a
class that was never predicted, AUC without both sides. Means leave NaN out.

Counts are additive over images, so everything made of counts is computed from sums: pooled figures, and bootstrap
intervals, whose resamples are weighted sums.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import NOT_LOOKED_AT

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Pixels that are counted at a time.
_BLOCK = 2**22


def confusion(truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], ignore: int = NOT_LOOKED_AT) -> Counts:
    """How often each pair of true and predicted value occurs.

    Parameters
    ----------
    truth, predicted
        uint8 labels of the same shape.
    ignore
        Pixels of this true value do not count.

    Returns
    -------
    int64 array (256, 256): rows are true values, columns predicted ones
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"labels of shape {predicted.shape} cannot be compared with a truth of shape {truth.shape}")
    pairs = np.zeros(2**16, dtype=np.int64)
    flat_truth, flat_predicted = truth.reshape(-1), predicted.reshape(-1)
    for start in range(0, flat_truth.size, _BLOCK):
        high = flat_truth[start : start + _BLOCK].astype(np.uint16) << 8
        pairs += np.bincount(high | flat_predicted[start : start + _BLOCK], minlength=2**16)
    matrix = pairs.reshape(256, 256)
    matrix[ignore] = 0
    return matrix


def class_counts(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    values: Sequence[int],
    ignore: int = NOT_LOOKED_AT,
) -> Counts:
    """Pixels per class that are right, predicted and true.

    Parameters
    ----------
    truth, predicted, ignore
        As `confusion`.
    values
        Label values of the classes.

    Returns
    -------
    int64 array (classes, 3): hit, predicted, true
    """
    matrix = confusion(truth, predicted, ignore)
    chosen = list(values)
    hit = matrix[chosen, chosen]
    return np.stack([hit, matrix.sum(axis=0)[chosen], matrix.sum(axis=1)[chosen]], axis=1)


def counts_to_scores(counts: npt.ArrayLike) -> dict[str, Floats]:
    """Dice, IoU, precision and recall from counts.

    Parameters
    ----------
    counts
        (..., 3): hit, predicted, true, as `class_counts` gives them, or sums of those.

    Returns
    -------
    ``dice``, ``iou``, ``precision``, ``recall``: arrays (...)
    """
    hit, predicted, true = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    present = true > 0
    return {
        "dice": _ratio(2 * hit, predicted + true, present),
        "iou": _ratio(hit, predicted + true - hit, present),
        "precision": _ratio(hit, predicted, predicted > 0),
        "recall": _ratio(hit, true, present),
    }


def _ratio(numerator: Floats, denominator: Floats, defined: Any) -> Floats:
    """Quotient where `defined` (boolean, of the same shape), NaN elsewhere."""
    out: Floats = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=defined)
    return out


def tag_confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, num_tags: int) -> Counts:
    """How often each pair of true and predicted tag index occurs: int64 (num_tags, num_tags), rows true."""
    flat = np.bincount(np.asarray(truth) * num_tags + np.asarray(predicted), minlength=num_tags**2)
    return flat.reshape(num_tags, num_tags).astype(np.int64)


def confusion_to_scores(matrix: npt.ArrayLike) -> dict[str, Floats]:
    """Figures of a classifier from its confusion.

    Parameters
    ----------
    matrix
        (..., tags, tags) counts, rows true.

    Returns
    -------
    ``accuracy``, ``balanced_accuracy`` (mean sensitivity of the tags that occur), ``macro_f1`` (mean over the tags that
    occur or were predicted): arrays (...); ``sensitivity``, ``precision``: arrays (..., tags)
    """
    counts = np.asarray(matrix, dtype=np.float64)
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted, total = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    sensitivity = _ratio(hit, true, true > 0)
    return {
        "accuracy": _ratio(hit.sum(axis=-1), total, total > 0),
        "balanced_accuracy": mean_of_defined(sensitivity),
        "macro_f1": mean_of_defined(_ratio(2 * hit, true + predicted, true + predicted > 0)),
        "sensitivity": sensitivity,
        "precision": _ratio(hit, predicted, predicted > 0),
    }


def mean_of_defined(values: npt.ArrayLike) -> Floats:
    """Mean over the last axis without NaN; NaN where nothing is left."""
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    return _ratio(np.where(known, array, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64), known.any(axis=-1))


def balanced_accuracy(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """Mean sensitivity of the tags that occur in the truth (tag indices, shape (n,))."""
    num_tags = int(max(np.max(truth), np.max(predicted))) + 1
    return float(confusion_to_scores(tag_confusion(truth, predicted, num_tags))["balanced_accuracy"])


def auc(truth: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> float:
    """Area under the ROC curve; see `weighted_auc`."""
    return float(weighted_auc(truth, probabilities, np.ones((1, len(truth))))[0])


def weighted_auc(truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Floats:
    """Area under the ROC curve for several weightings of the cases at once.

    It is the probability that a case with the tag gets a higher value than one without; ties count half (Mann-Whitney).
    With two tags the second is the positive one; with more, the mean of one-versus-rest over the tags that have both
    sides.

    Parameters
    ----------
    truth
        Tag indices (n,).
    probabilities
        (n, tags)
    weights
        (resamples, n): how often each case counts.

    Returns
    -------
    array (resamples,)
    """
    num_tags = probabilities.shape[1]
    positives = [1] if num_tags == 2 else range(num_tags)
    areas = [binary_auc(truth == tag, probabilities[:, tag], weights) for tag in positives]
    return mean_of_defined(np.stack(areas, axis=-1))


def binary_auc(positive: npt.NDArray[np.bool_], scores: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Floats:
    """Area under the ROC curve of one yes-or-no question for several weightings of the cases; see `weighted_auc`.

    Parameters
    ----------
    positive, scores
        (n,) truth, and how likely it was called.
    weights
        (resamples, n)

    Returns
    -------
    array (resamples,); NaN where all cases are of one side
    """
    order = np.argsort(scores, kind="stable")
    ranked = np.asarray(weights, dtype=np.float64)[:, order]
    steps = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    with_tag = np.add.reduceat(ranked * positive[order], steps, axis=1)
    without = np.add.reduceat(ranked * ~positive[order], steps, axis=1)
    below = np.cumsum(without, axis=1) - without
    pairs = with_tag.sum(axis=1) * without.sum(axis=1)
    return _ratio((with_tag * (below + 0.5 * without)).sum(axis=1), pairs, pairs > 0)


def weighted_calibration_error(
    confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_], weights: npt.NDArray[Any], bins: int = 10
) -> Floats:
    """Expected calibration error (Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602), several weightings at once.

    Cases are put into bins of equal width by the probability of their answer; it is the mean distance between how sure
    the answers of a bin were and how many of them were right, every bin counting by its cases.

    Parameters
    ----------
    confidence
        (n,) probability of each answer, 0..1.
    right
        (n,) whether it was right.
    weights
        (resamples, n): how often each case counts.
    bins
        Number of bins.

    Returns
    -------
    array (resamples,)
    """
    number = np.clip(np.ceil(np.asarray(confidence) * bins) - 1, 0, bins - 1)
    of_bin = number[:, np.newaxis] == np.arange(bins)
    gaps = np.asarray(weights, np.float64) @ (of_bin * (right.astype(np.float64) - confidence)[:, np.newaxis])
    total = np.asarray(weights, np.float64).sum(axis=1)
    return _ratio(np.abs(gaps).sum(axis=1), total, total > 0)


def bootstrap_weights(num_groups: int, seed: int, n: int = 2000) -> Counts:
    """How often each group is drawn in each of `n` resamples with replacement: (n, num_groups)."""
    even = np.full(num_groups, 1.0 / num_groups)
    return np.random.default_rng(seed).multinomial(num_groups, even, size=n).astype(np.int64)


def percentile_interval(values: Floats) -> Floats:
    """The 2.5th and 97.5th percentile over the first axis, without NaN: (2, ...); NaN where nothing is defined."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.asarray(np.nanpercentile(values, [2.5, 97.5], axis=0), dtype=np.float64)


def bootstrap_interval(
    sums_by_group: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], Floats],
    seed: int,
    n: int = 2000,
) -> Floats:
    """95 % percentile interval of a figure made of additive counts, resampling whole groups (Efron 1979).

    Cases of one group (patient, slide) resemble each other; drawing cases alone would give intervals too narrow.

    Parameters
    ----------
    sums_by_group
        (groups, ...): what each group adds to the counts.
    statistic
        Maps sums (n, ...) to values (n, ...).
    seed, n
        Of the resampling.

    Returns
    -------
    array (2, ...): lower and upper bound; NaN with fewer than two groups, which say nothing of the spread
    """
    sums = np.asarray(sums_by_group, dtype=np.float64)
    resampled = np.tensordot(bootstrap_weights(len(sums), seed, n).astype(np.float64), sums, axes=1)
    interval = percentile_interval(statistic(resampled))
    return interval if len(sums) > 1 else np.full_like(interval, np.nan)


def weighted_kappa(matrix: npt.ArrayLike) -> Floats:
    """Agreement on ordered grades beyond chance, disagreement weighted by its square (Cohen 1968).

    Parameters
    ----------
    matrix
        (..., grades, grades) counts, rows true, the lowest grade first.

    Returns
    -------
    array (...); NaN where all cases have one grade and all were given the same
    """
    counts = np.asarray(matrix, dtype=np.float64)
    grade = np.arange(counts.shape[-1])
    weights = (grade[:, np.newaxis] - grade) ** 2
    true, predicted, total = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    chance = (weights * true[..., :, np.newaxis] * predicted[..., np.newaxis, :]).sum(axis=(-2, -1))
    # Both sides by the number of cases: found / total against chance / total**2.
    return 1.0 - _ratio((weights * counts).sum(axis=(-2, -1)) * total, chance, chance > 0)


def weighted_grade_auc(truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Floats:
    """Area under the ROC curve of "above grade k", mean over the steps k that have cases on both sides.

    With two grades this is the area of the upper one; see `weighted_auc` for arguments and result.
    """
    above = probabilities[:, ::-1].cumsum(axis=1)[:, ::-1]
    areas = [binary_auc(truth >= grade, above[:, grade], weights) for grade in range(1, probabilities.shape[1])]
    return mean_of_defined(np.stack(areas, axis=-1))
