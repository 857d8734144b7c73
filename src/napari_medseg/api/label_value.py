"""What a tag and what a contour cost and bring, by the user's own history and trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.work_log import work_records
from napari_medseg.errors import MedsegError
from napari_medseg.io.model_file import ModelCard, read_card

Kind = Literal["contour", "tag"]

#: Fewest labels whose times are believed, and fewest trainings with different numbers of labels that make a curve.
FEWEST_TIMES, FEWEST_TRAININGS = 5, 4
#: What a contour, and what a tag is scored by, the best figure first.
_FIGURES: dict[Kind, tuple[str, ...]] = {"contour": ("dice", "iou"), "tag": ("auc", "balanced accuracy", "accuracy")}
_NAMES: dict[Kind, str] = {"contour": "contour", "tag": "tag"}
#: The gain is told for so many minutes of labelling.
_MINUTES = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Score against the logarithm (base 2) of the number of labels: what doubling them brought, with its interval.

    Parameters
    ----------
    slope, low, high
        Gain per doubling, and its 95 % interval (Student's t over the trainings).
    labels
        Number of labels of the latest training.
    points
        Number of trainings.
    """

    slope: float
    low: float
    high: float
    labels: int
    points: int


def fit_curve(labels: Sequence[int], scores: Sequence[float]) -> LearningCurve | None:
    """A straight line through scores over the logarithm of the number of labels.

    Returns
    -------
    None with fewer than `FEWEST_TRAININGS` trainings, or all with the same number of labels.
    """
    if len(labels) < FEWEST_TRAININGS or len(set(labels)) < 3:
        return None
    from scipy import stats

    line = stats.linregress(np.log2(labels), scores)
    width = float(stats.t.ppf(0.975, len(labels) - 2)) * float(line.stderr)
    slope = float(line.slope)
    return LearningCurve(slope=slope, low=slope - width, high=slope + width, labels=labels[-1], points=len(labels))


def label_advice(dataset: Dataset) -> dict[str, Any]:
    """What each kind of label costs and may bring next, and which to make.

    Returns
    -------
    ``kinds`` {``contour``, ``tag``: ``seconds`` (median of a person's work on one; None with too few), ``timed``,
    ``labels, trainings, gain, gain_ci`` (of `_MINUTES` minutes of labelling), ``sentence``}, ``sentence``
    """
    kinds: dict[str, Any] = {}
    cards = _cards(dataset)
    for kind in ("contour", "tag"):
        if (kind == "contour" and dataset.info.classes) or (
            kind == "tag" and (dataset.info.tags or dataset.info.grades)
        ):
            kinds[kind] = _entry(kind, _seconds(dataset, kind), cards)
    return {"kinds": kinds, "sentence": _advice(kinds)}


def _seconds(dataset: Dataset, kind: Kind) -> list[float]:
    """Seconds of active work on every case that was finished with a label of a kind, all visits together."""
    wanted = "labels" if kind == "contour" else "tag"
    spent: dict[str, float] = {}
    finished: dict[str, str] = {}
    for record in work_records(dataset):
        spent[record.case] = spent.get(record.case, 0.0) + record.seconds
        if record.finished is not None:
            finished[record.case] = record.finished.kind
    return [seconds for case, seconds in spent.items() if finished.get(case) == wanted]


def _cards(dataset: Dataset) -> list[ModelCard]:
    """Cards of the finished runs, the oldest first; a file that cannot be read is no training to learn from."""
    cards = []
    for path in sorted((dataset.path / "runs").glob("*/model.safetensors"), key=lambda path: path.stat().st_mtime):
        try:
            cards.append(read_card(path))
        except MedsegError:
            continue
    return cards


def _entry(kind: Kind, seconds: Sequence[float], cards: Sequence[ModelCard]) -> dict[str, Any]:
    points = [point for card in cards if (point := _point(kind, card)) is not None]
    curve = fit_curve([labels for labels, _ in points], [score for _, score in points])
    cost = float(np.median(seconds)) if len(seconds) >= FEWEST_TIMES else None
    entry: dict[str, Any] = {
        "seconds": cost,
        "timed": len(seconds),
        "labels": points[-1][0] if points else 0,
        "trainings": len(points),
        "gain": None,
        "gain_ci": None,
    }
    if curve is not None and cost:
        doublings = float(np.log2(1.0 + _MINUTES * 60.0 / cost / curve.labels))
        entry |= {"gain": doublings * curve.slope, "gain_ci": [doublings * curve.low, doublings * curve.high]}
    return entry | {"sentence": _sentence(kind, entry)}


def _point(kind: Kind, card: ModelCard) -> tuple[int, float] | None:
    """Labels of a kind that a training learned from, and its score for them; None where it has not both."""
    counts = card.training.cases.get("train", {})
    labels = counts.get("masks", 0) if kind == "contour" else max(counts.get("tags", 0), counts.get("grades", 0))
    scores = {name.replace("_", " "): value for name, value in card.training.scores.items() if value is not None}
    for figure in _FIGURES[kind]:
        named = [name for name in scores if figure in name]
        if named and labels:
            # The last stage's, and of its classes the mean where there is one.
            name = next((each for each in reversed(named) if "mean" in each), named[-1])
            return labels, float(scores[name])
    return None


def _sentence(kind: Kind, entry: dict[str, Any]) -> str:
    name = _NAMES[kind]
    cost = f"A {name} takes {_duration(entry['seconds'])}" if entry["seconds"] else ""
    if not cost:
        return f"Not enough data to say what a {name} costs: {entry['timed']} were timed, {FEWEST_TIMES} are needed."
    if entry["gain"] is None:
        return (
            f"{cost}; not enough data to say what it brings: {entry['trainings']} trainings scored it, "
            f"{FEWEST_TRAININGS} with different numbers of labels are needed."
        )
    low, high = entry["gain_ci"]
    gain = f"{_MINUTES:.0f} minutes of them: {entry['gain']:+.3f} [{low:+.3f}, {high:+.3f}]"
    doubt = "" if low > 0 else "; whether they help cannot be told yet"
    return f"{cost}; expected of {gain} ({entry['trainings']} trainings){doubt}."


def _advice(kinds: dict[str, Any]) -> str:
    """One sentence: which kind, where both are known well enough to compare; else that they are not."""
    known = {kind: entry for kind, entry in kinds.items() if entry["gain_ci"] is not None and entry["gain_ci"][0] > 0}
    if len(kinds) < 2:
        return " ".join(entry["sentence"] for entry in kinds.values())
    if len(known) == 1:
        (kind,) = known
        return f"Make {kind}s: only of these it is known that they help."
    if not known:
        return "Not enough data to say which kind of label brings more."
    # The two are scored by different figures; what can be compared is which is further from its end per minute.
    best = max(known, key=lambda kind: known[kind]["gain"])
    other = next(kind for kind in known if kind != best)
    if known[best]["gain_ci"][0] > known[other]["gain_ci"][1]:
        return f"Make {best}s: in the same time they raise their score more than {other}s theirs."
    return "Tags and contours raise their scores about equally in the same time."


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
