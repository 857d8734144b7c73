"""What a comparison of two models says, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_medseg.inference.comparison import FEW_GROUPS, Verdict

_START = {"better": "Better by", "worse": "Worse by", "unclear": "No difference can be told:"}


def headline(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The figure that decides: mean Dice where masks were compared, else the AUC; None where nothing was."""
    if document.get("segmentation"):
        return "Dice", document["segmentation"]["mean"]
    if document.get("classification"):
        return "AUC", document["classification"]["auc"]
    return None


def overall_verdict(document: Mapping[str, Any]) -> Verdict:
    """The verdict of the deciding figure."""
    found = headline(document)
    verdict: Verdict = "unclear" if found is None else found[1]["verdict"]
    return verdict


def sentence(document: Mapping[str, Any]) -> str:
    """The comparison in one or two plain sentences.

    Examples
    --------
    >>> entry = {"difference": 0.021, "difference_ci": [0.008, 0.034], "verdict": "better"}
    >>> worse = {"difference": -0.03, "difference_ci": [-0.05, -0.01], "verdict": "worse"}
    >>> sentence({"n_groups": 12, "segmentation": {"RNFL": worse, "mean": entry}})
    'Better by 0.021 Dice [0.008, 0.034] over 12 groups; worse on RNFL by 0.030 [-0.050, -0.010].'
    """
    found = headline(document)
    if found is None:
        return "Nothing could be compared."
    name, entry = found
    groups = document["n_groups"]
    text = f"{_described(name, entry)} over {groups} group{'' if groups == 1 else 's'}"
    if document.get("segmentation"):
        text += _standing_out({k: v for k, v in document["segmentation"].items() if k != "mean"}, entry["verdict"])
    tags = document.get("classification")
    if tags and name != "AUC":
        text += f". Image class: {_lower(_described('AUC', tags['auc']))}"
    if entry["difference_ci"] is None and entry["difference"] is not None:
        text += ", but a single group says nothing of the spread"
    return text + "."


def alarms(document: Mapping[str, Any]) -> list[str]:
    """Classes and tags that the second model never gets right although the cases hold them."""
    found = []
    for name, entry in (document.get("segmentation") or {}).items():
        if name != "mean" and entry["n_cases"] and entry["dice_b"] == 0:
            found.append(_alarm(f"never draws {name} where it is", entry["n_cases"], entry["dice_a"], "Dice"))
    for tag, entry in (document.get("classification") or {}).get("per_class", {}).items():
        if entry["n_cases"] and entry["sensitivity_b"] == 0:
            found.append(_alarm(f"never recognises {tag}", entry["n_cases"], entry["sensitivity_a"], "sensitivity"))
    return found


def remarks(document: Mapping[str, Any]) -> list[str]:
    """What keeps the figures from being taken at their word."""
    notes = []
    if document["n_groups"] < FEW_GROUPS:
        notes.append(
            f"Only {document['n_groups']} groups were compared: intervals of so few are too narrow, so take them as "
            "a hint."
        )
    if document["split"] == "val":
        notes.append("Validation cases also chose the best epoch of each training; test cases say more of new images.")
    return notes


def _described(name: str, entry: Mapping[str, Any]) -> str:
    """E.g. ``Better by 0.021 Dice [0.008, 0.034]``."""
    value, verdict = entry["difference"], entry["verdict"]
    if value is None:
        return f"{name} is not defined on these cases"
    number = f"{value:+.3f}" if verdict == "unclear" else f"{abs(value):.3f}"
    return f"{_START[verdict]} {number} {name}{_interval(entry)}"


def _standing_out(classes: Mapping[str, Mapping[str, Any]], overall: Verdict) -> str:
    """Classes whose verdict is another one than that of the whole."""
    parts = []
    for verdict in ("worse", "better"):
        named = [(name, e) for name, e in classes.items() if e["verdict"] == verdict != overall]
        if named:
            each = ", ".join(f"{name} by {abs(e['difference']):.3f}{_interval(e)}" for name, e in named)
            parts.append(f"; {verdict} on {each}")
    return "".join(parts)


def _interval(entry: Mapping[str, Any]) -> str:
    interval = entry["difference_ci"]
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def _alarm(what: str, cases: int, before: float | None, name: str) -> str:
    earlier = f"; the model before it had {name} {before:.3f}" if before else ""
    return f"The new model {what} ({cases} case{'' if cases == 1 else 's'}){earlier}."


def _lower(text: str) -> str:
    return text if text.startswith("AUC") else text[0].lower() + text[1:]
