"""Figures of tags and grades for the ``evaluate`` document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg import metrics

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagJudgements:
    """What a classifier said of cases whose tag is known.

    Parameters
    ----------
    truth
        (n,) tag indices.
    probabilities
        (n, tags)
    groups
        (n,) group of every case.
    sure
        (n,) whether the answer was called sure; None where the model does not say.
    """

    truth: npt.NDArray[np.int64]
    probabilities: Floats
    groups: Sequence[str]
    sure: npt.NDArray[np.bool_] | None = None


def tag_figures(judged: TagJudgements, tags: Sequence[str], seed: int, *, graded: bool = False) -> dict[str, Any]:
    """Figures with 95 % intervals over resampled groups.

    Parameters
    ----------
    tags
        Names in the order of the probabilities.
    graded
        Whether they are ordered grades, the lowest first: AUC and agreement count the order then.

    Returns
    -------
    ``n_cases, auc, accuracy, balanced_accuracy, macro_f1, calibration_error`` (with ``_ci`` each), for grades
    ``kappa``, where the model calls answers sure ``sure``, ``per_class`` (sensitivity, precision, one against the
    rest AUC) and ``confusion`` (rows true); NaN where a figure is not defined, None for an interval of one group
    """
    names = sorted(set(judged.groups))
    index = np.array([names.index(group) for group in judged.groups])
    # The same resamples for all figures; one group says nothing of the spread.
    weights = metrics.bootstrap_weights(len(names), seed)[:, index] if len(names) > 1 else None
    chosen = judged.probabilities.argmax(axis=1)
    single = np.stack([metrics.tag_confusion([t], [p], len(tags)) for t, p in zip(judged.truth, chosen, strict=True)])

    def figure(name: str, of: Callable[[npt.NDArray[Any]], Floats]) -> dict[str, Any]:
        """A figure of weighted cases, (resamples, n) to (resamples,), with its interval."""
        value = float(of(np.ones((1, len(judged.truth))))[0])
        return {name: value, f"{name}_ci": None if weights is None else _interval(of(weights))}

    def matrices(w: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.tensordot(w.astype(np.float64), single, axes=1))

    def of_counts(key: str, tag: int | None = None) -> Callable[[npt.NDArray[Any]], Floats]:
        def find(w: npt.NDArray[Any]) -> Floats:
            scores = metrics.confusion_to_scores(matrices(w))[key]
            return scores if tag is None else scores[:, tag]

        return find

    def area_of(tag: int) -> Callable[[npt.NDArray[Any]], Floats]:
        return lambda w: metrics.binary_auc(judged.truth == tag, judged.probabilities[:, tag], w)

    area = metrics.weighted_grade_auc if graded else metrics.weighted_auc
    right = chosen == judged.truth
    document: dict[str, Any] = {
        "n_cases": len(judged.truth),
        **figure("auc", lambda w: area(judged.truth, judged.probabilities, w)),
    }
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        document |= figure(key, of_counts(key))
    confidence = judged.probabilities.max(axis=1)
    document |= figure("calibration_error", lambda w: metrics.weighted_calibration_error(confidence, right, w))
    if graded:
        document |= figure("kappa", lambda w: metrics.weighted_kappa(matrices(w)))
    if judged.sure is not None:
        document["sure"] = {
            "share": float(judged.sure.mean()),
            "accuracy": float(right[judged.sure].mean()) if judged.sure.any() else float("nan"),
        }
    document["per_class"] = {
        tag: {
            **figure("sensitivity", of_counts("sensitivity", i)),
            **figure("precision", of_counts("precision", i)),
            **figure("auc", area_of(i)),
            "n_cases": int((judged.truth == i).sum()),
        }
        for i, tag in enumerate(tags)
    }
    document["confusion"] = single.sum(axis=0).tolist()
    return document


def _interval(values: Floats) -> list[float] | None:
    low, high = metrics.percentile_interval(values)
    return None if np.isnan([low, high]).any() else [float(low), float(high)]
