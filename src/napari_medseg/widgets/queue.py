"""A queue over the list of cases: which come first, or alone, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_medseg.data.contradictions import Contradiction


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """An order of cases.

    Parameters
    ----------
    ranks
        Place of every case in it, 0 first.
    reasons
        In a few words, why a case stands where it does.
    alone
        Whether only these cases are listed.
    """

    ranks: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False


def queue_of_next(document: Mapping[str, Any]) -> Queue:
    """The cases to label next, of what ``next`` found."""
    ranking = document["ranking"]
    return Queue(
        ranks={entry["case"]: place for place, entry in enumerate(ranking)},
        reasons={entry["case"]: _next_reason(entry) for entry in ranking},
    )


def _next_reason(entry: Mapping[str, Any]) -> str:
    score = "" if entry["score"] is None else f" ({entry['score']:.2f})"
    slices = [str(place["slice"] + 1) for place in entry["places"] if "slice" in place]
    where = f"; slices {', '.join(slices)}" if slices else ""
    return f"{entry['rank']}. {entry['reason']}{score}{where}"


def queue_of_quality(document: Mapping[str, Any]) -> Queue:
    """The cases whose result is expected to be worst, of what ``quality`` found."""
    cases = document["cases"]
    return Queue(
        ranks={entry["case"]: place for place, entry in enumerate(cases)},
        reasons={entry["case"]: quality_text(entry) for entry in cases},
    )


def quality_text(entry: Mapping[str, Any]) -> str:
    """What is expected of a case in a few words.

    Examples
    --------
    >>> quality_text({"dice": 0.812, "right": None, "tag": None, "unlike": True})
    'Dice about 0.81, unlike the training'
    """
    parts = [f"Dice about {entry['dice']:.2f}"] if entry["dice"] is not None else []
    if entry["right"] is not None:
        parts.append(f"{entry['tag']} right with {100 * entry['right']:.0f} %")
    return ", ".join([*parts, *(["unlike the training"] if entry["unlike"] else [])])


def queue_of_contradictions(found: Sequence[Contradiction]) -> Queue:
    """The cases that contradict something, those that do so most certainly first."""
    ranks: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for each in found:
        ranks.setdefault(each.case, len(ranks))
        reasons[each.case] = f"{reasons[each.case]} {each.text}" if each.case in reasons else each.text
    return Queue(ranks=ranks, reasons=reasons, alone=True)
