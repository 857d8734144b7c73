"""Two models on the same cases: by how much one is better than the other, and how sure that is.

Groups (patients, slides, eyes) are drawn with replacement, the same ones for both models, so that what makes a group
easy or difficult cancels out in the difference (paired bootstrap, Efron 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg import metrics
from napari_medseg.inference.evaluation import Judged

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "unclear"]

#: With fewer groups than this, percentile intervals are known to be too narrow.
FEW_GROUPS = 10
#: What the keys of the document mean.
DEFINITIONS = {
    "difference": "figure of the second model minus that of the first, on the same cases",
    "difference_ci": "95 % interval of 2000 paired bootstrap resamples of whole groups; None for a single group",
    "verdict": "better or worse where the interval leaves out 0, else unclear; every interval stands for itself, so of "
    "twenty figures without any difference one looks like one",
    "dice": "from pixel counts pooled over all cases; pixels that nobody looked at do not count",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedClass:
    """A mask class that both models draw: its name, and its place among the classes of each."""

    name: str
    first: int
    second: int


def verdict_of(interval: Sequence[float] | None) -> Verdict:
    """What an interval of a difference says; higher is better.

    Examples
    --------
    >>> verdict_of((0.008, 0.034)), verdict_of((-0.1, 0.2)), verdict_of(None)
    ('better', 'unclear', 'unclear')
    """
    if interval is None or interval[0] <= 0.0 <= interval[1]:
        return "unclear"
    return "better" if interval[0] > 0 else "worse"


def compare_masks(
    first: Sequence[Judged], second: Sequence[Judged], classes: Sequence[SharedClass], seed: int = 0
) -> dict[str, dict[str, Any]] | None:
    """Dice of both models and the difference, per class and for their mean.

    Parameters
    ----------
    first, second
        The same cases in the same order, as each model's predictions were judged.
    classes
        What both draw.
    seed
        Of the bootstrap.

    Returns
    -------
    by class, and for ``"mean"``: ``dice_a, dice_b, difference, difference_ci, verdict, n_cases``; None without masks
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.counts is not None and b.counts is not None]
    if not pairs or not classes:
        return None
    counts = np.stack(
        [
            np.stack(
                [np.asarray(a.counts)[[c.first for c in classes]], np.asarray(b.counts)[[c.second for c in classes]]]
            )
            for a, b in pairs
        ]
    )  # (cases, 2, classes, 3)
    sums = sums_by_group(counts, [a.case.group for a, _ in pairs])

    def dice(values: npt.NDArray[Any]) -> Floats:
        """(n, 2, classes, 3) to (n, 2, classes + 1), the mean last."""
        scores = metrics.counts_to_scores(values)["dice"]
        return np.concatenate([scores, metrics.mean_of_defined(scores)[..., np.newaxis]], axis=-1)

    def difference(values: npt.NDArray[Any]) -> Floats:
        both = dice(values)
        return both[:, 1] - both[:, 0]

    figures = dice(sums.sum(axis=0)[np.newaxis])[0]
    bounds = metrics.bootstrap_interval(sums, difference, seed)
    present = (counts[:, 0, :, 2] > 0).sum(axis=0)
    return {
        name: _entry("dice", figures[:, i], bounds[:, i])
        | {"n_cases": int(present[i]) if i < len(classes) else len(pairs)}
        for i, name in enumerate([*(c.name for c in classes), "mean"])
    }


def compare_tags(
    first: Sequence[Judged], second: Sequence[Judged], tags: Sequence[str], *, graded: bool = False, seed: int = 0
) -> dict[str, Any] | None:
    """AUC, balanced accuracy and the sensitivity of every tag of both models, and the differences.

    Parameters
    ----------
    first, second
        As in `compare_masks`; both models know the same `tags`, in this order.
    graded
        Whether tags are ordered grades, the lowest first: AUC counts the order then.

    Returns
    -------
    ``auc, balanced_accuracy`` and ``per_class`` by tag, with ``*_a, *_b, difference, difference_ci, verdict`` each;
    None without tags
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.tag is not None and b.tag is not None]
    if not pairs:
        return None
    truth = np.array([a.tag for a, _ in pairs])
    probabilities = [np.stack([np.asarray(pair[k].probabilities) for pair in pairs]) for k in range(2)]
    names = sorted({a.case.group for a, _ in pairs})
    index = np.array([names.index(a.case.group) for a, _ in pairs])
    weights = metrics.bootstrap_weights(len(names), seed)[:, index]
    area = metrics.weighted_grade_auc if graded else metrics.weighted_auc
    num_tags = len(tags)

    def compare(key: str, of: Callable[[Floats, npt.NDArray[Any]], Floats]) -> dict[str, Any]:
        """A figure of (cases, tags) probabilities under several weightings of the cases."""
        figures = np.array([of(each, np.ones((1, len(truth))))[0] for each in probabilities])
        bounds = np.full(2, np.nan)
        if len(names) > 1:
            bounds = metrics.percentile_interval(of(probabilities[1], weights) - of(probabilities[0], weights))
        return _entry(key, figures, bounds)

    def of_confusion(key: str, tag: int | None = None) -> Callable[[Floats, npt.NDArray[Any]], Floats]:
        def find(each: Floats, w: npt.NDArray[Any]) -> Floats:
            chosen = each.argmax(axis=1)
            single = np.stack([metrics.tag_confusion([t], [p], num_tags) for t, p in zip(truth, chosen, strict=True)])
            scores = metrics.confusion_to_scores(np.tensordot(w.astype(np.float64), single, axes=1))[key]
            return scores if tag is None else scores[:, tag]

        return find

    return {
        "n_cases": len(pairs),
        "auc": compare("auc", lambda each, w: area(truth, each, w)),
        "balanced_accuracy": compare("balanced_accuracy", of_confusion("balanced_accuracy")),
        "per_class": {
            tag: compare("sensitivity", of_confusion("sensitivity", i)) | {"n_cases": int((truth == i).sum())}
            for i, tag in enumerate(tags)
        },
    }


def sums_by_group(values: npt.NDArray[Any], groups: Sequence[str]) -> npt.NDArray[Any]:
    """Values per case (n, ...) summed per group: (groups, ...), in the order of the groups' names."""
    names = sorted(set(groups))
    sums = np.zeros((len(names), *values.shape[1:]), dtype=values.dtype)
    np.add.at(sums, [names.index(group) for group in groups], values)
    return sums


def _entry(key: str, figures: Floats, bounds: Floats) -> dict[str, Any]:
    interval = None if np.isnan(bounds).any() else [float(bounds[0]), float(bounds[1])]
    first, second = (None if np.isnan(value) else float(value) for value in figures)
    return {
        f"{key}_a": first,
        f"{key}_b": second,
        "difference": None if first is None or second is None else second - first,
        "difference_ci": interval,
        "verdict": verdict_of(interval),
    }
