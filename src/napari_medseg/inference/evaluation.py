"""The ``evaluate`` document: predictions on whole images against what people drew and said."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg import metrics
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Image, MaskClass, Prediction, Progress, TrainingCase

#: What the keys of the document mean.
DEFINITIONS = {
    "dice": "from pixel counts pooled over all cases; pixels that nobody looked at do not count",
    "iou": "pooled, as dice",
    "dice_per_case": "mean of the Dice of single cases, over the cases whose truth holds the class",
    "ci": "95 % interval of 2000 bootstrap resamples of whole groups",
    "auc": "the second tag against the first; with more tags the mean of one against the rest",
}
_POOLED = ("dice", "iou", "precision", "recall")


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one case adds: counts (classes, 3) or None, tag index or None, probabilities (tags,) or None."""

    case: TrainingCase
    counts: npt.NDArray[np.int64] | None
    tag: int | None
    probabilities: npt.NDArray[np.float64] | None


def evaluate_cases(
    predict_case: Callable[[Image], Prediction],
    cases: Sequence[TrainingCase],
    *,
    classes: Sequence[MaskClass],
    tags: Sequence[str],
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict every case that has a mask or a tag, and compare.

    Parameters
    ----------
    predict_case
        Predicts one whole image.
    cases
        Cases of one split.
    classes, tags
        What the model knows, as in its card.
    seed
        Of the bootstrap.
    progress
        Called with (cases done, cases, name) after every case.

    Returns
    -------
    JSON-able ``n_cases``, ``n_groups``, ``segmentation``, ``classification`` (None where there is nothing to compare),
    ``per_case``, ``definitions``. Undefined figures are None.

    Raises
    ------
    DatasetError
        There is nothing to compare, or a case has a tag that the model does not know.
    """
    useful = [c for c in cases if (c.has_mask and classes) or (c.tag is not None and tags)]
    if not useful:
        raise DatasetError("No case of this split has a mask or tag to compare the model with: label some.")
    judged = []
    for case in useful:
        judged.append(_judge(predict_case, case, classes, tags))
        if progress is not None:
            progress(len(judged), len(useful), case.case)
    document = {
        "n_cases": len(judged),
        "n_groups": len({each.case.group for each in judged}),
        "segmentation": _segmentation([each for each in judged if each.counts is not None], classes, seed),
        "classification": _classification([each for each in judged if each.tag is not None], tags, seed),
        "per_case": [_row(each, classes, tags) for each in judged],
        "definitions": DEFINITIONS,
    }
    return dict(_plain(document))


def _judge(
    predict_case: Callable[[Image], Prediction], case: TrainingCase, classes: Sequence[MaskClass], tags: Sequence[str]
) -> _Judged:
    if case.tag is not None and tags and case.tag not in tags:
        raise DatasetError(
            f"Case '{case.case}' has the tag '{case.tag}', but the model knows only {', '.join(tags)}: use a model "
            "trained with it, or correct the tag."
        )
    prediction = predict_case(case.load_image())
    counts, tag, probabilities = None, None, None
    truth = case.load_labels() if case.has_mask and classes else None
    if truth is not None:
        counts = metrics.class_counts(truth, np.asarray(prediction.labels), [c.value for c in classes])
    if case.tag is not None and prediction.tag is not None:
        tag = tags.index(case.tag)
        probabilities = np.array([prediction.tag.probabilities[name] for name in tags])
    return _Judged(case, counts, tag, probabilities)


def _group_sums(judged: Sequence[_Judged], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values per case (n, ...) summed per group: (groups, ...)."""
    names = sorted({each.case.group for each in judged})
    index = [names.index(each.case.group) for each in judged]
    sums = np.zeros((len(names), *values.shape[1:]), dtype=values.dtype)
    np.add.at(sums, index, values)
    return sums


def _segmentation(judged: Sequence[_Judged], classes: Sequence[MaskClass], seed: int) -> dict[str, Any] | None:
    if not judged:
        return None
    counts = np.stack([each.counts for each in judged if each.counts is not None])
    sums = _group_sums(judged, counts)

    def pooled(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, classes, 3) to (n, figures, classes + 1), the mean last."""
        scores = metrics.counts_to_scores(values)
        figures = np.stack([scores[key] for key in _POOLED], axis=1)
        return np.concatenate([figures, metrics.mean_of_defined(figures)[..., np.newaxis]], axis=-1)

    def mean_per_case(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, classes, 2) sums and numbers of Dice to means (n, classes + 1), the mean last."""
        total, number = values[..., 0], values[..., 1]
        means = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
        return np.concatenate([means, metrics.mean_of_defined(means)[..., np.newaxis]], axis=-1)

    dice = metrics.counts_to_scores(counts)["dice"]
    parts = np.stack([np.nan_to_num(dice), ~np.isnan(dice)], axis=-1)
    figures, bounds = pooled(counts.sum(axis=0)[np.newaxis])[0], metrics.bootstrap_interval(sums, pooled, seed)
    single = mean_per_case(parts.sum(axis=0)[np.newaxis])[0]
    single_bounds = metrics.bootstrap_interval(_group_sums(judged, parts), mean_per_case, seed)
    document = {}
    for i, name in enumerate([*(c.name for c in classes), "mean"]):
        entry: dict[str, Any] = {}
        for k, key in enumerate(_POOLED):
            entry |= {key: figures[k, i], f"{key}_ci": _interval(bounds[:, k, i])}
        entry |= {"dice_per_case": single[i], "dice_per_case_ci": _interval(single_bounds[:, i])}
        document[name] = entry | {"n_cases": int(parts[:, i, 1].sum()) if i < len(classes) else len(judged)}
    return document


def _classification(judged: Sequence[_Judged], tags: Sequence[str], seed: int) -> dict[str, Any] | None:
    if not judged:
        return None
    truth = np.array([each.tag for each in judged])
    probabilities = np.stack([each.probabilities for each in judged if each.probabilities is not None])
    chosen = probabilities.argmax(axis=1)
    single = np.stack([metrics.tag_confusion([t], [p], len(tags)) for t, p in zip(truth, chosen, strict=True)])
    sums = _group_sums(judged, single)
    figures = metrics.confusion_to_scores(single.sum(axis=0))
    document: dict[str, Any] = {
        "n_cases": len(judged),
        "auc": metrics.auc(truth, probabilities),
        "auc_ci": _auc_interval(judged, truth, probabilities, seed),
    }
    bounds = {
        key: metrics.bootstrap_interval(sums, lambda m, key=key: metrics.confusion_to_scores(m)[key], seed)  # type: ignore[misc]
        for key in figures
    }
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        document |= {key: figures[key], f"{key}_ci": _interval(bounds[key])}
    document["per_class"] = {
        tag: {
            "sensitivity": figures["sensitivity"][i],
            "sensitivity_ci": _interval(bounds["sensitivity"][:, i]),
            "precision": figures["precision"][i],
            "precision_ci": _interval(bounds["precision"][:, i]),
            "n_cases": int((truth == i).sum()),
        }
        for i, tag in enumerate(tags)
    }
    document["confusion"] = single.sum(axis=0).tolist()
    return document


def _auc_interval(
    judged: Sequence[_Judged], truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], seed: int
) -> list[float] | None:
    names = sorted({each.case.group for each in judged})
    if len(names) < 2:
        return None
    index = [names.index(each.case.group) for each in judged]
    weights = metrics.bootstrap_weights(len(names), seed)[:, index]
    return _interval(metrics.percentile_interval(metrics.weighted_auc(truth, probabilities, weights)))


def _interval(bounds: npt.NDArray[Any]) -> list[float] | None:
    return None if np.isnan(bounds).any() else [float(bounds[0]), float(bounds[1])]


def _row(judged: _Judged, classes: Sequence[MaskClass], tags: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"case": judged.case.case, "group": judged.case.group, "source": judged.case.source}
    if judged.counts is not None:
        dice = metrics.counts_to_scores(judged.counts)["dice"]
        row["dice"] = {c.name: value for c, value in zip(classes, dice, strict=True)}
    if judged.probabilities is not None:
        row["tag"] = judged.case.tag
        row["probabilities"] = dict(zip(tags, judged.probabilities, strict=True))
    return row


def _plain(value: Any) -> Any:
    """JSON's own types, with None for NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.floating, np.ndarray, float)):
        number = float(value)
        return None if math.isnan(number) else number
    return value
