"""ACR TI-RADS: points for what a thyroid nodule looks like in ultrasound, its level, and what the committee proposes.

F. N. Tessler et al., "ACR Thyroid Imaging, Reporting and Data System (TI-RADS): White Paper of the ACR TI-RADS
Committee", J Am Coll Radiol 2017;14:587-595, doi:10.1016/j.jacr.2017.01.046 (its figure 1). For research only: what is
done about a nodule is decided by a physician.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["TR1", "TR2", "TR3", "TR4", "TR5"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing to say in a category: its key in forms, its points and its name for people."""

    key: str
    points: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A question of the form: one answer, or several (`several`) whose points add up."""

    key: str
    name: str
    features: tuple[Feature, ...]
    several: bool = False

    def feature(self, key: str) -> Feature | None:
        """The feature with a key; None where the category has none."""
        return next((feature for feature in self.features if feature.key == key), None)


def _category(key: str, name: str, *features: tuple[str, int, str], several: bool = False) -> Category:
    made = tuple(Feature(key=k, points=points, name=words) for k, points, words in features)
    return Category(key=key, name=name, features=made, several=several)


#: The form, in the order of the white paper's chart.
CATEGORIES: tuple[Category, ...] = (
    _category(
        "composition",
        "Composition",
        ("cystic", 0, "cystic or almost so"),
        ("spongiform", 0, "spongiform"),
        ("mixed", 1, "mixed cystic and solid"),
        ("solid", 2, "solid or almost so"),
        ("undetermined", 2, "hidden by calcification"),
    ),
    _category(
        "echogenicity",
        "Echogenicity",
        ("anechoic", 0, "anechoic"),
        ("hyperechoic", 1, "hyperechoic"),
        ("isoechoic", 1, "isoechoic"),
        ("hypoechoic", 2, "hypoechoic"),
        ("very_hypoechoic", 3, "very hypoechoic"),
        ("undetermined", 1, "cannot be determined"),
    ),
    _category("shape", "Shape", ("wider", 0, "wider than tall"), ("taller", 3, "taller than wide")),
    _category(
        "margin",
        "Margin",
        ("smooth", 0, "smooth"),
        ("ill_defined", 0, "ill-defined"),
        ("irregular", 2, "lobulated or irregular"),
        ("extrathyroidal", 3, "grows out of the thyroid"),
        ("undetermined", 0, "cannot be determined"),
    ),
    _category(
        "foci",
        "Echogenic foci",
        ("none", 0, "none, or comet tails"),
        ("macrocalcification", 1, "macrocalcifications"),
        ("rim", 2, "rim calcifications"),
        ("punctate", 3, "punctate foci"),
        several=True,
    ),
)

MEANINGS: Mapping[Level, str] = {
    "TR1": "benign",
    "TR2": "not suspicious",
    "TR3": "mildly suspicious",
    "TR4": "moderately suspicious",
    "TR5": "highly suspicious",
}
#: Millimetres of the largest diameter from which a nodule is punctured, and from which it is followed.
THRESHOLDS: Mapping[Level, tuple[float, float]] = {"TR3": (25.0, 15.0), "TR4": (15.0, 10.0), "TR5": (10.0, 5.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TiRads:
    """What the answers of a form amount to.

    Parameters
    ----------
    points
        Sum so far.
    level
        None while something is unanswered, and for the one sum that the chart has no level for.
    missing
        Names of the categories that are unanswered.
    """

    points: int
    level: Level | None
    missing: tuple[str, ...] = field(default=())


def tirads(answers: Mapping[str, Any]) -> TiRads:
    """Points and level of a form's answers.

    A spongiform nodule gets no further points, whatever else is said of it, so the rest may stay open.

    Parameters
    ----------
    answers
        Keys of features by key of their category; a list of them for the echogenic foci. Unknown keys and categories
        without an answer count as unanswered.

    Examples
    --------
    >>> solid = {"composition": "solid", "echogenicity": "hypoechoic", "shape": "wider", "margin": "smooth"}
    >>> tirads({**solid, "foci": ["macrocalcification", "punctate"]})
    TiRads(points=8, level='TR5', missing=())
    >>> tirads(solid)
    TiRads(points=4, level=None, missing=('Echogenic foci',))
    """
    if answers.get("composition") == "spongiform":
        return TiRads(points=0, level="TR1")
    chosen = {category: chosen_features(category, answers) for category in CATEGORIES}
    points = sum(feature.points for features in chosen.values() for feature in features)
    missing = tuple(category.name for category, features in chosen.items() if not features)
    return TiRads(points=points, level=None if missing else level_of(points), missing=missing)


def chosen_features(category: Category, answers: Mapping[str, Any]) -> tuple[Feature, ...]:
    """The features that answers name in a category, in the order of the chart, each once."""
    given = answers.get(category.key)
    if category.several:
        keys = [key for key in given if isinstance(key, str)] if isinstance(given, list | tuple) else []
    else:
        keys = [given] if isinstance(given, str) else []
    return tuple(feature for feature in category.features if feature.key in keys)


def level_of(points: int) -> Level | None:
    """The level of a sum of points; None for 1, which the chart leaves out.

    Examples
    --------
    >>> [level_of(points) for points in (0, 1, 2, 3, 4, 6, 7, 14)]
    ['TR1', None, 'TR2', 'TR3', 'TR4', 'TR4', 'TR5', 'TR5']
    """
    if points >= 7:
        return "TR5"
    levels: dict[int, Level] = {0: "TR1", 2: "TR2", 3: "TR3", 4: "TR4", 5: "TR4", 6: "TR4"}
    return levels.get(points)


def advice(level: Level, size_mm: float | None = None) -> str:
    """What the white paper proposes for a level and a nodule's largest diameter, as a sentence.

    Examples
    --------
    >>> advice("TR4", 12.0)
    'At 12.0 mm: follow-up (from 10 mm; biopsy from 15 mm).'
    >>> advice("TR1")
    'No biopsy, no follow-up.'
    """
    if level not in THRESHOLDS:
        return "No biopsy, no follow-up."
    biopsy, follow = THRESHOLDS[level]
    if size_mm is None:
        return f"Biopsy from {biopsy:g} mm, follow-up from {follow:g} mm."
    size = f"At {size_mm:.1f} mm"
    if size_mm >= biopsy:
        return f"{size}: biopsy (from {biopsy:g} mm)."
    if size_mm >= follow:
        return f"{size}: follow-up (from {follow:g} mm; biopsy from {biopsy:g} mm)."
    return f"{size}: nothing (follow-up from {follow:g} mm)."


def summary(result: TiRads) -> str:
    """Points and level in words, or what is still to be said.

    Examples
    --------
    >>> summary(TiRads(points=5, level="TR4"))
    '5 points: TR4, moderately suspicious.'
    """
    points = f"{result.points} point" + ("" if result.points == 1 else "s")
    if result.level is not None:
        return f"{points}: {result.level}, {MEANINGS[result.level]}."
    if result.missing:
        return f"{points} so far; open: {', '.join(name.lower() for name in result.missing)}."
    return f"{points}: the chart has no level for it; look at composition and echogenicity again."


#: Parts of tags' names that say what a nodule is; "benign" is looked for first, so that it is never both.
_BENIGN = ("benign", "goitre", "goiter", "adenoma", "normal", "colloid", "hyperplas")
_MALIGNANT = ("malignan", "carcinoma", "cancer", "papillary", "medullary", "anaplastic", "lymphoma", "metasta")


def agreement(level: Level, tag: str) -> str:
    """How a class that a model found fits a level, as a sentence; the two levels in the middle speak for neither.

    A class may be a level itself, alone (``"TR4a"``) or as a range (``"TR2-3"``).

    Examples
    --------
    >>> agreement("TR5", "papillary carcinoma")
    'Agrees with the TI-RADS form (TR5, highly suspicious).'
    >>> agreement("TR2", "papillary carcinoma")
    'Differs from the TI-RADS form (TR2, not suspicious): look again.'
    """
    said = f"the TI-RADS form ({level}, {MEANINGS[level]})"
    fits = _fits(level, tag.casefold())
    if fits is None:
        return f"Beside {said}."
    return f"Agrees with {said}." if fits else f"Differs from {said}: look again."


def _fits(level: Level, tag: str) -> bool | None:
    levels = re.fullmatch(r"(?:ti-?rads|tr)\s*([1-5])[a-c]?(?:\s*(?:-|–|to)\s*(?:tr)?([1-5])[a-c]?)?", tag)
    if levels is not None:
        low, high = int(levels[1]), int(levels[2] or levels[1])
        return low <= int(level[2]) <= high
    benign = any(word in tag for word in _BENIGN)
    malignant = not benign and any(word in tag for word in _MALIGNANT)
    if level in ("TR3", "TR4") or not (benign or malignant):
        return None
    return malignant == (level == "TR5")
